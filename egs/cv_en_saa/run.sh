#!/usr/bin/env bash
# Does it help a recogniser of accented English to mask what an accent classifier looks at?  The method of Sameti et al.
# (2025) on corpora that everybody can have: Common Voice trains the recogniser; the Speech Accent Archive, in which
# everybody reads the same passage, trains the classifier and tests; so does speechocean762, with speakers of Mandarin.
set -euo pipefail
. ./path.sh
. options.sh # --stage, --nj, --ngpu, --mini and others that every recipe has
. accent_options.sh # --systems, --model, --seeds and others that every accent recipe has

# The corpora, none of which is downloaded; without one of them its sets are left out.  Common Voice is an English release
# or a delta segment, LibriSpeech one with a test part.
common_voice_root=
common_voice_archive=
speech_accent_archive_root=
speech_accent_archive_archive=
speechocean762_root=
speechocean762_archive=
librispeech_root=
librispeech_archive=

model=                   # Whisper to start from: a name, a file, a folder (Hugging Face, CTranslate2), or mini (default: tiny.en; mini: mini)
systems="zero-shot plain specaugment random-mask other-mask gradcam gradcam++ integrated-gradients encoder-random encoder-other"
classifiers="cnn whisper-encoder" # systems that name none take the maps of the first
controls="durations quietest" # of the classifiers
asr_train_accents=us,canada # accents of Common Voice to train the recogniser with; unlabelled adds all clips without a label
unseen=korean,portuguese # first languages that the classifier does not meet
min_speakers=            # of a first language in the classifier (default: 45; mini: 6)
test_limit=              # maximum number of utterances in each of mandarin_adult, mandarin_child and ls (default: 500)
scored=                  # sets to decode (default: all tests); "asr_dev dev_accents" chooses settings, and local/run_search.sh those of masks
bandwidth=4000           # the Archive's copies are at 8 kHz
language=en
normaliser=              # of the second score (default: whisper-english; mini: digit-words)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seed N]
    [--common-voice-root DIR] [--speech-accent-archive-root DIR] [--speechocean762-root DIR] [--librispeech-root DIR]
    [--skip-bad-clips true] [any variable at the top of this file, of local/options.sh or of local/accent_options.sh]
--systems 'zero-shot plain' takes some of the systems; a stage that none of them needs is passed
stages: 0 corpora, 1 data, 2 features, 3 classifier, 4 saliency, 5 masking, 6 recognisers, 7 decode, 8 score, 9 report"

command="./run.sh --egs cv_en_saa${*:+$(printf ' %q' "$@")}"
. parse_options.sh
setup.sh # returns immediately if already set up
. "$SALIENCE_ROOT/conf/cmd.sh"
if [ "$mini" = true ]; then
    seeds=${seeds:-1} model=${model:-mini} normaliser=${normaliser:-digit-words} min_speakers=${min_speakers:-6}
else
    seeds=${seeds:-1 2 3} model=${model:-tiny.en} normaliser=${normaliser:-whisper-english} min_speakers=${min_speakers:-45}
fi
. accent_stages.sh
corpora="common_voice speech_accent_archive speechocean762 librispeech"
tests="standard accented saa_native saa_seen saa_unseen mandarin_adult mandarin_child ls"
check_options "a number" "$whole" min_speakers
check_options "a number" "($whole)?" test_limit
takes scored "$scored" "asr_dev|dev_accents|${tests// /|}" "sets of asr_dev dev_accents $tests"

if begin 0 "corpora"; then
    for corpus in $corpora; do
        own=${corpus}_root archive=${corpus}_archive
        if [ "$mini$corpus" = truecommon_voice ]; then
            fetch common_voice --americans 10
        elif [ "$mini" = true ] && [ "$corpus" != librispeech ] || [ -n "${!own}${!archive}" ]; then
            fetch "$corpus"
        else
            echo "no --${corpus//_/-}-root is given: the sets of this corpus are left out"
            rm -f "$downloads/$corpus/root.txt"
        fi
    done
fi

if begin 1 "data directories, splits, leakage"; then
    roots_of "$corpora"
    local/prepare_sets.py --out "$data" --asr-train-accents "$asr_train_accents" --accent-labels conf/accents.tsv \
        --unseen "$unseen" --min-speakers "$min_speakers" --test-limit "${test_limit:-500}" \
        --skip-bad-clips "$skip_bad_clips" --seed "$seed" "${roots[@]}"
    # Everybody in the Archive reads the same passage; it is only the recogniser that must not know the texts of the tests.
    check_sets "cls_train asr_train" "cls_dev asr_dev dev_accents" "cls_test $tests" --forbid-shared-sentences "asr_train asr_dev"
fi

test_sets=$(present "${scored:-$tests}")
all_sets=$(present "$(needed_sets "dev_accents $test_sets")")
map_sets="$asr_train $(! is_in standard "$test_sets" || echo standard)" # a test set of short clips, for the report's pictures
# Native speakers of each corpus, whom a classifier of corpora should hardly tell apart once the bandwidth is the same.
compared=$(for set in cls_train:english asr_train:us,canada ls; do ! is_in "${set%:*}" "$all_sets" || echo "$set"; done | xargs)

if begin 2 "log-mel features";                                   then extract_features; fi
if begin 3 "accent classifiers and their controls";              then train_classifier; compare_corpora; fi
if begin 4 "saliency maps, how faithful they are, where they point"; then map_saliency; measure_saliency; locate_saliency; fi
if begin 5 "masked features";                                    then mask_features; fi
if begin 6 "recognisers, one for each system and seed";          then finetune; fi
if begin 7 "hypotheses";                                         then decode; fi
if begin 8 "WER and CER";                                        then score_words; fi
if begin 9 "report";                                             then
    report_results "Common Voice and the Speech Accent Archive${scored:+, $scored}"
fi
