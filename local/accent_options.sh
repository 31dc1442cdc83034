# shellcheck shell=bash
# shellcheck disable=SC2034  # the recipe that sources this and accent_stages.sh read them
# Options that the accent recipes have in common, beside those of options.sh.

seeds=                   # of the recognisers (default: 1 2 3; mini: 1)
recogniser=whisper       # or another one, such as espnet, with settings in finetune_<name>.yaml and decode_<name>.yaml
model=                   # model to start from: a name, a file, a folder (Hugging Face, CTranslate2), or mini
systems="zero-shot plain specaugment random-mask gradcam gradcam++" # stages that none of them needs are passed
matrix=                  # file that crosses methods, policies and recognisers, instead of --systems and --recogniser: conf/matrix.yaml
systems_config=          # file that says what the systems are (default: systems.yaml in the folder of settings)
classifiers=cnn          # accent classifiers: cnn, whisper-encoder; systems that name none take the maps of the first
controls=durations       # of the classifiers: durations (knows nothing else), quietest (the quietest frames of an utterance alone)
methods=                 # further saliency methods whose maps stage 4 writes: integrated-gradients, whisper-encoder/gradient-input, ...
faithfulness_limit=      # at most this many utterances tell how faithful maps are to the classifier; 0: none (default: 10; mini: 3)
faithfulness_seeds=      # further seeds of the classifiers, whose maps are compared: "2"
masks=redrawn            # masks are redrawn in each epoch, or fixed as stage 5 wrote them
lexicon=                 # phones of words, for where maps point: a file as CMUdict is, or cmudict, which stage 0 downloads (default: lexicon.txt in the folder of settings, if it is there)
location_limit=          # at most this many utterances tell where maps point; 0: none (default: 100; mini: 4)
target=predicted         # the class whose map is taken: predicted or true
compress=true            # maps in 8 bits
map_precision=float32    # or bf16, with which maps take half the time on a GPU or a processor with AMX
speed_factors=           # for instance "0.9 1.1": copies of the training set at these speeds
bandwidth=               # limit all audio to this many hertz before features, for corpora of which some are copies at 8 kHz: 4000
finetune_config=         # settings of the training of the recogniser (default: finetune.yaml in the folder of settings)

shared_options+=("$SALIENCE_ROOT/local/accent_options.sh")
