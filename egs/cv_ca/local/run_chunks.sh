# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this after stages.sh, sets the variables
# Pretraining where the decoded clips do not fit on the disk: chunk after chunk, a model for each, from the one before.

run_chunks() { # run_chunks <settings> <clips in a chunk> <folder of the model>
    local config=$1 size=$2 out=$3 chunks origin from=() k
    chunks=$(dirname "$out")/chunks/$(basename "$out")
    needs_set unlabelled
    origin=$(chunk_origin "$config" "$size")
    if [ -e "$chunks" ] && ! diff "$chunks/origin" - <<< "$origin"; then
        echo "done again, because what it comes from changed: $chunks"
        rm -rf "$chunks"
    fi
    mkdir -p "$chunks"
    echo "$origin" > "$chunks/origin"
    sed 's#\(^\|[^[:alnum:]_/]\)unlabelled\b#&_chunk#g' "$config" > "$chunks/pretraining.yaml"
    for ((k = 1; (k - 1) * size < $(wc -l < "$data/unlabelled/utt2spk"); k++)); do
        if [ -e "$chunks/chunk$k/step.json" ]; then
            echo "done before: $chunks/chunk$k"
        else
            decode_chunk "$k" "$size"
            pretrain "train.$k" --config "$chunks/pretraining.yaml" "${from[@]}" --out "$chunks/chunk$k"
        fi
        from=(--start "$chunks/chunk$k" --continued true)
    done
    # A model that was pretrained without chunks gives way.
    [ -L "$out" ] || rm -rf "$out"
    ln -sfn "chunks/$(basename "$out")/chunk$((k - 1))" "$out"
}

decode_chunk() { # decode_chunk <number> <clips in a chunk>: this chunk in the place of the one before, as the set unlabelled_chunk
    rm -rf "$dump/unlabelled" # all clips, of an earlier run without chunks
    decode_clips --sets unlabelled --chunk "$2" --only "$1"
    subset_data_dir.sh --utt-list "$dump/unlabelled_chunk/utterances" "$data/unlabelled" "$data/unlabelled_chunk" > /dev/null
}

chunk_origin() { # chunk_origin <settings> <clips in a chunk>: what the models come from: their clips are no longer there to be compared
    local name
    echo "--chunk $2 --seed $seed, $first_seed in training"
    name=$(sed -n 's/^start: *//p' "$1")
    [ ! -d "$name" ] || find "$name" -maxdepth 1 -type f -printf '%p %s %T@\n' | sort
    for name in $(present "labelled_dev $(grep -ow '[a-z_]*' "$1" | sort -u | xargs)"); do
        cksum "$data/$name/utt2spk" "$data/$name/utt2dur"
    done
    cat "$1"
}
