#!/usr/bin/env bash
# Accent-invariant recognition of English after Sameti et al. (2025): a CNN learns to tell accents apart, Grad-CAM
# says where in the spectrogram it looks, those regions are masked in a copy of the training data, and Whisper is
# fine-tuned on both.  Beside it: no masks, SpecAugment, and random masks of equal area.

# The corpora.  LibriSpeech and EdAcc are downloaded when no root or archive is given; with some given and others not,
# the sets of the others are left out.  Common Voice (an English release, also the first, or a delta segment) is never
# downloaded: it needs a login.
librispeech_root=
librispeech_archive=
edacc_root=
edacc_archive=
common_voice_root=
common_voice_archive=

stage=0
stop_stage=9
nj=2                     # jobs of an array
ngpu=0                   # for each training, on each node
nodes=1                  # for each training (Slurm)
cmd_backend=${cmd_backend:-} # where jobs run: local, slurm or sge (default: the word in conf/cmd.sh)
seed=1                   # of the sets, the classifier and the masks
mini=false               # true: a synthetic corpus of some minutes, on two cores
check_space=true         # false: begin to write features, maps or audio even where the disk seems too small for them
seeds=                   # of the recognisers (default: 1 2 3; mini: 1)
recogniser=whisper       # or one that a plug-in adds, with settings in finetune_<name>.yaml and decode_<name>.yaml
model=                   # Whisper to start from: a name, a file, a folder (Hugging Face, CTranslate2), or mini (default: tiny; mini: mini)
systems="zero-shot plain specaugment random-mask gradcam gradcam++" # stages that none of them needs are passed
methods=                 # further saliency methods whose maps stage 4 writes: integrated-gradients, smoothgrad, occlusion, ...
plugins=                 # Python files that add saliency methods, policies or recognisers, separated by spaces
systems_config=          # file that says what the systems are (default: systems.yaml in the folder of settings)
masks=redrawn            # masks are redrawn in each epoch, or fixed as stage 5 wrote them
target=predicted         # the class whose map is taken: predicted or true
compress=true            # maps in 8 bits
skip_bad_clips=false     # true: leave out clips that are missing or damaged (data/bad_clips.tsv), instead of stopping
standard_train=          # LibriSpeech utterances among the classifier's (default: 1000, as in the paper; mini: 80)
asr_train_accents=false  # true: EdAcc's seen accents join the recogniser's training set
speed_factors=           # for instance "0.9 1.1": copies of the training set at these speeds
language=en
normaliser=              # of the second score (default: whisper-english; mini: digit-words)
conf=                    # folder of settings (default: conf; mini: conf/mini)
finetune_config=         # settings of the training of the recogniser (default: finetune.yaml in that folder)
train_jobs=              # trainings at a time (default: nj)
launcher=                # of trainings on several processes (default: launch.sh, if --ngpu or --nodes is above 1)
results=                 # folder of results.json and RESULTS.md (default: this one; mini: exp/mini)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seed N]
    [--librispeech-root DIR] [--edacc-root DIR] [--common-voice-root DIR] [--skip-bad-clips true]
    [any variable at the top of this file]
--systems 'zero-shot plain' takes some of the systems; a stage that none of them needs is passed
stages: 0 corpora, 1 data, 2 features, 3 classifier, 4 saliency, 5 masking, 6 recognisers, 7 decode, 8 score, 9 report"

set -euo pipefail
command="./run.sh --egs librispeech_edacc${*:+$(printf ' %q' "$@")}"
. ./path.sh
. parse_options.sh
# The first run sets up .venv; later ones pass at once.
setup.sh
. "$SALIENCE_ROOT/conf/cmd.sh"
if [ "$mini" = true ]; then
    seeds=${seeds:-1} model=${model:-mini} normaliser=${normaliser:-digit-words} standard_train=${standard_train:-80}
else
    seeds=${seeds:-1 2 3} model=${model:-tiny} normaliser=${normaliser:-whisper-english} standard_train=${standard_train:-1000}
fi
. accent_stages.sh

if begin 0 "corpora"; then
    given=$librispeech_root$librispeech_archive$edacc_root$edacc_archive$common_voice_root$common_voice_archive
    for corpus in librispeech edacc common_voice; do
        own=${corpus}_root archive=${corpus}_archive
        if [ "$mini" = true ] || [ -n "${!own}${!archive}" ] || { [ -z "$given" ] && [ "$corpus" != common_voice ]; }; then
            fetch "$corpus"
        else
            rm -f "$downloads/$corpus/root.txt"
        fi
    done
fi

if begin 1 "data directories, splits, leakage"; then
    roots_of "librispeech edacc common_voice"
    local/prepare_sets.py --out "$data" --standard-train "$standard_train" --asr-train-accents "$asr_train_accents" \
        --skip-bad-clips "$skip_bad_clips" --seed "$seed" "${roots[@]}"
    check_sets "cls_train asr_train" "cls_dev asr_dev" "cls_test ls accented unseen cma"
fi

test_sets=$(present "ls accented unseen cma")
all_sets=$(present "$(needed_sets "$test_sets")")
map_sets=$asr_train

if begin 2 "log-mel features";                                   then extract_features; fi
if begin 3 "accent classifier, and a control of durations";      then train_classifier; fi
if begin 4 "saliency maps";                                      then map_saliency; fi
if begin 5 "masked features";                                    then mask_features; fi
if begin 6 "recognisers, one for each system and seed";          then finetune; fi
if begin 7 "hypotheses";                                         then decode; fi
if begin 8 "WER and CER";                                        then score_words; fi
if begin 9 "report";                                             then
    fresh_figures "$exp/report"
    report_results "$part" "LibriSpeech and EdAcc" "Accent-invariant recognition of English" conf/paper.yaml
fi
