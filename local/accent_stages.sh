# shellcheck shell=bash
# shellcheck disable=SC2154  # the recipe that sources this sets the variables
# Stages 2 to 9 of the accent recipes: the method of Sameti et al. (2025), standing once.
# A recipe sets: data, dump, exp (folders); all_sets, map_sets (of which stage 4 makes maps), test_sets (names); systems,
# methods, seeds; recogniser, model; conf (folder of its YAML files); language, normaliser, masks; nj, train_jobs, ngpu, seed, check_space.
# Where it takes accents out of training in turn, folds are their names, and each fold has folders of its own.

. stages.sh

check_options "a number" "$whole" standard_train
check_options "numbers separated by spaces" "$decimals" speed_factors
check_options "a number of hertz" "($whole)?" bandwidth
check_options "a number" "($whole)?" "faithfulness_limit location_limit"
check_options "numbers separated by spaces" "$wholes" faithfulness_seeds
check_options "float32 or bf16" "float32|bf16" map_precision
faithfulness_limit=${faithfulness_limit:-$([ "$mini" = true ] && echo 3 || echo 10)}
location_limit=${location_limit:-$([ "$mini" = true ] && echo 4 || echo 100)}
asr_train=asr_train${speed_factors:+_sp} # the recognisers' training set, with copies at other speeds if asked for

[ ! -e "$conf/masking.yaml" ] || fail "$conf/masking.yaml is no longer read; write its settings into systems.yaml, for instance gradcam: {map: gradcam, policy: {probabilistic: {low: 0.3}}, fill: zero}"
[ ! -e "$conf/classifier.yaml" ] || fail "$conf/classifier.yaml is no longer read; it is now called classifier_cnn.yaml"
systems_config=${systems_config:-$(settings_of systems.yaml)}
if [ -n "$matrix" ]; then
    [[ ! $command\  =~ \ --(systems|recogniser|model|finetune[-_]config)[\ =] ]] ||
        fail "$matrix says what --${BASH_REMATCH[1]} does; leave that out, or --matrix"
    expanded=$(expand_matrix.py --matrix "$matrix" --systems "$systems_config" --out "$exp/matrix/systems.yaml")
    eval "$expanded" # systems, recognisers, cells, kind_of, model_of, finetune_of and size
    systems_config=$exp/matrix/systems.yaml
else
    recognisers=$recogniser cells=$(for one in $systems; do echo "$recogniser/$one"; done | xargs)
    declare -A kind_of=(["$recogniser"]=$recogniser) model_of=(["$recogniser"]=$model) finetune_of=(["$recogniser"]=$finetune_config)
fi
# Sets untrained, trained, masked and mapped (of these systems), classifiers, mask_methods and methods.
default_classifier=${classifiers%% *}
further=$methods
described=$(describe_systems.py --systems "$systems_config" --only "$systems" --methods "$methods" --classifiers "$classifiers")
eval "$described"
elsewhere=
take_recognisers_from() { # take_recognisers_from <folder>: another recipe trained them, so that neither masks nor training sets are needed
    local method
    elsewhere=$1 trained='' masked='' mapped='' mask_methods=''
    methods=$(for method in $further; do case $method in */*) echo "$method" ;; *) echo "$default_classifier/$method" ;; esac; done | xargs)
    [ -d "$1" ] || fail "--trained-dir $1 is no folder; give the exp/recogniser of a recipe that ran to stage 6"
}

asked() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; } # asked <stage>

bins=80 collection=
check_start() { # check_start <recogniser>: a Whisper that cannot be opened is told now, not in stage 6; sets bins to what it reads
    local zero_shot=()
    [ "${model_of[$1]}" != mini ] || return 0
    [ ! -e "$(from_caller "${model_of[$1]}")" ] || model_of[$1]=$(from_caller "${model_of[$1]}")
    [ "${kind_of[$1]}" = whisper ] || return 0
    [ -z "$untrained" ] || zero_shot=(--decoding "$conf/decode.yaml")
    if asked 2 || { [ -n "$trained" ] && asked 6; } || { [ -n "$untrained" ] && asked 7; }; then
        bins=$(check_whisper.py --model "${model_of[$1]}" --language "$language" "${zero_shot[@]}")
    fi
}
for of in $recognisers; do check_start "$of"; done

[ "$lexicon" != cmudict ] || ! asked 0 || fetch_corpus.py --corpus cmudict --target "$downloads/cmudict"

needed_sets() { # needed_sets <test sets>: these, and what classifier and recognisers learn from where the systems need that
    echo "${methods:+cls_train cls_dev cls_test} ${trained:+asr_train asr_dev} ${methods:+asr_train} $1" | xargs -n 1 | awk '!seen[$0]++' | xargs
}

trained_models() { # trained_models <systems>: "<recogniser>/<system>/seed<n>" of each below $exp/recogniser; one that is not trained has no seeds
    local cell s
    for cell in $cells; do
        is_in "${cell#*/}" "$1" || continue
        for s in $(is_in "${cell#*/}" "$untrained" && echo 0 || echo "$seeds"); do echo "$cell/seed$s"; done
    done
}

