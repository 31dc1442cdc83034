# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# What the stages of the Catalan recipe do.  stages.sh comes before.

last_stage=2
if [ "$stage" -gt $last_stage ] || [ "$stop_stage" -gt $last_stage ]; then
    fail "the stages after $last_stage do not exist yet; give --stop-stage $last_stage or less"
fi
[[ $chunk =~ ^[0-9]+$ ]] || fail "--chunk takes a number of clips, not '$chunk'"

train_sets="labelled_train accent_train gender_train"
dev_sets="labelled_dev accent_dev gender_dev"
test_sets="labelled_test accent_test gender_test"
random_train_sets="labelled_train_random accent_train_random"
random_dev_sets="labelled_dev_random accent_dev_random"
random_test_sets="labelled_test_random accent_test_random"

fetch_corpus() { # stage 0
    local common_voice_catalan_root=$common_voice_root common_voice_catalan_archive=$common_voice_archive
    fetch common_voice_catalan
}

prepare_data() { # stage 1
    local name random
    needs "$downloads/common_voice_catalan/root.txt" 0
    local/prepare_sets.py --out "$data" --common-voice "$(cat "$downloads/common_voice_catalan/root.txt")" \
        --unlabelled-releases "$unlabelled_releases" --legacy-accents "$legacy_accents" --least-per-accent "$least_per_accent" \
        --random-share "$random_share" --shortest "$shortest" --longest "$longest" --skip-bad-clips "$skip_bad_clips" \
        --other-columns "$other_columns" --seed "$seed" ${accent_table:+--accent-table "$(from_caller "$accent_table")"} \
        ${most_per_accent:+--most-per-accent "$most_per_accent"} ${dev_limit:+--dev-limit "$dev_limit"} \
        ${test_limit:+--test-limit "$test_limit"}
    for name in $(present "$train_sets $dev_sets $test_sets $random_train_sets $random_dev_sets $random_test_sets"); do
        validate_data_dir.sh --no-feats --max-duration "$longest" "$data/$name"
    done
    if [ -e "$data/unlabelled" ]; then
        validate_data_dir.sh --no-feats --no-text --max-duration "$longest" "$data/unlabelled"
    fi
    check_leakage.py --train "$(folders_of "$train_sets unlabelled")" --dev "$(folders_of "$dev_sets")" \
        --test "$(folders_of "$test_sets")" --report "$data/leakage.md"
    # The random split of the paper, to show what it leaks.
    random=$(present "$random_train_sets $random_dev_sets $random_test_sets")
    check_leakage.py --train "$(folders_of "$random_train_sets")" --dev "$(folders_of "$random_dev_sets")" \
        --test "$(folders_of "$random_test_sets")" --report "$data/leakage_random.md" --allow-shared-speakers "$random"
}

decode_sets() { # decode_sets <sets> [option of decode_chunks.py ...]
    $train_cmd JOB=1:"$nj" "$dump/log/decode.JOB.log" decode_chunks.py --data "$data" --out "$dump" --sets "$1" \
        --max-disk-gb "$max_disk_gb" --seed "$seed" --job JOB --jobs "$nj" "${@:2}"
}

decode_chunk() { # decode_chunk <number>: this chunk in the place of the one before, as the set unlabelled_chunk
    local name
    nj=1 decode_sets unlabelled --chunk "$chunk" --only "$1"
    name=$(sed -n "${1}s/ .*//p" "$dump/unlabelled/chunks")
    subset_data_dir.sh --utt-list "$dump/unlabelled/$name/utterances" "$data/unlabelled" "$data/unlabelled_chunk" > /dev/null
    ln -sfn "unlabelled/$name" "$dump/unlabelled_chunk"
}

prepare_signals() { # stage 2
    needs_set labelled_train
    prepare_vocabulary.py --out "$data/vocabulary" --text "$data/labelled_train/text"
    if [ -e "$data/unlabelled" ] && [ "$chunk" -eq 0 ]; then
        rm -rf "$data/unlabelled_chunk" "$dump/unlabelled_chunk"
        nj=1 decode_sets unlabelled
    elif [ -e "$data/unlabelled" ]; then
        # Stage 3 goes on to the others.
        decode_chunk 1
    fi
    # The sets with labels share their clips.
    nj=1 decode_sets "$(present "$train_sets $dev_sets $test_sets $random_train_sets $random_dev_sets $random_test_sets")" --together labelled
}
