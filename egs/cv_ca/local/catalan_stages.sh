# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# What the stages of the Catalan recipe do.  stages.sh comes before.

first_seed=${seeds%% *}
first_classifier=seed${side_seeds%% *}
chunks=$exp/pretrained/chunks/seed$first_seed # with --chunk: a model for each chunk, each from the one before
masked_variants=$(for variant in $variants; do [ "$variant" = plain ] || echo "$variant"; done | xargs)
mapped_variants=$(for variant in $masked_variants; do [ "$variant" = specaugment ] || echo "$variant"; done | xargs)

settings_of() { # settings_of <file>: in the folder of settings, among this recipe's, or from where the user called
    local place
    for place in "$conf/$1" "conf/$1" "$1"; do
        if [ -f "$place" ]; then echo "$place"; return; fi
    done
    from_caller "$1"
}
[ -d "$conf" ] || conf=$(from_caller "$conf")
pretraining_config=$(settings_of "${pretraining_config:-pretraining.yaml}")
[ -f "$pretraining_config" ] || fail "$pretraining_config does not exist; correct --conf or --pretraining-config"
[ -z "$lm" ] || [ "$beam" != 0 ] || fail "--lm needs --beam, its width; give for instance --beam 50"
tokens=$data/vocabulary$([ "$legacy_vocabulary" = false ] || echo /legacy)/tokens.txt
check_options "a number" "$whole" "least_per_accent chunk beam"
check_options "a number" "($whole)?" "most_per_accent most_per_gender train_limit dev_limit test_limit"
check_options "a number" "$decimal" "random_share shortest longest max_disk_gb"
check_options "numbers separated by spaces" "$wholes" side_seeds
takes variants "$variants" "plain|specaugment|random-mask|gradcam" "some of plain, specaugment, random-mask and gradcam"

train_sets="labelled_train accent_train gender_train"
dev_sets="labelled_dev accent_dev gender_dev"
test_sets="labelled_test accent_test gender_test"
random_train_sets="labelled_train_random accent_train_random gender_train_random"
random_dev_sets="labelled_dev_random accent_dev_random gender_dev_random"
random_test_sets="labelled_test_random accent_test_random gender_test_random"

asks_for_own() { # whether anything starts from the model that stage 3 pretrains
    case " $starts $variant_start " in *" own "*) ;; *) return 1 ;; esac
}

recognisers() { # "<start>/<variant>/<seed>" of each: variants with masks have one start, and the seeds of classifiers
    local s start variant
    for s in $seeds; do
        for start in $starts; do
            echo "$start/plain/$s"
            if [ "$start" != "$variant_start" ] || [[ " $side_seeds " != *" $s "* ]]; then continue; fi
            for variant in $variants; do echo "$start/$variant/$s"; done
        done
    done | awk '!seen[$0]++'
}

fetch_corpus() { # stage 0
    local common_voice_catalan_root=$common_voice_root common_voice_catalan_archive=$common_voice_archive
    fetch common_voice_catalan
}