[ -z "$matrix" ] || echo "$matrix: $size; with the systems beside them, cells: $(wc -w <<< "$cells"), trainings of recognisers: $(trained_models "$trained" | wc -l)${folds:+, in each fold of: $folds}"

recogniser_settings() { # recogniser_settings <finetune or decode> <recogniser>: the options that give it its kind and settings
    local file kind=${kind_of[$2]}
    file=$(settings_of "$1$([ "$kind" = whisper ] || echo "_$kind").yaml")
    [ "$1" = decode ] || file=${finetune_of[$2]:-$file}
    echo "--recogniser $kind$([ ! -e "$file" ] || echo " --config $(quoted "$file")")$([ "$kind" != whisper ] || echo " --language $language")"
}

extract_features() { # stage 2: log-mel archives of the sets that the systems need, by an array of jobs
    local sets=$all_sets
    if [ -n "$speed_factors" ] && [ -n "$trained" ]; then
        perturb_speed.py --source "$data/asr_train" --target "$data/$asr_train" --factors "$speed_factors"
        sets+=" $asr_train"
    fi
    split_sets "$sets"
    $train_cmd JOB=1:"$nj" "$dump/log/extract_features.JOB.log" \
        extract_features.py --data "$data" --sets "$sets" --out "$dump" --job JOB --jobs "$nj" \
        --bins "$bins" ${bandwidth:+--bandwidth "$bandwidth"} --check-space "$check_space"
    merge_archives.py --folder "$dump" --sets "$sets" --name feats --jobs "$nj" --data "$data" --tables utt2num_frames
}

start_from() { # start_from: what recognisers start from: makes the mini Whisper where that is it
    local name start
    start=${SALIENCE_CACHE:-../../.cache}/whisper-mini$([ "$language" = en ] || echo "-$language")/mini.pt
    for name in $recognisers; do
        [ "${kind_of[$name]}-${model_of[$name]}" = whisper-mini ] || continue
        OMP_NUM_THREADS=$all_threads make_mini_whisper.sh "$start" "$language"
        model_of[$name]=$start
    done
}

classifier_options() { # classifier_options <kind>: what trains it
    local settings=$conf/classifier_$1.yaml
    echo "--classifier $1 --model $(quoted "${model_of[${recognisers%% *}]}")$([ ! -e "$settings" ] || echo " --config $(quoted "$settings")")"
}

classifier_trainings() { # classifier_trainings: the arguments of each classifier and control, one a line; its folder is the last
    local kind
    for kind in $classifiers; do
        echo "$(classifier_options "$kind") --seed $seed --out $exp/classifier/$kind"
        ! is_in quietest "$controls" || echo "$(classifier_options "$kind") --seed $seed --quietest 0.2 --out $exp/classifier/$kind-quietest"
    done
    ! is_in durations "$controls" || echo "--classifier durations --seed $seed --out $exp/classifier/durations"
}

