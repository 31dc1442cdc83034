# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# What the stages of the Catalan recipe do.  stages.sh comes before.

first_seed=${seeds%% *}
first_classifier=seed${side_seeds%% *}
pretraining_config=${pretraining_config:-$conf/pretraining.yaml}
tokens=$data/vocabulary$([ "$legacy_vocabulary" = false ] || echo /legacy)/tokens.txt
check_options "a number" "$whole" "least_per_accent chunk beam"
check_options "a number" "($whole)?" "most_per_accent dev_limit test_limit"
check_options "a number" "$decimal" "random_share shortest longest max_disk_gb"
check_options "numbers parted by blanks" "$wholes" side_seeds

train_sets="labelled_train accent_train gender_train"
dev_sets="labelled_dev accent_dev gender_dev"
test_sets="labelled_test accent_test gender_test"
random_train_sets="labelled_train_random accent_train_random gender_train_random"
random_dev_sets="labelled_dev_random accent_dev_random gender_dev_random"
random_test_sets="labelled_test_random accent_test_random gender_test_random"

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

next_chunk() { # the first that nothing has been learnt from: the one to have on the disk
    local k=1
    while [ -e "$exp/pretrained/chunk$k/step.json" ]; do k=$((k + 1)); done
    echo "$k"
}

prepare_signals() { # stage 2
    local next
    needs_set labelled_train
    prepare_vocabulary.py --out "$data/vocabulary" --text "$data/labelled_train/text"
    if [ -e "$data/unlabelled" ] && [ "$chunk" -eq 0 ]; then
        rm -rf "$data/unlabelled_chunk" "$dump/unlabelled_chunk"
        nj=1 decode_sets unlabelled
    elif [ -e "$data/unlabelled" ]; then
        # Stage 3 goes on to the others.
        next=$([ -e "$dump/unlabelled/chunks" ] && next_chunk || echo 1)
        if [ "$next" -eq 1 ] || [ "$next" -le "$(wc -l < "$dump/unlabelled/chunks")" ]; then decode_chunk "$next"; fi
    fi
    # The sets with labels share their clips.
    nj=1 decode_sets "$(present "$train_sets $dev_sets $test_sets $random_train_sets $random_dev_sets $random_test_sets")" --together labelled
}

pretrain() { # the model that "own" stands for: one for all seeds of what is made from it
    local start=$pretraining_start k chunks out=$exp/pretrained/seed$first_seed options
    [ "$start" = random ] || [ ! -d "$(from_caller "$start")" ] || start=$(from_caller "$start")
    # shellcheck disable=SC2206
    options=(--config "$pretraining_config" --data "$data" --packed "$dump" --dev-set labelled_dev --size "$size"
        --seed "$first_seed" --ngpu "$ngpu")
    mkdir -p "$exp/pretrained/log"
    if [ "$chunk" -eq 0 ]; then
        # shellcheck disable=SC2086
        OMP_NUM_THREADS=$all_threads $cuda_cmd $gpu $spread --num-threads "$all_threads" "$exp/pretrained/log/train.log" \
            $launcher pretrain_wav2vec.py "${options[@]}" --start "$start" --out "$out"
        return
    fi
    # Chunk after chunk, each from where the one before has led; only one is on the disk.
    sed 's/sets: unlabelled/&_chunk/' "$pretraining_config" > "$exp/pretrained/chunk.yaml"
    options+=(--config "$exp/pretrained/chunk.yaml")
    chunks=$(wc -l < "$dump/unlabelled/chunks")
    for ((k = 1; k <= chunks; k++)); do
        # A chunk that has been learnt from is no longer on the disk, so nothing can be compared with it.
        if [ -e "$exp/pretrained/chunk$k/step.json" ]; then
            echo "done before: $exp/pretrained/chunk$k (remove it to train again)"
            start=$exp/pretrained/chunk$k
            continue
        fi
        decode_chunk "$k"
        # shellcheck disable=SC2086
        OMP_NUM_THREADS=$all_threads $cuda_cmd $gpu $spread --num-threads "$all_threads" "$exp/pretrained/log/train.$k.log" \
            $launcher pretrain_wav2vec.py "${options[@]}" --start "$start" --out "$exp/pretrained/chunk$k"
        start=$exp/pretrained/chunk$k
    done
    ln -sfn "chunk$chunks" "$out"
}

model_of() { # model_of <start>: the folder or name behind a start
    case $1 in
        random) echo random ;;
        own) needs "$exp/pretrained/seed$first_seed/model.safetensors" 3; echo "$exp/pretrained/seed$first_seed" ;;
        spanish | english | multilingual)
            if [ -d "$(from_caller "${!1}")" ]; then from_caller "${!1}"; else echo "${!1}"; fi ;;
        *) fail "--starts knows random, own, spanish, english and multilingual, not '$1'" ;;
    esac
}