prepare_data() { # stage 1
    local name random
    needs "$downloads/common_voice_catalan/root.txt" 0
    local/prepare_sets.py --out "$data" --common-voice "$(cat "$downloads/common_voice_catalan/root.txt")" \
        --unlabelled-releases "$unlabelled_releases" --labelled-tables "$labelled_tables" --unlabelled-tables "$unlabelled_tables" \
        ${unlabelled_data:+--unlabelled-data "$(from_caller "$unlabelled_data")"} --legacy-accents "$legacy_accents" --least-per-accent "$least_per_accent" \
        --random-share "$random_share" --shortest "$shortest" --longest "$longest" --skip-bad-clips "$skip_bad_clips" \
        --other-columns "$other_columns" --seed "$seed" ${accent_table:+--accent-table "$(from_caller "$accent_table")"} \
        ${most_per_accent:+--most-per-accent "$most_per_accent"} ${most_per_gender:+--most-per-gender "$most_per_gender"} \
        ${train_limit:+--train-limit "$train_limit"} ${dev_limit:+--dev-limit "$dev_limit"} ${test_limit:+--test-limit "$test_limit"}
    for name in $(present "$train_sets $dev_sets $test_sets $random_train_sets $random_dev_sets $random_test_sets"); do
        validate_data_dir.sh --no-feats --max-duration "$longest" "$data/$name"
    done
    if [ -e "$data/unlabelled" ]; then
        validate_data_dir.sh --no-feats --no-text --max-duration "$longest" "$data/unlabelled"
    fi
    check_leakage.py --normaliser catalan --train "$(folders_of "$train_sets unlabelled")" --dev "$(folders_of "$dev_sets")" \
        --test "$(folders_of "$test_sets")" --report "$data/leakage.md"
    # The random split of the paper, to show what it leaks.
    random=$(present "$random_train_sets $random_dev_sets $random_test_sets")
    check_leakage.py --normaliser catalan --train "$(folders_of "$random_train_sets")" --dev "$(folders_of "$random_dev_sets")" \
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

chunk_options() { # what the models of all chunks come from: the clips that they have learnt from are no longer there to be compared
    local name
    echo "--chunk $chunk --seed $seed, $first_seed in training, --size $size --pretraining-start $pretraining_start"
    name=$(from_caller "$pretraining_start")
    [ ! -d "$name" ] || find "$name" -maxdepth 1 -type f -printf '%p %s %T@\n' | sort
    for name in $(present "labelled_dev $(grep -ow '[a-z_]*' "$pretraining_config" | sort -u | xargs)"); do
        cksum "$data/$name/utt2spk" "$data/$name/utt2dur"
    done
    cat "$pretraining_config"
}

next_chunk() { # the first that nothing has been learnt from with these options: the one to have on the disk
    local k=1
    if chunk_options | cmp -s - "$chunks/options"; then
        while [ -e "$chunks/chunk$k/step.json" ]; do k=$((k + 1)); done
    fi
    echo "$k"
}

prepare_signals() { # stage 2
    local name next
    for name in labelled_train labelled_dev labelled_test; do needs_set "$name"; done
    prepare_vocabulary.py --out "$data/vocabulary" --text "$data/labelled_train/text"
    if ! asks_for_own; then
        echo "the unlabelled clips are left out: neither --starts nor --variant-start names own, the model that is pretrained on them"
    elif [ -e "$data/unlabelled" ] && [ "$chunk" -eq 0 ]; then
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
    local start=$pretraining_start out=$exp/pretrained/seed$first_seed
    [ "$start" = random ] || [ ! -d "$(from_caller "$start")" ] || start=$(from_caller "$start")
    [[ $(< "$pretraining_config") != *unlabelled* ]] || needs_set unlabelled
    mkdir -p "$exp/pretrained/log"
    if [ "$chunk" -eq 0 ]; then
        # The link of an earlier run with chunks: what is written there would be written into a chunk's model.
        [ ! -L "$out" ] || rm "$out"
        pretraining train --config "$pretraining_config" --start "$start" --out "$out"
    else
        pretrain_in_chunks "$start" "$out"
    fi
}

pretraining() { # pretraining <log name> [option of pretrain_wav2vec.py ...]
    # shellcheck disable=SC2086
    OMP_NUM_THREADS=$all_threads $cuda_cmd $gpu $spread --num-threads "$all_threads" "$exp/pretrained/log/$1.log" \
        $launcher pretrain_wav2vec.py "${@:2}" --data "$data" --packed "$dump" --dev-set labelled_dev --size "$size" \
        --seed "$first_seed" --ngpu "$ngpu"
}

pretrain_in_chunks() { # pretrain_in_chunks <start> <out>: chunk after chunk, of which only one is on the disk
    local start=$1 out=$2 continued=false k
    needs "$dump/unlabelled/chunks" 2
    if [ -e "$chunks" ] && ! chunk_options | cmp -s - "$chunks/options"; then
        echo "done again, because what it comes from changed: $chunks"
        diff "$chunks/options" <(chunk_options) || true
        rm -rf "$chunks"
    fi
    mkdir -p "$chunks"
    chunk_options > "$chunks/options"
    sed 's#\(^\|[^[:alnum:]_/]\)unlabelled\b#&_chunk#g' "$pretraining_config" > "$chunks/pretraining.yaml"
    # Another --chunk than that of stage 2 changes their number with the first.
    for ((k = 1; k <= $(wc -l < "$dump/unlabelled/chunks"); k++)); do
        if [ -e "$chunks/chunk$k/step.json" ]; then
            echo "done before: $chunks/chunk$k"
        else
            decode_chunk "$k"
            pretraining "train.$k" --config "$chunks/pretraining.yaml" --start "$start" --continued "$continued" --out "$chunks/chunk$k"
        fi
        start=$chunks/chunk$k continued=true
    done
    # A model that was learnt without chunks gives way.
    [ -L "$out" ] || rm -rf "$out"
    ln -sfn "chunks/seed$first_seed/${start##*/}" "$out"
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

check_starts() { # what others made is looked for before hours of training, and not in stage 6
    local start from
    for start in $variant_start $([ "$stop_stage" -lt 6 ] || echo "$starts"); do
        [ "$start" != own ] || continue
        from=$(model_of "$start") || exit 1
        [ "$from" = random ] || check_start.py --start "$from"
    done
}

needs_accents() { # masks come from a classifier of accents
    [ -n "$(all_of accent)" ] || fail "there are no accents to learn from in $PWD/$data: run stage 1, or, if $data/preparation.txt says why it made none, give --variants plain"
}

all_of() { # all_of <labels> [_random]: the sets that a classifier needs, or nothing if one is missing
    local sets="$1_train${2:-} $1_dev${2:-} $1_test${2:-}"
    [ "$(present "$sets")" != "$sets" ] || echo "$sets"
}

learn() { # stage 3
    local lines=$exp/classifier/log/lines labels split from
    needs "$dump/labelled_train/utterances" 2
    [ -z "$mapped_variants" ] || needs_accents
    check_starts
    if asks_for_own; then pretrain; else echo "nothing is pretrained: neither --starts nor --variant-start names own"; fi
    from=$(model_of "$variant_start") || exit 1
    mkdir -p "$exp/classifier/log"
    for labels in accent gender; do
        for split in "" _random; do classifiers "$labels" "$split" "$from"; done
    done > "$lines"
    if [ ! -s "$lines" ]; then
        asks_for_own || passed "nothing is pretrained, and there is no classifier to train"
        return
    fi
    # shellcheck disable=SC2046,SC2086
    in_array "$exp/classifier/log/train" "$lines" $(trainings) -- $launcher train_wav2vec_classifier.py --config "$conf/classifier.yaml" \
        --data "$data" --packed "$dump" --size "$size" --ngpu "$ngpu"
}

classifiers() { # classifiers <labels> <end of the sets' names> <start>: the options of a training for each seed
    local s
    if [ -z "$(all_of "$1" "$2")" ]; then
        echo "there is no classifier $1$2: not all of its sets have clips ($data/preparation.txt says why)" >&2
        return
    fi
    for s in $side_seeds; do
        echo "--labels $1 --train-set $1_train$2 --dev-set $1_dev$2 --test-sets '$1_dev$2 $1_test$2' --start $(quoted "$3") --seed $s" \
            "--out $exp/classifier/$1$2/$variant_start/seed$s"
    done
}

map_accents() { # stage 4: what the accent classifier hears, of the recognisers' training set and of their test set
    local model=$exp/classifier/accent/$variant_start/$first_classifier
    if [ -z "$mapped_variants$(all_of accent)" ]; then
        passed "there are no accents, so there is nothing to map"
        return
    fi
    needs_accents
    needs "$model/model.safetensors" 3
    # shellcheck disable=SC2086
    $cuda_cmd $gpu "$exp/saliency/log/accent.log" map_wav2vec.py --data "$data" --packed "$dump" --model "$model" \
        --sets "labelled_train labelled_test" --out "$exp/saliency" --task accent --device "$device" --check-space "$check_space"
}

mask() { # stage 5: the masks of the first epoch, and how much they hide
    local variant
    if [ -z "$masked_variants" ]; then passed "no masks are needed for --variants '$variants'"; return; fi
    if [ -z "$mapped_variants$(all_of accent)" ]; then passed "no maps are needed for --variants '$variants'"; return; fi
    needs "$exp/saliency/gradcam/accent/labelled_train/saliency.scp" 4
    for variant in $masked_variants; do
        mask_latents.py --variant "$variant" --maps "$exp/saliency/gradcam/accent/labelled_train/saliency.scp" \
            --out "$exp/masked/$variant/labelled_train" --seed "$first_seed"
    done
}

finetune() { # stage 6
    local lines=$exp/ctc/log/lines s start from variant recogniser
    needs "$tokens" 2
    mkdir -p "$exp/ctc/log"
    for recogniser in $(recognisers); do
        IFS=/ read -r start variant s <<< "$recogniser"
        # Within echo, its failure would end nothing.
        from=$(model_of "$start") || exit 1
        echo "--start $(quoted "$from") --variant $variant --seed $s --out $exp/ctc/$start/$variant/seed$s"
    done > "$lines"
    [ -z "$mapped_variants" ] || needs "$exp/saliency/gradcam/accent/labelled_train/saliency.scp" 4
    # shellcheck disable=SC2046,SC2086
    in_array "$exp/ctc/log/train" "$lines" $(trainings) -- $launcher finetune_wav2vec.py --config "$conf/finetune.yaml" --data "$data" \
        --packed "$dump" --tokens "$tokens" --size "$size" --normaliser catalan --ngpu "$ngpu" \
        --maps "$exp/saliency/gradcam/accent/labelled_train/saliency.scp"
}

decode() { # stage 7
    local lines=$exp/ctc/log/decode folder folders each
    needs "$exp/ctc/log/lines" 6
    folders=$(sed -n 's/.*--out //p' "$exp/ctc/log/lines")
    for folder in $folders; do needs "$folder/model.safetensors" 6; done
    # As many processes as jobs: starting one takes longer than what a small model decodes.
    each=$((($(wc -w <<< "$folders") + nj - 1) / nj))
    xargs -n "$each" <<< "$folders" | while read -r folder; do
        echo "--models '$folder' ${lm:+--lm $(quoted "$(from_caller "$lm")")}"
    done > "$lines"
    # shellcheck disable=SC2086
    in_array "$exp/ctc/log/decode" "$lines" $gpu --max-jobs-run "$nj" -- decode_wav2vec.py --data "$data" --packed "$dump" \
        --sets labelled_test --device "$device" --beam "$beam"
    folder=$exp/ctc/$(case " $starts " in *" own "*) echo own ;; *) echo "${starts##* }" ;; esac)/plain/seed$first_seed
    # Few are drawn, and a map for each character takes long.
    printf '%s\n' "--task ctc --per-character false" "--task ctc-characters --per-character true" > "$exp/ctc/log/map"
    # shellcheck disable=SC2086
    in_array "$exp/saliency/log/ctc" "$exp/ctc/log/map" $gpu --max-jobs-run "$nj" -- map_wav2vec.py --data "$data" --packed "$dump" \
        --model "$folder" --sets labelled_test --out "$exp/saliency" --target reference --normaliser catalan --most-per-accent 3 \
        --device "$device" --check-space "$check_space"
}