trainings_of_seeds() { # trainings_of_seeds: likewise of the classifiers with further seeds, whose maps stage 4 compares
    local kind s
    for kind in $classifiers; do
        for s in $faithfulness_seeds; do echo "$(classifier_options "$kind") --seed $s --out $exp/classifier/$kind-seed$s"; done
    done
}

train_classifier() { # stage 3: the accent classifiers, one after the other, and their controls
    if [ -z "$methods" ]; then passed "no classifier is needed for --systems '$systems'"; return; fi
    renamed_folders "classifier/model.safetensors=classifier/cnn/model.safetensors"
    needs_set cls_train "leave out the systems whose masks come from its classifier (${mapped:-only --methods}) with --systems"
    needs "$dump/cls_train/feats.scp" 2
    start_from
    # shellcheck disable=SC2086
    OMP_NUM_THREADS=$all_threads run_array "$exp/classifier/log/train" "$(classifier_trainings; trainings_of_seeds)" \
        $gpu $spread --num-threads "$all_threads" --max-jobs-run 1 -- \
        $launcher train_classifier.py --data "$data" --features "$dump" --ngpu "$ngpu"
    grep -h ' on cls_' "$exp"/classifier/log/train.*.log | sed 's/^[^)]*) //' || true
}

compare_corpora() { # stage 3: a control: can corpora be told apart by the features of `compared`, sets of native speakers?
    [ -n "$methods" ] && [[ $compared == *" "* ]] || return 0
    compare_corpora.py --data "$data" --features "$dump" --sets "$compared" --out "$exp/classifier/corpora" --seed "$seed"
}

methods_of() { # methods_of <classifier>: the methods whose maps of it the systems, or --methods, need
    local method
    for method in $methods; do [ "${method%/*}" != "$1" ] || echo "${method#*/}"; done | xargs
}

map_saliency() { # stage 4: maps by every method that the systems, or --methods, need, of each classifier
    local kind method wanted
    if [ -z "$methods" ]; then passed "no maps are needed for --systems '$systems'"; return; fi
    split_sets "$map_sets"
    for kind in $classifiers; do
        wanted=$(methods_of "$kind")
        [ -n "$wanted" ] || continue
        needs "$exp/classifier/$kind/model.safetensors" 3
        # shellcheck disable=SC2086
        $cuda_cmd $gpu JOB=1:"$nj" "$exp/saliency/log/map_$kind.JOB.log" \
            map_saliency.py --model "$exp/classifier/$kind" --methods "$wanted" --data "$data" --features "$dump" \
            --sets "$map_sets" --out "$exp/saliency/$kind" --job JOB --jobs "$nj" --target "$target" \
            --compress "$compress" --seed "$seed" --precision "$map_precision" --device "$device" --check-space "$check_space"
    done
    for method in $methods; do
        merge_archives.py --folder "$exp/saliency/$method" --sets "$map_sets" --name saliency --jobs "$nj" --data "$data"
    done
}

measure_saliency() { # stage 4: how faithful the maps are to each classifier, on a few utterances of its test set
    local kind s others wanted
    [ "$faithfulness_limit" -gt 0 ] || return 0
    for kind in $classifiers; do
        wanted=$(methods_of "$kind")
        [ -n "$wanted" ] || continue
        others=$(for s in $faithfulness_seeds; do echo "$exp/classifier/$kind-seed$s"; done | xargs)
        # shellcheck disable=SC2086
        $cuda_cmd $gpu "$exp/faithfulness/log/measure_$kind.log" \
            measure_saliency.py --model "$exp/classifier/$kind" --others "$others" --methods "$wanted" --data "$data" \
            --features "$dump" --sets cls_test --out "$exp/faithfulness/$kind" --target "$target" \
            --limit "$faithfulness_limit" --seed "$seed" --device "$device"
    done
}

lexicon_file() { # the user's lexicon, CMUdict as stage 0 fetched it, or one among the settings, if there is one
    case $lexicon in
        cmudict) needs "$downloads/cmudict/root.txt" 0; cat "$downloads/cmudict/root.txt" ;;
        ?*) from_caller "$lexicon" ;;
        *) [ ! -e "$(settings_of lexicon.txt)" ] || settings_of lexicon.txt ;;
    esac
}

