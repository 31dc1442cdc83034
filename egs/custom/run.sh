#!/usr/bin/env bash
# The accent recipe on a corpus of your own: Kaldi data directories, lhotse manifests, or tables of path, text, speaker and
# accent (README.md beside this).  With test sets alone, a Whisper model is scored on them as it is.
set -euo pipefail
. ./path.sh
. options.sh # --stage, --nj, --ngpu, --mini and others that every recipe has
. accent_options.sh # --systems, --model, --seeds and others that every accent recipe has

# The corpus.  What is not given is made of speakers of the training set.
test_dirs=               # to test with, separated by spaces
train_dir=               # to train the recognisers with, and the classifier if it says accents
dev_dir=                 # to choose the best epoch with
classifier_dir=          # another corpus that says accents, to train the classifier with

name=                    # of the folder in data, dump and exp, so that several corpora do not meet
title="Your own corpus"  # of the report
systems=                 # default: zero-shot; with --train-dir also plain specaugment random-mask gradcam gradcam++
model=                   # Whisper to start from: a name, a file, a folder (Hugging Face, CTranslate2), or mini (default: tiny.en; mini: mini)
min_speakers=3           # of an accent in the classifier
train_limit=             # maximum number of utterances in each training set, spread over the speakers (default: all)
test_limit=              # the same for each development and test set
allow_shared_speakers=   # sets that may share speakers with sets of another kind
language=en
normaliser=              # of the second score (default: whisper-english; other --language: whisper-basic; mini: digit-words)

help_message="usage: ./run.sh --test-dirs 'DIR ...' [--train-dir DIR] [--dev-dir DIR] [--classifier-dir DIR] [--mini true]
    [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seed N] [--skip-bad-clips true]
    [any variable at the top of this file, of local/options.sh or of local/accent_options.sh]
--systems 'zero-shot plain' takes some of the systems; a stage that none of them needs is passed
stages: 0 corpus, 1 data, 2 features, 3 classifier, 4 saliency, 5 masking, 6 recognisers, 7 decode, 8 score, 9 report"

command="./run.sh --egs custom${*:+$(printf ' %q' "$@")}"
. parse_options.sh
setup.sh # returns immediately if already set up
. "$SALIENCE_ROOT/conf/cmd.sh"
results=${results:-exp$([ "$mini" = false ] || echo /mini)${name:+/$name}}
if [ "$mini" = true ]; then
    seeds=${seeds:-1} model=${model:-mini} normaliser=${normaliser:-digit-words}
else
    seeds=${seeds:-1 2 3} model=${model:-tiny$([ "$language" != en ] || echo .en)}
    normaliser=${normaliser:-whisper-$([ "$language" = en ] && echo english || echo basic)}
fi
if [ -z "$systems" ]; then
    systems="zero-shot$([ -z "$train_dir" ] && [ "$mini" = false ] || echo " plain specaugment random-mask gradcam gradcam++")"
fi
# A corpus for the classifier and none to train recognisers with: its maps of the test sets are what is wanted.
[ -z "$classifier_dir" ] || [ -n "$train_dir" ] || methods=${methods:-gradcam}
. accent_stages.sh
[ "$mini$train_dir$test_dirs" != false ] ||
    fail "no corpus is given: --test-dirs 'DIR ...' to test a model on, --train-dir DIR to train with (--help)"
check_options "a number" "$whole" min_speakers
check_options "a number" "($whole)?" "train_limit test_limit"
check_options "a name of letters, digits, - and _" "[A-Za-z0-9_-]*" name
part+=${name:+/$name} data+=${name:+/$name} dump+=${name:+/$name} exp+=${name:+/$name}
[ -z "$trained" ] || [ "$mini$train_dir" != false ] ||
    fail "the systems $trained are trained: give --train-dir, or --systems zero-shot"

if begin 0 "corpus"; then
    if [ "$mini" = true ]; then fetch custom; else echo "the given corpora are read where they are"; fi
fi

caller=$(from_caller .)
if [ "$mini" = true ] && asked 1; then # its own corpus, one part in each format
    needs "$downloads/custom/root.txt" 0
    caller=$(cat "$downloads/custom/root.txt")
    train_dir=$caller/train test_dirs="seen.csv unseen"
fi
named_tests() { cat "$data/test_sets" 2> /dev/null || true; } # as stage 1 calls them, from the names of their folders
given=()
for option in train_dir dev_dir classifier_dir; do
    [ -z "${!option}" ] || given+=("--${option//_/-}" "$(from_caller "${!option}")")
done

if begin 1 "data directories, speakers held out, leakage"; then
    local/prepare_sets.py --out "$data" --caller "$caller" "${given[@]}" --test-dirs "$test_dirs" \
        --accents-for "${mapped:-${methods:+maps by $methods}}" --min-speakers "$min_speakers" \
        ${train_limit:+--train-limit "$train_limit"} ${test_limit:+--test-limit "$test_limit"} \
        --skip-bad-clips "$skip_bad_clips" --seed "$seed"
    check_sets "cls_train asr_train" "cls_dev asr_dev" "cls_test $(named_tests)" \
        ${allow_shared_speakers:+--allow-shared-speakers "$allow_shared_speakers"}
fi

test_sets=$(named_tests)
all_sets=$(present "$(needed_sets "$test_sets")")
map_sets="$(present "$asr_train") $test_sets"

if begin 2 "log-mel features";                                   then extract_features; fi
if begin 3 "accent classifier, and a control of durations";      then train_classifier; fi
if begin 4 "saliency maps, how faithful they are, where they point"; then map_saliency; measure_saliency; locate_saliency; fi
if begin 5 "masked features";                                    then mask_features; fi
if begin 6 "recognisers, one for each system and seed";          then finetune; fi
if begin 7 "hypotheses";                                         then decode; fi
if begin 8 "WER and CER";                                        then score_words; fi
if begin 9 "report";                                             then report_results "$title"; fi
