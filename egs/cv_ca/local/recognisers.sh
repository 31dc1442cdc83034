# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this after stages.sh, sets the variables
# Which sets, classifiers and recognisers the options ask for, and where they are.

seeds=${seeds:-1 2 3} first_seed=${seeds%% *}
if [ "$mini" = true ]; then
    classifier_seeds=${classifier_seeds:-$first_seed} starts=${starts:-random own} variants=${variants:-plain gradcam}
else
    classifier_seeds=${classifier_seeds:-$seeds} starts=${starts:-random own spanish english multilingual}
    variants=${variants:-plain specaugment random-mask gradcam}
fi
check_options "a number" "$whole" chunk
check_options "a number" "($whole)?" faithfulness_limit
faithfulness_limit=${faithfulness_limit:-$([ "$mini" = true ] && echo 3 || echo 10)}
check_options "a number" "$decimal" max_disk_gb
check_options "numbers separated by spaces" "$wholes" classifier_seeds

train_sets="labelled_train accent_train gender_train"
dev_sets="labelled_dev accent_dev gender_dev"
test_sets="labelled_test accent_test gender_test"
labelled_sets="$train_sets $dev_sets $test_sets"

own=$exp/pretrained/seed$first_seed # the model that stage 3 pretrains: one for all seeds of what is made from it
models=$exp/recogniser/wav2vec2
classifier=$exp/classifier/accent/$variant_start/seed${classifier_seeds%% *}
tokens=$data/vocabulary$([ "$legacy_vocabulary" = false ] || echo /legacy)/tokens.txt

on_random() { # on_random <sets>: the same sets on the random split
    xargs -n 1 <<< "$1" | sed 's/$/_random/' | xargs
}
random_sets=$(on_random "$labelled_sets")

list_recognisers() { # list_recognisers <starts> <variants> <seeds>: start, variant, seed, masks (none, masked, mapped), quoted model
    local/list_recognisers.py --start-models "$(settings_of starts.yaml)" --systems "$(settings_of systems.yaml)" --own "$own" \
        --starts "$1" --variants "$2" --seeds "$3" --variant-start "$variant_start" --classifier-seeds "$classifier_seeds"
}
recognisers=$(list_recognisers "$starts" "$variants" "$seeds")
explained=$(list_recognisers "$variant_start" "" "$classifier_seeds") # their starts, seeds and models
masked_variants=$(awk '$4 != "none" && !seen[$2]++ { print $2 }' <<< "$recognisers" | xargs)
mapped_variants=$(awk '$4 == "mapped" && !seen[$2]++ { print $2 }' <<< "$recognisers" | xargs)
systems_config=$(settings_of systems.yaml)
# Sets mask_methods, whose maps the masks need, and methods, these with the asked ones.
described=$(describe_systems.py --systems "$systems_config" --only "${mapped_variants:-plain}" --methods "$methods")
eval "$described"
pretrained=$([[ " $starts $variant_start " == *" own "* ]] && echo true || echo false)
drawn_start=$([[ " $starts " == *" $variant_start "* ]] && echo "$variant_start" || echo "${starts##* }")
drawn_model=$models/$drawn_start/plain/seed$first_seed # whose maps are drawn

with_file() { # with_file <file> <stage>: the folder of each recogniser, which has this file, or that stage makes it
    local start variant s
    while read -r start variant s _; do
        needs "$models/$start/$variant/seed$s/$1" "$2"
        echo "$models/$start/$variant/seed$s"
    done <<< "$recognisers"
}

check_starts() { # what others made is looked for before hours of training, and not in stage 6
    local model
    { echo "$explained"; [ "$stop_stage" -lt 6 ] || echo "$recognisers"; } | awk '$1 != "own" && $1 != "random"' |
        cut -d " " -f 5- | sort -u | while read -r model; do xargs check_start.py --start <<< "$model" || exit 1; done
}

all_of() { # all_of <labels> [_random]: the sets that a classifier needs, or nothing if one is missing
    local sets="$1_train${2:-} $1_dev${2:-} $1_test${2:-}"
    [ "$(present "$sets")" != "$sets" ] || echo "$sets"
}

needs_accents() { # masks come from a classifier of accents
    [ -n "$(all_of accent)" ] || fail "there are no accents to train on in $PWD/$data: run stage 1, or, if $data/preparation.txt says why it made none, give --variants plain"
}

needs_maps() { # those that the masks of the asked variants come from
    local method
    for method in $mask_methods; do needs "$exp/saliency/$method/accent/labelled_train/saliency.scp" 4; done
}

measure_saliency() { # how faithful the maps are to the accent classifier, on a few utterances of its test set
    local s others
    [ "$faithfulness_limit" -gt 0 ] || return 0
    others=$(for s in ${classifier_seeds#"${classifier_seeds%% *}"}; do echo "${classifier%/*}/seed$s"; done | xargs)
    # shellcheck disable=SC2086
    $cuda_cmd $gpu "$exp/faithfulness/log/accent.log" measure_saliency.py --model "$classifier" --others "$others" \
        --methods "$methods" --data "$data" --features "$dump" --sets "$(present accent_test)" --out "$exp/faithfulness/accent" \
        --limit "$faithfulness_limit" --seed "$first_seed" --device "$device"
}

classifier_trainings() { # classifier_trainings <labels> <"" or _random>: a line of arguments for each seed
    local start s model
    if [ -z "$(all_of "$1" "$2")" ]; then
        echo "there is no classifier $1$2: not all of its sets have clips ($data/preparation.txt says why)" >&2
        return
    fi
    while read -r start _ s _ model; do
        echo "--labels $1 --train-set $1_train$2 --dev-set $1_dev$2 --test-sets '$1_dev$2 $1_test$2' --start $model --seed $s" \
            "--out $exp/classifier/$1$2/$start/seed$s"
    done <<< "$explained"
}

decode_clips() { # decode_clips <option of pack_waveforms.py ...>
    $train_cmd "$dump/log/decode.log" pack_waveforms.py --data "$data" --out "$dump" --int16 true \
        --max-disk-gb "$max_disk_gb" --check-space "$check_space" --seed "$seed" "$@"
}

pretrain() { # pretrain <log name> <option of pretrain_wav2vec.py ...>
    # shellcheck disable=SC2086
    OMP_NUM_THREADS=$all_threads $cuda_cmd $gpu $spread --num-threads "$all_threads" "$exp/pretrained/log/$1.log" \
        $launcher pretrain_wav2vec.py "${@:2}" --data "$data" --packed "$dump" --dev-set labelled_dev --seed "$first_seed" --ngpu "$ngpu"
}