locate_saliency() { # stage 4: where the maps of cls_test point: pauses, padding, words (whose times Whisper tells), phones, frequencies
    local kind name wanted phones aligner='' words=()
    [ -n "$methods" ] && [ "$location_limit" -gt 0 ] || return 0
    for name in $recognisers; do [ "${kind_of[$name]}" != whisper ] || aligner=${aligner:-$name}; done
    if [ -n "$aligner" ]; then
        start_from
        # shellcheck disable=SC2086
        $cuda_cmd $gpu "$exp/located/log/words.log" align_words.py --model "${model_of[$aligner]}" --language "$language" --data "$data" \
            --features "$dump" --sets cls_test --out "$exp/located/words" --limit "$location_limit" --device "$device"
        phones=$(lexicon_file)
        words=(--words "$exp/located/words" ${phones:+--lexicon "$phones"})
    fi
    for kind in $classifiers; do
        wanted=$(methods_of "$kind")
        [ -n "$wanted" ] || continue
        # shellcheck disable=SC2086
        $cuda_cmd $gpu "$exp/located/log/$kind.log" locate_saliency.py --model "$exp/classifier/$kind" --methods "$wanted" --data "$data" \
            --features "$dump" --sets cls_test --out "$exp/located/$kind" "${words[@]}" --limit "$location_limit" --seed "$seed" --device "$device"
    done
}

needs_maps() { # needs_maps: those that the masks of the asked systems come from
    local method
    for method in $mask_methods; do needs "$exp/saliency/$method/$asr_train/saliency.scp" 4; done
}

mask_features() { # stage 5: the masked copies, and which share of each utterance they hide
    local system
    if [ -z "$masked" ]; then passed "no masks are needed for --systems '$systems'"; return; fi
    needs_maps
    split_sets "$asr_train"
    $train_cmd JOB=1:"$nj" "$exp/masked/log/mask.JOB.log" \
        mask_features.py --systems "$systems_config" --only "$masked" --data "$data" --features "$dump" \
        --maps "$exp/saliency" --classifier "$default_classifier" --sets "$asr_train" --out "$exp/masked" --job JOB --jobs "$nj" --seed "$seed" \
        --check-space "$check_space"
    for system in $masked; do
        merge_archives.py --folder "$exp/masked/$system" --sets "$asr_train" --name feats --jobs "$nj" \
            --data "$data" --tables masked_share
    done
}

finetune() { # stage 6: a recogniser for each system and seed, all from the same model and with as many updates
    local folder=$exp/recogniser one of system
    if [ -z "$trained" ]; then passed "no training is needed for --systems '$systems'"; return; fi
    renamed_folders "whisper=recogniser/whisper"
    needs_set asr_train
    needs "$dump/$asr_train/feats.scp" 2
    needs_maps
    start_from
    train_array "$folder/log/finetune" "$(for one in $(trained_models "$trained"); do
        IFS=/ read -r of system _ <<< "$one"
        echo "$(recogniser_settings finetune "$of") --model $(quoted "${model_of[$of]}") --system $system --seed ${one##*seed} --out $folder/$one"
    done)" finetune.py --systems "$systems_config" --data "$data" --features "$dump" \
        --maps "$exp/saliency" --classifier "$default_classifier" --masked "$exp/masked" --masks "$masks" --train-set "$asr_train" --dev-set asr_dev
}

decode() { # stage 7: hypotheses of every recogniser for every test set
    local folder=$exp/recogniser one of system from
    renamed_folders "whisper=recogniser/whisper"
    for one in $(trained_models "$trained"); do needs "$folder/$one/history.json" 6; done
    mkdir -p "$folder/log"
    [ -z "$untrained" ] || start_from
    for one in $(trained_models "$systems"); do
        IFS=/ read -r of system _ <<< "$one"
        if is_in "$system" "$untrained"; then from=${model_of[$of]}; else from=${elsewhere:-$folder}/$one; fi
        echo "$(recogniser_settings decode "$of") --models $(quoted "$(quoted "$from")") --out $folder/$one/decode"
    done > "$folder/log/decodings"
    # shellcheck disable=SC2086
    $decode_cmd $gpu --max-jobs-run "$train_jobs" JOB=1:"$(wc -l < "$folder/log/decodings")" "$folder/log/decode.JOB.log" \
        nth_line.sh "$folder/log/decodings" JOB decode.py --features "$dump" --sets "$test_sets" --device "$device"
}

