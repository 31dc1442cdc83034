# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# Whether the masks write: the mixtures with another utterance's speech in a band, and with noise there.

mix_bands() {
    mix "$noisy/log/mix_bands" \
        "$(through_masks_of "$rounds") --out $noisy/bands/{band}/{fill}/seed{seed}/noise{realisation}" \
        --sets "dev test" --fill "exchanged noise" --bands "$bands" --realisations "${realisations%% *}"
}

band_decodings() { # what is decoded of dev and test in the first noise realisation: <recogniser> <features> <name>, a line for each
    local band fill first=noise${realisations%% *}
    for band in $bands; do
        for fill in exchanged noise; do
            each_seed "$recogniser/seed{seed} $noisy/bands/$band/$fill/seed{seed}/$first bands/$band/$fill/seed{seed}/$first"
        done
    done
}
