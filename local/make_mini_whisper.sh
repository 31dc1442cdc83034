#!/usr/bin/env bash
# make_mini_whisper.sh <file>: make the mini Whisper, once a checkout: 128 wide, two and two layers, the full
# vocabulary, trained on digit strings in synthetic American voices.  Fine-tuning starts from it where no published
# model is at hand, as the paper starts from a recogniser that works.  Its speakers are in no mini corpus.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: make_mini_whisper.sh <file>" >&2; exit 1; }
model=$1
work=$(dirname "$model")
mkdir -p "$work"
exec 9> "$work/lock"
flock 9 # a second recipe waits for the first one's model
settings=$(cat "$SALIENCE_ROOT/conf/whisper_mini.yaml")
if [ -e "$model" ] && [ "$(cat "$work/made_with" 2> /dev/null)" = "$settings" ]; then exit 0; fi
echo "making the mini Whisper, once: about five minutes; its log is $work/make.log"
{
    fetch_corpus.py --corpus librispeech --target "$work/corpus" --mini true --pretraining 3000
    prepare_pretraining.py --librispeech "$(cat "$work/corpus/root.txt")" --out "$work/data"
    for set in asr_train asr_dev; do split_data.sh "$work/data/$set" 1; done
    extract_features.py --data "$work/data" --sets "asr_train asr_dev" --out "$work/dump"
    merge_archives.py --folder "$work/dump" --sets "asr_train asr_dev" --name feats --jobs 1 --tables utt2num_frames
    finetune_whisper.py --config "$SALIENCE_ROOT/conf/whisper_mini.yaml" --data "$work/data" --features "$work/dump" \
        --out "$work/train" --model new-mini --variant specaugment
} >> "$work/make.log" 2>&1 || { tail -n 5 "$work/make.log" >&2; exit 1; }
mv "$work/train/model.pt" "$model"
echo "$settings" > "$work/made_with"
rm -rf "$work/corpus" "$work/data" "$work/dump"