score_words() { # stage 8: WER and CER, raw and normalised, for each set and accent, of what stage 7 decoded
    local folder=$exp/recogniser
    needs "$folder/log/decodings" 7
    sed 's#.*--out \(.*\)/decode$#--hyp \1/decode/{set}/text --out \1/score/{set}#' "$folder/log/decodings" > "$folder/log/scorings"
    $decode_cmd --max-jobs-run "$train_jobs" JOB=1:"$(wc -l < "$folder/log/scorings")" "$folder/log/score.JOB.log" \
        nth_line.sh "$folder/log/scorings" JOB score_words.py --ref "$data/{set}/text" --utt2spk "$data/{set}/utt2spk" \
        --utt2accent "$data/{set}/utt2accent" --sets "$test_sets" --normaliser "$normaliser" --lowercase true
}

needs_scores() { # needs_scores <folder>: each recogniser is scored on each test set
    local one set
    [ -n "$test_sets" ] || fail "there is no test set in $PWD/$data; stage 1 writes them"
    for one in $(trained_models "$systems"); do
        for set in $test_sets; do needs "$1/recogniser/$one/score/$set/counts.json" "8, after stage 7,"; done
    done
}

report_results() { # stage 9: report_results <corpus> [<folder of each fold, with {fold} in it>]
    local corpus folder=${2:-$part} fold=${folds:-} example only places
    corpus=$(labelled "$1${matrix:+, $(basename "$matrix" .yaml)}")
    example=${folder/\{fold\}/${fold%% *}}
    for fold in ${folds:-all}; do needs_scores "exp${folder/\{fold\}/$fold}"; done
    # Of what other folds, systems and seeds have left nothing is taken.
    places=(--values.exp "exp$folder" --values.fold "${folds:-}" --values.sets "$test_sets"
        --values.masked "$masked" --values.masked_set "$asr_train" --values.trained "$trained" --values.seeds "$seeds"
        --values.example "$example" --values.systems_config "$systems_config" --values.normaliser "$normaliser"
        --values.mask_seed "$seed" --values.default_classifier "$default_classifier" ${compared:+--values.compared corpora}
        ${methods:+--values.classified cls_test --values.classifiers "$(classifier_trainings | sed 's#.*/##' | xargs)"})
    [ "$faithfulness_limit" -eq 0 ] || [ -z "$methods" ] ||
        places+=(--values.measured "$classifiers" --values.measured_methods "$(xargs -n 1 basename <<< "$methods" | xargs)")
    [ "$location_limit" -eq 0 ] || [ -z "$methods" ] || places+=(--values.located "$classifiers")
    only=$(trained_models "$systems" | sed 's#/seed#/#' | cut -d / -f "$([ -n "$matrix" ] && echo 1- || echo 2-)" | xargs)
    if [ -n "$matrix" ]; then
        places+=(--values.matrix "$matrix" --values.recognisers "$recognisers")
    else
        places+=(--values.recogniser "$recogniser")
    fi
    collect_results.py --report conf/report.yaml --out "$results/results.json" --corpus "$corpus" --synthetic "$mini" \
        --command "$command" --recogniser "$(for one in $recognisers; do echo "$one-$(basename "${model_of[$one]}" .pt)"; done | xargs)" ${paper:+--paper "$paper"} \
        --only "$only" "${places[@]}" \
        --settings "{masks: $masks, settings: $conf, classifier seed: $seed}"
    report_results.py --report conf/report.yaml --results "$results/results.json" --out "$results/RESULTS.md" \
        --html "$exp/report/report.html" --corpus "$corpus" --only "$only" "${places[@]}" \
        ${collection:+--values.collection "$collection"}
}
