# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this after stages.sh, sets the variables
# Which recognisers the asked systems are, and in which folders.

if [ "$mini" = true ]; then
    seeds=${seeds:-1} snrs=${snrs:-0 20} faithfulness_limit=${faithfulness_limit:-20}
else
    seeds=${seeds:-1 2 3 4 5} snrs=${snrs:--12.5 -10 0 10 20 30 40} faithfulness_limit=${faithfulness_limit:-500}
fi
check_options "a number" "$whole" faithfulness_limit
takes seeds "$seeds" "$whole" numbers
# Such a number is in the names of folders, where each has one way to be written.
takes snrs "$snrs" '-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?' "numbers of dB such as -12.5 0 20"
first_seed=${seeds%% *}
systems_file=$(settings_of systems.yaml)
training_settings=$(settings_of training.yaml)
further_settings=$conf/further.yaml # only in folders whose baselines are trained with other settings
[ -e "$further_settings" ] || further_settings=$training_settings
if [ -n "$matrix" ]; then
    [[ ! $command\  =~ \ --(systems|kind|published[-_]checkpoint)[\ =] ]] ||
        fail "$matrix and --${BASH_REMATCH[1]} do not go together; leave one out"
    expanded=$(expand_matrix.py --matrix "$matrix" --systems "$systems_file" --out "$exp/matrix/systems.yaml")
    eval "$expanded" # recognisers, cells, model_of, finetune_of and size, among others
    kinds=$recognisers systems_file=$exp/matrix/systems.yaml
    echo "$matrix: $size; with the systems beside them, cells: $(wc -w <<< "$cells")"
else
    kinds=$kind cells=$(for one in $systems; do echo "$kind/$one"; done | xargs)
    declare -A model_of=(["$kind"]=$kind) finetune_of=()
fi
noise_name=$(basename "$noise") other_name=$(basename "$other_noise")
noisy_sets="test_$noise_name test_$other_name"
mixtures=$(for name in $noisy_sets; do for snr in $snrs; do echo "$name/$snr"; done; done | xargs)
for option in noise other_noise published_musan published_qut published_checkpoint; do
    # What is no word but a path counts from where the user called.
    [[ ${!option} =~ ^(|musan|background|qut)$ ]] || printf -v "$option" %s "$(from_caller "${!option}")"
done

list_further() { # a line for each recogniser that is trained on from a baseline: system, seed, stage, sets, masks, options
    local/list_systems.py --systems "$systems_file" --only "$systems" --seeds "$seeds" --models "$models" --kind "$kind"
}

take_kind() { # take_kind <kind>: the folders of this kind of recogniser, its systems, and where their masks come from
    kind=$1 models=$exp/recogniser/$1 faithfulness=$exp/faithfulness/$1
    training_config=${finetune_of[$kind]:-$training_settings} further_config=${finetune_of[$kind]:-$further_settings}
    systems=$(xargs -n 1 <<< "$cells" | sed -n "s#^$kind/##p" | xargs)
    further=$(list_further)
    generators=$(awk '$5 != "" && $5 != "-" && $5 !~ "/" { print $5 }' <<< "$further" | sort -u | xargs)
    mapped=$(awk '$5 ~ "/" { sub(".*/", "", $5); print $5 }' <<< "$further" | sort -u | xargs) # methods whose maps make masks
}

masks_of_maps() { # the noise masks that are 1 - C, C a saliency map of each baseline
    local method
    for method in $mapped; do
        needs_each_seed "$models/baseline/seed{seed}/model.safetensors" 3
        # shellcheck disable=SC2086
        run_array "$exp/masks/$kind/$method/log/estimate" \
            "$(each_seed "--models $models/baseline/seed{seed} --out $exp/masks/$kind/$method/seed{seed}")" \
            $gpu --max-jobs-run "$train_jobs" -- estimate_noise_masks.py --kind "$method" --data "$dump" --sets train \
            --device "$device" --check-space "$check_space"
    done
}

measure_masks() { # how faithful masks are to the recognisers that they were trained with: ours, and the authors'
    local lines='' generator="$exp/generator/$kind/seed{seed}" snr
    snr=$(awk '$1 == "snr:" { print $2 }' "$(settings_of generator.yaml)")
    if is_in "$kind" "$generators"; then
        lines=$(each_seed "--model $generator --recogniser $models/baseline/seed{seed} --out $faithfulness/seed{seed} --others '$(each_seed "$generator" | xargs)'")
    fi
    if [ -n "$published_checkpoint" ]; then
        lines+=$'\n'"--system published --model $exp/published/generator --recogniser $models/published/seed0 --out $faithfulness/seed0"
    fi
    [ -n "$lines" ] || return 0
    # shellcheck disable=SC2086
    run_array "$faithfulness/log/measure" "$lines" $gpu --max-jobs-run "$train_jobs" -- \
        measure_noise_masks.py --kind generator --data "$data" --packed "$dump" --pieces "$dump/noise_test" --snr="$snr" \
        --limit "$faithfulness_limit" --device "$device"
}

measure_maps() { # how faithful saliency maps are to the first baseline, on a tenth as many clips, as each takes many maps
    local others
    [ -n "$methods" ] && is_in "$kind" "$generators" || return 0
    others=$(for s in ${seeds#"$first_seed"}; do echo "$models/baseline/seed$s"; done | xargs)
    # shellcheck disable=SC2086
    $cuda_cmd $gpu "$faithfulness/log/maps.log" measure_saliency.py --model "$models/baseline/seed$first_seed" \
        --others "$others" --methods "$methods" --data "$data" --features "$dump" --sets test --out "$faithfulness/baseline" \
        --limit "$(((faithfulness_limit + 9) / 10))" --seed "$first_seed" --device "$device"
}

trained_in() { # trained_in <stage>: those lines of the recognisers that this stage trains
    awk -v stage="$1" '$3 == stage' <<< "$further"
}

chosen_systems() { # those that stand for their families
    awk '$3 == 5 && $4 == "all" && !seen[$1]++ { print $1 }' <<< "$further" | xargs
}

train_further() { # train_further <stage>: train these
    local lines system s masks options
    lines=$(trained_in "$1" | while read -r system s _ _ masks options; do
        [ "$masks" = - ] || options+=" --masks $exp/masks/$masks/seed$s/train/mask.scp"
        needs "$models/baseline/seed$s/model.safetensors" 3
        [ "$masks" = - ] || needs "$exp/masks/$masks/seed$s/train/mask.scp" 4
        echo "--seed $s --model $models/baseline/seed$s --out $models/$system/seed$s $options"
    done)
    train_array "$models/log/stage$1" "$lines" finetune.py --recogniser keyword --config "$further_config" \
        --data "$data" --features "$dump" --train-set train --dev-set dev
}

with_file() { # with_file <file> <stage> <words>: the words for each recogniser, whose file that stage makes
    local system s sets line
    {
        each_seed "baseline {seed} 3 all"
        [ -z "$published_checkpoint" ] || echo "published 0 3 all"
        [ -z "$further" ] || echo "$further"
    } | while read -r system s _ sets _; do
        needs "$models/$system/seed$s/$1" "$2"
        line=${3//\{system\}/$system} line=${line//\{seed\}/$s}
        echo "${line//\{only\}/$([ "$sets" = all ] || echo "--sets dev")}"
    done
}

take_kind "${kinds%% *}"
