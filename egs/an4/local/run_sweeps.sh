# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# Figure 2: estimators with each weight of the loss varied, their masks, and dev and test with noise through these.

run_sweeps() {
    local logs=$sweep/log/${sweeps// /+} point weight value from # what is swept in another run has logs of its own
    from=$(frozen_recogniser "$rounds")
    if $sweep_further; then
        needs "$estimators/seed$first_seed/model.safetensors" 4
        from+=" --init $estimators/seed{seed}"
    fi
    train_array "$logs/train" "$(for point in $(points); do
        IFS=/ read -r weight value _ <<< "$point"
        echo "--weights.$weight $value ${from//\{seed\}/$first_seed} --seed $first_seed --out $sweep/$point"
    done)" train_mask_estimator.py --config "$conf/noise.yaml" "${estimator_configs[@]}" --config "$sweep_config" --data "$data"
    estimate_masks "$logs/estimate" "dev test" "$(points | sed "s#^#$sweep/#")" "$(points | sed "s#.*#$sweep/&/masks#")"
    mix "$logs/mix" "$(points | sed "s#.*#--masks $sweep/&/masks --estimator $sweep/& --out $sweep/&/noisy#")" --sets "dev test"
}

points() { # the points of all sweeps, <weight>/<value>/seed<n>
    local weight
    for weight in $sweeps; do values_of "$weight" | sed "s#.*#$weight/&/seed$first_seed#"; done
}

values_of() { # values_of <weight>: its values in figure 2, equally spaced on a logarithmic scale
    local ends
    case $1 in
        asr) ends="0.1 2.0" ;;
        mask) ends="0.04 11.37" ;;
        entropy) ends="1.0 25.71" ;;
        smoothness) ends="1 10000" ;;
    esac
    awk -v n="$sweep_points" -v ends="$ends" 'BEGIN { split(ends, e, " ")
        for (i = 0; i < n; i++) printf("%.4g\n", (n > 1) ? e[1] * (e[2] / e[1]) ^ (i / (n - 1)) : e[1]) }'
}
