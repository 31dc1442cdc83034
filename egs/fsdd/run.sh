#!/usr/bin/env bash
# The accent recipe on a tiny real corpus, the Free Spoken Digit Dataset: single digits of five speakers joined into
# strings.  Each accent in turn is kept out of training, and all folds are scored together.
set -euo pipefail
. ./path.sh
. options.sh # --stage, --nj, --ngpu, --mini and others that every recipe has
. accent_options.sh # --systems, --model, --seeds and others that every accent recipe has

# The corpus; downloaded when neither is given.
fsdd_root=
fsdd_archive=

folds=                   # accents kept out of training, in turn (default: german french us; mini: german)
model=mini               # Whisper to start from
language=en
normaliser=digit-words

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seed N]
    [--fsdd-archive FILE | --fsdd-root DIR] [--folds 'german french us'] [--skip-bad-clips true]
    [any variable at the top of this file, of local/options.sh or of local/accent_options.sh]
--systems 'zero-shot plain' takes some of the systems; a stage that none of them needs is passed
stages: 0 corpus, 1 data, 2 features, 3 classifier, 4 saliency, 5 masking, 6 recognisers, 7 decode, 8 score, 9 report"

command="./run.sh --egs fsdd${*:+$(printf ' %q' "$@")}"
. parse_options.sh
setup.sh # returns immediately if already set up
. "$SALIENCE_ROOT/conf/cmd.sh"
if [ "$mini" = true ]; then
    folds=${folds:-german} seeds=${seeds:-1}
else
    folds=${folds:-german french us} seeds=${seeds:-1 2 3}
fi
. accent_stages.sh

test_sets="seen unseen"
all_sets=$(needed_sets "$test_sets")
map_sets="$asr_train $test_sets"

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
if begin 4 "saliency maps, how faithful they are, where they point"; then in_each_fold map_saliency; in_each_fold measure_saliency; in_each_fold locate_saliency; fi
if begin 5 "masked features";                                    then in_each_fold mask_features; fi
if begin 6 "recognisers, one for each system and seed";          then in_each_fold finetune; fi
if begin 7 "hypotheses";                                         then in_each_fold decode; fi
if begin 8 "WER and CER";                                        then in_each_fold score_words; fi
if begin 9 "report";                                             then
    report_results "Free Spoken Digit Dataset" "$part/{fold}"
fi
