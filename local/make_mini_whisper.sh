#!/usr/bin/env bash
# make_mini_whisper.sh <file> [<language>]: make the mini Whisper, once a checkout: 128 wide, two and two layers, the
# full vocabulary, trained on digit strings in synthetic American voices.  Fine-tuning starts from it where no published
# model is at hand, as the paper starts from a recogniser that works.  Its speakers are in no mini corpus.  The one for
# Persian (fa) goes on from the English one, with Persian digits.
set -euo pipefail
case $# in 1 | 2) ;; *) echo "usage: make_mini_whisper.sh <file> [<language>]" >&2; exit 1 ;; esac
model=$1
language=${2:-en}
case $language in
    en) corpus=librispeech option=--librispeech settings=$SALIENCE_ROOT/conf/whisper_mini.yaml start=new-mini size=3000 system=specaugment ;;
    fa) corpus=common_voice_persian option=--persian settings=$SALIENCE_ROOT/conf/whisper_mini_fa.yaml size=800 system=plain
        start=$(dirname "$model")/../whisper-mini/mini.pt ;;
    *) echo "make_mini_whisper.sh: there is no mini Whisper for the language $language; there are en and fa" >&2; exit 1 ;;
esac
work=$(dirname "$model")
mkdir -p "$work"
[ "$language" = en ] || make_mini_whisper.sh "$start"
exec 9> "$work/lock"
flock 9 # a second recipe waits for the first one's model
made_with=$(cat "$settings"; [ "$language" = en ] || cat "$(dirname "$start")/made_with")
if [ -e "$model" ] && [ "$(cat "$work/made_with" 2> /dev/null)" = "$made_with" ]; then exit 0; fi
echo "making the mini Whisper ($language), once: some minutes; its log is $work/make.log"
{
    fetch_corpus.py --corpus "$corpus" --target "$work/corpus" --mini true --pretraining "$size"
    prepare_pretraining.py "$option" "$(cat "$work/corpus/root.txt")" --out "$work/data"
    for set in asr_train asr_dev; do split_data.sh "$work/data/$set" 1; done
    extract_features.py --data "$work/data" --sets "asr_train asr_dev" --out "$work/dump"
    merge_archives.py --folder "$work/dump" --sets "asr_train asr_dev" --name feats --jobs 1 --tables utt2num_frames
    finetune.py --recogniser whisper --config "$settings" --data "$work/data" --features "$work/dump" --out "$work/train" \
        --model "$start" --systems "$SALIENCE_ROOT/egs/librispeech_edacc/conf/systems.yaml" --system "$system" --language "$language" --train-set asr_train --dev-set asr_dev
} >> "$work/make.log" 2>&1 || { tail -n 5 "$work/make.log" >&2; exit 1; }
mv "$work/train/model.pt" "$model"
echo "$made_with" > "$work/made_with"
rm -rf "$work/corpus" "$work/data" "$work/dump"
