# shellcheck shell=bash
# shellcheck disable=SC2154  # the recipe that sources this sets the variables
# Stages 2 to 9 of the accent recipes: the method of Sameti et al. (2025), standing once.
# A recipe sets: data, dump, exp (folders); all_sets, map_sets, test_sets (names); systems, seeds; model;
# conf (folder of its YAML files); language, normaliser, masks; nj, train_jobs, ngpu, seed, check_space.

. stages.sh

check_options "a number" "$whole" standard_train
check_options "numbers parted by blanks" "$decimals" speed_factors
asr_train=asr_train${speed_factors:+_sp} # the recognisers' training set, with copies at other speeds if asked for
trained=$(for s in $systems; do [ "$s" = zero-shot ] || echo "$s"; done | xargs)
masked=$(for s in $trained; do [ "$s" = plain ] || echo "$s"; done | xargs)

extract_features() { # stage 2: log-mel archives of all sets, by an array of jobs
    [ -z "$speed_factors" ] || perturb_speed.py --source "$data/asr_train" --target "$data/$asr_train" --factors "$speed_factors"
    split_sets "$all_sets"
    $train_cmd JOB=1:"$nj" "$dump/log/extract_features.JOB.log" \
        extract_features.py --data "$data" --sets "$all_sets" --out "$dump" --job JOB --jobs "$nj" \
        --check-space "$check_space"
    merge_archives.py --folder "$dump" --sets "$all_sets" --name feats --jobs "$nj" --data "$data" --tables utt2num_frames
}

train_classifier() { # stage 3: the listener that tells accents apart
    needs_set cls_train
    needs "$dump/cls_train/feats.scp" 2
    # shellcheck disable=SC2086
    OMP_NUM_THREADS=$all_threads $cuda_cmd $gpu $spread --num-threads "$all_threads" "$exp/classifier/log/train.log" \
        $launcher train_classifier.py --config "$conf/classifier.yaml" --data "$data" --features "$dump" \
        --out "$exp/classifier" --seed "$seed" --ngpu "$ngpu"
    grep -h ' on cls_' "$exp/classifier/log/train.log" | sed 's/^[^)]*) //' || true
}

map_saliency() { # stage 4: Grad-CAM, Grad-CAM++ and the two control maps
    needs "$exp/classifier/model.safetensors" 3
    split_sets "$map_sets"
    # shellcheck disable=SC2086
    $cuda_cmd $gpu JOB=1:"$nj" "$exp/saliency/log/map.JOB.log" \
        map_saliency.py --data "$data" --features "$dump" --sets "$map_sets" --classifier "$exp/classifier" \
        --out "$exp/saliency" --job JOB --jobs "$nj" --target "$target" --compress "$compress" --seed "$seed" --device "$device" \
        --check-space "$check_space"
    for kind in gradcam gradcam++ random; do
        merge_archives.py --folder "$exp/saliency/$kind" --sets "$map_sets" --name saliency --jobs "$nj" --data "$data"
    done
    pair_maps.py --maps "$exp/saliency" --features "$dump" --sets "$map_sets"
}

mask_features() { # stage 5: the masked copies, and which share of each utterance they hide
    [ -n "$masked" ] || return 0
    needs "$exp/saliency/gradcam/$asr_train/saliency.scp" 4
    split_sets "$map_sets"
    $train_cmd JOB=1:"$nj" "$exp/masked/log/mask.JOB.log" \
        mask_features.py --masking "$conf/masking.yaml" --data "$data" --features "$dump" --maps "$exp/saliency" \
        --sets "$map_sets" --variants "$masked" --out "$exp/masked" --job JOB --jobs "$nj" --seed "$seed" \
        --check-space "$check_space"
    for variant in $masked; do
        merge_archives.py --folder "$exp/masked/$variant" --sets "$map_sets" --name feats --jobs "$nj" \
            --data "$data" --tables masked_share
    done
}

start_from() { # start_from: the model that stage 6 starts from, made first if it is the mini model
    if [ "$model" = mini ]; then
        model=${SALIENCE_CACHE:-../../.cache}/whisper-mini$([ "$language" = en ] || echo "-$language")/mini.pt
        OMP_NUM_THREADS=$all_threads make_mini_whisper.sh "$model" "$language"
    elif [ -e "$(from_caller "$model")" ]; then
        model=$(from_caller "$model")
    fi
}

finetune_whisper() { # stage 6: a recogniser for each variant and seed, all from the same model and with as many updates
    needs_set asr_train
    needs "$dump/$asr_train/feats.scp" 2
    [ -z "$masked" ] || needs "$exp/saliency/gradcam/$asr_train/saliency.scp" 4
    mkdir -p "$exp/whisper/log"
    start_from
    for variant in $trained; do
        for s in $seeds; do echo "--model $(quoted "$model") --variant $variant --seed $s --out $exp/whisper/$variant/seed$s"; done
    done > "$exp/whisper/log/trainings"
    # shellcheck disable=SC2046,SC2086
    in_array "$exp/whisper/log/finetune" "$exp/whisper/log/trainings" $(trainings) -- \
        $launcher finetune_whisper.py --config "${finetune_config:-$conf/finetune.yaml}" --masking "$conf/masking.yaml" \
        --data "$data" --features "$dump" --maps "$exp/saliency" --masked "$exp/masked" --masks "$masks" \
        --train-set "$asr_train" --language "$language" --ngpu "$ngpu"
}

