#!/usr/bin/env bash
# The accent recipe on a tiny real corpus, the Free Spoken Digit Dataset: single digits of five speakers joined into
# strings.  Each accent in turn is kept out of training, and all folds are scored together.

# The corpus; downloaded when neither is given.
fsdd_root=
fsdd_archive=

stage=0
stop_stage=9
nj=2                     # jobs of an array
ngpu=0                   # for each training, on each node
nodes=1                  # for each training (Slurm)
cmd_backend=${cmd_backend:-} # where jobs run: local, slurm or sge (default: the word in conf/cmd.sh)
seed=1                   # of the strings, the classifiers and the masks
mini=false               # true: a synthetic corpus in the same format
check_space=true         # false: begin to write features, maps or audio even where the disk seems too small for them
skip_bad_clips=false     # true: leave out clips that are missing or damaged (data/bad_clips.tsv), instead of stopping
folds=                   # accents kept out of training, in turn (default: german french us; mini: german)
seeds=                   # of the recognisers (default: 1 2 3; mini: 1)
recogniser=whisper       # or one that a plug-in adds, with settings in finetune_<name>.yaml and decode_<name>.yaml
model=mini               # Whisper to start from: a name, a file, a folder (Hugging Face, CTranslate2), or mini
systems="zero-shot plain specaugment random-mask gradcam gradcam++" # stages that none of them needs are passed
methods=                 # further saliency methods whose maps stage 4 writes: integrated-gradients, smoothgrad, occlusion, ...
plugins=                 # Python files that add saliency methods, policies or recognisers, separated by spaces
systems_config=          # file that says what the systems are (default: systems.yaml in the folder of settings)
masks=redrawn            # masks are redrawn in each epoch, or fixed as stage 5 wrote them
target=predicted         # the class whose map is taken: predicted or true
compress=true            # maps in 8 bits
speed_factors=           # for instance "0.9 1.1": copies of the training set at these speeds
language=en
normaliser=digit-words
conf=                    # folder of settings (default: conf; mini: conf/mini)
finetune_config=         # settings of the training of the recogniser (default: finetune.yaml in that folder)
train_jobs=              # trainings at a time (default: nj)
launcher=                # of trainings on several processes (default: launch.sh, if --ngpu or --nodes is above 1)
results=                 # folder of results.json and RESULTS.md (default: this one; mini: exp/mini)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seed N]
    [--fsdd-archive FILE | --fsdd-root DIR] [--folds 'german french us'] [--skip-bad-clips true]
    [any variable at the top of this file]
--systems 'zero-shot plain' takes some of the systems; a stage that none of them needs is passed
stages: 0 corpus, 1 data, 2 features, 3 classifier, 4 saliency, 5 masking, 6 recognisers, 7 decode, 8 score, 9 report"

set -euo pipefail
command="./run.sh --egs fsdd${*:+$(printf ' %q' "$@")}"
. ./path.sh
. parse_options.sh
# The first run sets up .venv; later ones pass at once.
setup.sh
. "$SALIENCE_ROOT/conf/cmd.sh"
if [ "$mini" = true ]; then
    folds=${folds:-german} seeds=${seeds:-1}
else
    folds=${folds:-german french us} seeds=${seeds:-1 2 3}
fi
. accent_stages.sh

test_sets="seen unseen"
all_sets=$(needed_sets "$test_sets")
map_sets=$asr_train

if begin 0 "corpus"; then fetch fsdd; fi

in_each_fold() { # run the words, and the fold behind them, in each fold's own folders
    local fold
    for fold in $folds; do
        data=data$part/$fold dump=dump$part/$fold exp=exp$part/$fold
        "$@" "$fold"
    done
    data=data$part dump=dump$part exp=exp$part
}

prepare_fold() { # prepare_fold <fold>
    needs "$downloads/fsdd/root.txt" 0
    local/prepare_sets.py --out "$data" --fsdd "$(cat "$downloads/fsdd/root.txt")" --unseen "$1" \
        --skip-bad-clips "$skip_bad_clips" --seed "$seed"
    # With five speakers the seen accents are tested on their own speakers, in other recordings.
    check_sets "cls_train asr_train" "cls_dev asr_dev" "cls_test seen unseen" --allow-shared-speakers "cls_dev asr_dev cls_test seen"
}

if begin 1 "data directories of each fold, leakage";             then in_each_fold prepare_fold; fi
if begin 2 "log-mel features";                                   then in_each_fold extract_features; fi
if begin 3 "accent classifier, and a control of durations";      then in_each_fold train_classifier; fi
if begin 4 "saliency maps";                                      then in_each_fold map_saliency; fi
if begin 5 "masked features";                                    then in_each_fold mask_features; fi
if begin 6 "recognisers, one for each system and seed";          then in_each_fold finetune; fi
if begin 7 "hypotheses";                                         then in_each_fold decode; fi
if begin 8 "WER and CER";                                        then in_each_fold score_words; fi
if begin 9 "report";                                             then
    fresh_figures "$exp/report"
    report_results "$part/{fold}" "Free Spoken Digit Dataset" "Accent-invariant recognition of spoken digits"
fi
