#!/usr/bin/env bash
# Accent-invariant recognition of English after Sameti et al. (2025): a CNN learns to tell accents apart, Grad-CAM
# says where in the spectrogram it looks, those regions are masked in a copy of the training data, and Whisper is
# fine-tuned on both.  Beside it: no masks, SpecAugment, and random masks of equal area.
set -euo pipefail
. ./path.sh
. options.sh # --stage, --nj, --ngpu, --mini and others that every recipe has
. accent_options.sh # --systems, --model, --seeds and others that every accent recipe has

# The corpora.  LibriSpeech and EdAcc are downloaded when no root or archive is given; with some given and others not,
# the sets of the others are left out.  Common Voice (an English release, also the first, or a delta segment) is never
# downloaded: it needs a login.
librispeech_root=
librispeech_archive=
edacc_root=
edacc_archive=
common_voice_root=
common_voice_archive=

model=                   # Whisper to start from: a name, a file, a folder (Hugging Face, CTranslate2), or mini (default: tiny; mini: mini)
standard_train=          # LibriSpeech utterances among the classifier's (default: 1000, as in the paper; mini: 80)
asr_train_accents=false  # true: EdAcc's seen accents join the recogniser's training set
trained_dir=             # recognisers that another recipe trained, decoded here in place of own ones: ../cv_en_saa/exp/recogniser
learnt_dirs=             # what those were trained on; its speakers and sentences are not tested: "../cv_en_saa/data/asr_train ../cv_en_saa/data/asr_dev"
language=en
normaliser=              # of the second score (default: whisper-english; mini: digit-words)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seed N]
    [--librispeech-root DIR] [--edacc-root DIR] [--common-voice-root DIR] [--skip-bad-clips true]
    [any variable at the top of this file, of local/options.sh or of local/accent_options.sh]
--systems 'zero-shot plain' takes some of the systems; a stage that none of them needs is passed
stages: 0 corpora, 1 data, 2 features, 3 classifier, 4 saliency, 5 masking, 6 recognisers, 7 decode, 8 score, 9 report"

command="./run.sh --egs librispeech_edacc${*:+$(printf ' %q' "$@")}"
. parse_options.sh
setup.sh # returns immediately if already set up
. "$SALIENCE_ROOT/conf/cmd.sh"
if [ "$mini" = true ]; then
    seeds=${seeds:-1} model=${model:-mini} normaliser=${normaliser:-digit-words} standard_train=${standard_train:-80}
else
    seeds=${seeds:-1 2 3} model=${model:-tiny} normaliser=${normaliser:-whisper-english} standard_train=${standard_train:-1000}
fi
. accent_stages.sh
if [ -n "$trained_dir" ]; then
    [ -n "$learnt_dirs" ] || fail "--trained-dir needs --learnt-dirs, the data directories that those recognisers were trained on"
    take_recognisers_from "$(from_caller "$trained_dir")"
fi
learnt=$(for folder in $learnt_dirs; do realpath -m --relative-to=. "$(from_caller "$folder")"; done | xargs) # the checkout's own path may have blanks

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
        --learnt "$learnt" --skip-bad-clips "$skip_bad_clips" --seed "$seed" "${roots[@]}"
    check_sets "cls_train asr_train $learnt" "cls_dev asr_dev" "cls_test ls accented unseen cma"
fi

test_sets=$(present "ls accented unseen cma")
all_sets=$(present "$(needed_sets "$test_sets")")
map_sets="$(present "$asr_train") $test_sets"

if begin 2 "log-mel features";                                   then extract_features; fi
if begin 3 "accent classifier, and a control of durations";      then train_classifier; fi
if begin 4 "saliency maps, how faithful they are, where they point"; then map_saliency; measure_saliency; locate_saliency; fi
if begin 5 "masked features";                                    then mask_features; fi
if begin 6 "recognisers, one for each system and seed";          then finetune; fi
if begin 7 "hypotheses";                                         then decode; fi
if begin 8 "WER and CER";                                        then score_words; fi
if begin 9 "report";                                             then
    report_results "LibriSpeech and EdAcc"
fi