learn() { # stage 3
    local lines=$exp/classifier/log/lines s from
    needs "$dump/labelled_train/utterances" 2
    pretrain
    from=$(model_of "$variant_start")
    mkdir -p "$exp/classifier/log"
    for s in $side_seeds; do
        classifier accent accent "" "$s" "$from"
        classifier accent_random accent _random "$s" "$from"
        classifier gender gender "" "$s" "$from"
        classifier gender_random gender _random "$s" "$from"
    done > "$lines"
    # shellcheck disable=SC2046,SC2086
    in_array "$exp/classifier/log/train" "$lines" $(trainings) -- $launcher train_wav2vec_classifier.py --config "$conf/classifier.yaml" \
        --data "$data" --packed "$dump" --size "$size" --ngpu "$ngpu"
}

classifier() { # classifier <name> <labels> <end of the sets' names> <seed> <start>: the options of one training
    [ -e "$data/$2_train$3/utt2spk" ] || return 0
    echo "--labels $2 --train-set $2_train$3 --dev-set $2_dev$3 --test-sets '$2_dev$3 $2_test$3' --start $(quoted "$5") --seed $4" \
        "--out $exp/classifier/$1/$variant_start/seed$4"
}

map_accents() { # stage 4: what the accent classifier hears, of the recognisers' training set and of their test set
    local model=$exp/classifier/accent/$variant_start/$first_classifier
    needs "$model/model.safetensors" 3
    # shellcheck disable=SC2086
    $cuda_cmd $gpu "$exp/saliency/log/accent.log" map_wav2vec.py --data "$data" --packed "$dump" --model "$model" \
        --sets "labelled_train labelled_test" --out "$exp/saliency" --task accent --device "$device" --check-space "$check_space"
}

mask() { # stage 5: the masks of the first epoch, and how much they hide
    needs "$exp/saliency/gradcam/accent/labelled_train/saliency.scp" 4
    local variant
    for variant in $variants; do
        [ "$variant" = plain ] || mask_latents.py --variant "$variant" --maps "$exp/saliency/gradcam/accent/labelled_train/saliency.scp" \
            --out "$exp/masked/$variant/labelled_train" --seed "$first_seed"
    done
}

finetune() { # stage 6
    local lines=$exp/ctc/log/lines s start from variant masked
    needs "$tokens" 2
    mkdir -p "$exp/ctc/log"
    for s in $seeds; do
        masked=$([[ " $side_seeds " != *" $s "* ]] || echo "$variants")
        for start in $starts; do
            from=$(model_of "$start")
            for variant in plain $([ "$start" != "$variant_start" ] || echo "$masked"); do
                echo "--start $(quoted "$from") --variant $variant --seed $s --out $exp/ctc/$start/$variant/seed$s"
            done
        done
    done | awk '!seen[$0]++' > "$lines"
    if [ "$variants" != plain ]; then needs "$exp/saliency/gradcam/accent/labelled_train/saliency.scp" 4; fi
    # shellcheck disable=SC2046,SC2086
    in_array "$exp/ctc/log/train" "$lines" $(trainings) -- $launcher finetune_wav2vec.py --config "$conf/finetune.yaml" --data "$data" \
        --packed "$dump" --tokens "$tokens" --size "$size" --normaliser catalan --ngpu "$ngpu" \
        --maps "$exp/saliency/gradcam/accent/labelled_train/saliency.scp"
}

decode() { # stage 7
    local lines=$exp/ctc/log/decode folder
    needs "$exp/ctc/log/lines" 6
    sed -n 's/.*--out //p' "$exp/ctc/log/lines" | while read -r folder; do
        needs "$folder/model.safetensors" 6
        echo "--model $folder --out $folder/decode ${lm:+--lm $(quoted "$(from_caller "$lm")")}"
    done > "$lines"
    # shellcheck disable=SC2086
    in_array "$exp/ctc/log/decode" "$lines" $gpu --max-jobs-run "$nj" -- decode_wav2vec.py --data "$data" --packed "$dump" \
        --sets labelled_test --device "$device" --beam "$beam"
    folder=$exp/ctc/${starts##* }/plain/seed$first_seed
    [ ! -e "$exp/ctc/own/plain/seed$first_seed" ] || folder=$exp/ctc/own/plain/seed$first_seed
    for name in ctc ctc-characters; do
        # shellcheck disable=SC2086
        $cuda_cmd $gpu "$exp/saliency/log/$name.log" map_wav2vec.py --data "$data" --packed "$dump" --model "$folder" \
            --sets labelled_test --out "$exp/saliency" --task "$name" --target reference --normaliser catalan \
            --per-character "$([ $name = ctc ] && echo false || echo true)" --device "$device" --check-space "$check_space"
    done
}
