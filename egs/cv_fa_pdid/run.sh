#!/usr/bin/env bash
# Accent-invariant recognition of Persian after Sameti et al. (2025): a corpus of dialects is collected from long
# recordings, a CNN learns to tell its accents apart, Grad-CAM says where in the spectrogram it looks, those regions are
# masked in a copy of Common Voice, and Whisper is fine-tuned on both.
set -euo pipefail
. ./path.sh
. options.sh # --stage, --nj, --ngpu, --mini and others that every recipe has
. accent_options.sh # --systems, --model, --seeds and others that every accent recipe has

# Common Voice (a Persian release or delta segment) is never downloaded: it needs a login.
common_voice_root=
common_voice_archive=
labelled_tables=validated # of a delta segment, which has no train.tsv, dev.tsv, test.tsv: tables whose clips are used
test_share=0.1           # of its speakers
max_clips=               # at most this many Common Voice clips of a speaker in training (default: all)
# The corpus of dialects: as its owner supplies it, or collected from long recordings, with an accent for each folder or
# for each line of a list.  With neither of them, the sets of Common Voice are made alone.
pdid_root=
pdid_archive=
recordings_root=
recordings_list=         # a table: path, accent and, if known, speaker
reference=               # timed utterances of the recordings, to compare the collection with and to take text from
vad=                     # finds speech: silero (default), pyannote, or pyannote:<pipeline> (a name or a path)
diariser=                # tells voices apart: resemblyzer (default), pyannote, or pyannote:<pipeline>
separator=               # takes music from under speech: none (default: such speech is rejected), demucs, or demucs:<model>

model=                   # Whisper to start from: a name, a file, a folder (Hugging Face, CTranslate2), or mini (default: base; mini: mini)
test_only=Tajiki,Shirazi,Balochi # accents that are in the test set alone
standard_train=          # Common Voice clips among the classifier's (default: 1000, as in English; mini: 40; 0: none)
asr_train_accents=false  # true: PDID's training clips that have text join the recogniser's training set
language=fa
normaliser="persian-joined persian" # of the other scores; systems are compared by the last one
finetune_config=         # settings of the training of the recogniser (default: the paper's for medium, and those for base for all others)
paper=                   # the paper's figures, beside real speech (default: those of Whisper base or medium; none for others)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seed N]
    [--common-voice-root DIR] [--pdid-root DIR | --recordings-root DIR] [--skip-bad-clips true]
    [any variable at the top of this file, of local/options.sh or of local/accent_options.sh]
--systems 'zero-shot plain' takes some of the systems; a stage that none of them needs is passed
stages: 0 corpora and collection, 1 data, 2 features, 3 classifier, 4 saliency, 5 masking, 6 recognisers, 7 decode,
        8 score, 9 report"

command="./run.sh --egs cv_fa_pdid${*:+$(printf ' %q' "$@")}"
. parse_options.sh
setup.sh # returns immediately if already set up
. "$SALIENCE_ROOT/conf/cmd.sh"
if [ "$mini" = true ]; then
    seeds=${seeds:-1} model=${model:-mini} standard_train=${standard_train:-40}
else
    seeds=${seeds:-1 2 3} model=${model:-base} standard_train=${standard_train:-1000}
fi
size=$(basename "$model" .pt) # a file is called as its model is
[ "$mini" = true ] || finetune_config=${finetune_config:-${conf:-conf}/finetune_$([ "$size" = medium ] && echo medium || echo base).yaml}
case $size in base) paper=${paper:-conf/paper.yaml} ;; medium) paper=${paper:-conf/paper_medium.yaml} ;; *) paper=${paper:-/dev/null} ;; esac
corpora="Common Voice fa and PDID, Whisper $size$([ "$asr_train_accents" = false ] || echo ", PDID in training")"
. accent_stages.sh
. local/collection_stage.sh
check_options "a number" "$decimal" test_share
check_options "a number" "($whole)?" max_clips

if begin 0 "corpora, and the collection from recordings"; then
    if [ "$mini" = true ] || [ -n "$common_voice_root$common_voice_archive" ]; then
        common_voice_persian_root=$common_voice_root common_voice_persian_archive=$common_voice_archive
        fetch common_voice_persian
    else
        rm -f "$downloads/common_voice_persian/root.txt"
    fi
    if [ -n "$pdid_root$pdid_archive" ]; then
        rm -f "$downloads/pdid/collection.json"
        fetch pdid
    elif [ "$mini" = true ] || [ -n "$recordings_root$recordings_list" ]; then
        collect_recordings
    else
        rm -f "$downloads/pdid/root.txt" "$downloads/pdid/collection.json"
    fi
fi

if begin 1 "data directories, splits, leakage"; then
    roots_of "common_voice_persian pdid"
    local/prepare_sets.py --out "$data" --labelled-tables "$labelled_tables" --test-share "$test_share" \
        ${max_clips:+--max-clips "$max_clips"} --test-only "$test_only" --standard-train "$standard_train" \
        --asr-train-accents "$asr_train_accents" --skip-bad-clips "$skip_bad_clips" --seed "$seed" "${roots[@]/#--common_voice_persian/--common-voice}"
    check_sets "cls_train asr_train" "cls_dev asr_dev" "cls_test standard accented" \
        --forbid-shared-recordings true --normaliser persian
fi

test_sets=$(present "standard accented")
all_sets=$(present "$(needed_sets "$test_sets")")
map_sets="$asr_train $test_sets"
if [ -z "$all_sets" ] && [ -e "$data/preparation.txt" ] && [ -e "$downloads/pdid/collection.json" ]; then
    stage=9 # a collection by itself, without text or a second accent, has nothing to train and a report
fi

if begin 2 "log-mel features";                                   then extract_features; fi
if begin 3 "accent classifier, and a control of durations";      then train_classifier; fi
if begin 4 "saliency maps, how faithful they are, where they point"; then map_saliency; measure_saliency; locate_saliency; fi
if begin 5 "masked features";                                    then mask_features; fi
if begin 6 "recognisers, one for each system and seed";          then finetune; fi
if begin 7 "hypotheses";                                         then decode; fi
if begin 8 "WER and CER";                                        then score_words; fi
if begin 9 "report"; then
    if [ -e "$downloads/pdid/collection.json" ]; then
        collection=$downloads/pdid/collection.json
        collect_results.py --report conf/report.yaml --out "$results/results.json" --corpus "PDID collection" \
            --synthetic "$mini" --command "$command" --paper conf/paper.yaml \
            --values.collection "$collection"
    fi
    if [ -n "$test_sets" ] || [ -z "$collection" ]; then
        report_results "$corpora"
    else # a collection by itself
        report_results.py --report conf/report.yaml --results "$results/results.json" --out "$results/RESULTS.md" \
            --html "$exp/report/report.html" --corpus "PDID collection" --values.collection "$collection"
    fi
fi