decode_whisper() { # stage 7: hypotheses of every recogniser for every test set
    for system in $trained; do
        for s in $seeds; do needs "$exp/whisper/$system/seed$s/model.pt" 6; done
    done
    mkdir -p "$exp/whisper/log"
    start_from
    for system in $systems; do
        if [ "$system" = zero-shot ]; then
            echo "--model $(quoted "$model") --out $exp/whisper/zero-shot/seed0/decode"
        else
            for s in $seeds; do
                echo "--model $exp/whisper/$system/seed$s/model.pt --out $exp/whisper/$system/seed$s/decode"
            done
        fi
    done > "$exp/whisper/log/decodings"
    # shellcheck disable=SC2086
    $decode_cmd $gpu --max-jobs-run "$train_jobs" JOB=1:"$(wc -l < "$exp/whisper/log/decodings")" "$exp/whisper/log/decode.JOB.log" \
        nth_line.sh "$exp/whisper/log/decodings" JOB decode_whisper.py --config "$conf/decode.yaml" --features "$dump" \
        --sets "$test_sets" --language "$language" --device "$device"
}

score_words() { # stage 8: WER and CER, raw and normalised, for each set and accent
    needs "$exp/whisper/log/decodings" 7
    for folder in "$exp"/whisper/*/seed*/decode; do
        [ -d "$folder" ] || fail "$PWD/$exp/whisper holds no hypotheses; stage 7 writes them"
        echo "--hyp $folder/{set}/text --out ${folder%decode}score/{set}"
    done > "$exp/whisper/log/scorings"
    $decode_cmd --max-jobs-run "$train_jobs" JOB=1:"$(wc -l < "$exp/whisper/log/scorings")" "$exp/whisper/log/score.JOB.log" \
        nth_line.sh "$exp/whisper/log/scorings" JOB score_words.py --ref "$data/{set}/text" --utt2spk "$data/{set}/utt2spk" \
        --utt2accent "$data/{set}/utt2accent" --sets "$test_sets" --normaliser "$normaliser" --lowercase true
}

report_results() { # stage 9: report_results <folders> <corpus> <title> [<paper's figures>]; {fold} in <folders> where there are folds
    local folders=$1 corpus=$2 title=$3 paper=${4:-} fold system s set example shown shares=() drawn=()
    [ -n "$test_sets" ] || fail "there is no test set in $PWD/$data; stage 1 writes them"
    for fold in ${folds:-all}; do
        for system in $systems; do
            for s in $([ "$system" = zero-shot ] && echo 0 || echo "$seeds"); do
                for set in $test_sets; do needs "exp${folders//\{fold\}/$fold}/whisper/$system/seed$s/score/$set/counts.json" 8; done
            done
        done
    done
    fold=${folds:-}
    fold=${fold%% *}
    example=${folders//\{fold\}/$fold}
    if [ -n "$masked" ]; then # the pictures are of Grad-CAM's masks, where a system has them
        case " $masked " in *" gradcam "*) shown=gradcam ;; *) shown=${masked%% *} ;; esac
        shares=(--masked-shares "exp$folders/masked/{system}/$asr_train/masked_share")
        drawn=(--maps "exp$example/saliency/$([ "$shown" = gradcam++ ] && echo gradcam++ || echo gradcam)/$asr_train/saliency.scp"
            --masked "exp$example/masked/$shown/$asr_train/feats.scp")
    fi
    mkdir -p "$results" "$exp/report"
    collect_results.py --out "$results/results.json" --corpus "$corpus" --synthetic "$mini" --command "$command" \
        --scores "exp$folders/whisper/{system}/seed{seed}/score/{set}" --recogniser "whisper-$(basename "$model" .pt)" \
        --systems "$systems" --sets "$test_sets" --seeds "0 $seeds" ${paper:+--paper "$paper"} \
        --classifier "exp$folders/classifier/{system}.cls_test.json" \
        "${shares[@]}" \
        --settings "{masks: $masks, settings: $conf, classifier seed: $seed}"
    draw_figures.py --out "$exp/report/figures" --synthetic "$mini" --classifier "exp$folders/classifier/{system}.cls_test.json" \
        --histories "exp$folders/whisper/{system}/seed{seed}/history.json" --data "data$example/$asr_train" \
        --features "dump$example/$asr_train/feats.scp" "${drawn[@]}"
    report_results.py --results "$results/results.json" --out "$results/RESULTS.md" --html "$exp/report/report.html" \
        --figures "$exp/report/figures" --title "$title" --corpus "$corpus" --synthetic "$mini" \
        --intro conf/results_intro.md --examples "exp$example/whisper/${systems##* }/seed${seeds%% *}/score/${test_sets##* }/alignments_normalised.txt"
}
