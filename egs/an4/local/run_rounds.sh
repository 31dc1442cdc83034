# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# Further rounds: the recogniser is trained further on speech with noise through the masks, and the estimator with it.

run_round() { # run_round <round>: from the recognisers, estimators and masks of the round before
    local before=$(($1 - 1)) round=$1 copies name s
    copies=$(noisy_of "$before")/through-masks
    for name in train dev; do noisy_data $name; done
    mix "$copies/log/mix" "$(for name in train dev; do
        echo "--sets ${name}_noisy --mask-set $name $(through_masks_of "$before") --out $copies/seed{seed}"
    done)"
    for s in $seeds; do
        for name in train dev; do with_copies $name "$copies/seed$s"; done
    done
    train_array "$(recogniser_of "$round")/log/train" \
        "--features $copies/seed{seed} --init $(recogniser_of "$before")/seed{seed} --seed {seed} --out $(recogniser_of "$round")/seed{seed}" \
        train_espnet.py --config "$conf/through_masks.yaml" --data "$data" --train-set train_twice --dev-set dev_twice \
        --tokens "$token_list" --cmvn "$dump/cmvn.npz"
    # At the full gain from the start: the estimator has found where to spare.
    train_array "$(estimators_of "$round")/log/train" \
        "$(frozen_recogniser "$round") --init $(estimators_of "$before")/seed{seed} --seed {seed} --out $(estimators_of "$round")/seed{seed}" \
        train_mask_estimator.py --config "$conf/noise.yaml" "${estimator_configs[@]}" --noise.rise 0 --data "$data"
    estimate_masks "$(masks_of "$round")/log/estimate" "train dev test" "$(estimators_of "$round")/seed{seed}" \
        "$(masks_of "$round")/seed{seed}"
}

noisy_data() { # noisy_data <set>: data directories of its noisy copy, and of the two together
    copy_data_dir.sh --utt-prefix noisy- --spk-prefix noisy- "$data/$1" "$data/$1_noisy" > /dev/null
    combine_data.sh "$data/$1_twice" "$data/$1" "$data/$1_noisy" > /dev/null
}

with_copies() { # with_copies <set> <folder> [<features of its noisy copy>]: there, tables of the set's features and the copy's
    local table noisy=${3:-$2/${1}_noisy} twice=$2/${1}_twice
    mkdir -p "$twice"
    for table in feats.scp utt2num_frames; do
        sort "$dump/$1/$table" "$noisy/$table" > "$twice/.$table.tmp"
        mv "$twice/.$table.tmp" "$twice/$table"
    done
}
