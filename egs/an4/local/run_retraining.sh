# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# Whether masks help training: recognisers that see every training utterance as it is, and once more as it is
# (retrain-clean), with noise everywhere (retrain-everywhere) or with noise through its mask (retrain-spared).

mix_for_retraining() {
    local s snr everywhere=$exp/noisy/everywhere spared=$noisy/spared
    noisy_data train
    mix "$noisy/log/mix_for_retraining" "
        --sets train_noisy --snr '$train_snr' --out $everywhere
        --sets train_noisy --mask-set train $(through_masks_of "$rounds") --snr '$train_snr' --out $spared/seed{seed}
        $(for snr in $snrs; do echo "--sets test --snr $snr --out $exp/noisy/snr$snr"; done)"
    for s in $seeds; do
        unchanged_copy "$noisy/retrain-clean/seed$s/train_noisy"
        with_copies train "$noisy/retrain-clean/seed$s"
        with_copies train "$noisy/retrain-everywhere/seed$s" "$everywhere/train_noisy"
        with_copies train "$noisy/retrain-spared/seed$s" "$spared/seed$s/train_noisy"
    done
}

unchanged_copy() { # unchanged_copy <folder>: tables of the training set's features under the names of the noisy copies
    local table
    mkdir -p "$1"
    for table in feats.scp utt2num_frames; do sed 's/^/noisy-/' "$dump/train/$table" > "$1/$table"; done
}

retrain() {
    local system
    needs_each_seed "$noisy/${retrained%% *}/seed{seed}/train_twice/feats.scp" 5
    train_array "$recognisers/log/$last-retrain" "$(for system in $retrained; do
        echo "--features $noisy/$system/seed{seed} --init $recogniser/seed{seed} --seed {seed} --out $(retrained_of "$system")/seed{seed}"
    done)" train_espnet.py --config "$retrain_config" --data "$data" --train-set train_twice --dev-features "$dump" \
        --tokens "$token_list" --cmvn "$dump/cmvn.npz"
}

retrained_decodings() { # what is decoded of test at each SNR: <recogniser> <features> <name>, a line for each
    local system model snr
    for system in ${retrained:+baseline} $retrained; do
        model=$(retrained_of "$system")
        each_seed "$model/seed{seed} $dump snr/$system/seed{seed}/clean"
        for snr in $snrs; do each_seed "$model/seed{seed} $exp/noisy/snr$snr snr/$system/seed{seed}/$snr"; done
    done
}

retrained_of() { # retrained_of <system>: the folder of these recognisers
    if [ "$1" = baseline ]; then echo "$recogniser"; else echo "$recognisers/$last-$1"; fi
}
