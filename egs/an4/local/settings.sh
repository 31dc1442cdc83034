# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # run.sh sources this after stages.sh, and sets or uses the variables
# What run.sh's options mean: defaults, checks, and the names of all folders.

if [ "$mini" = true ]; then
    dev_utterances=12 seeds=${seeds:-1} realisations=${realisations:-1} snrs=${snrs:-10} faithfulness_limit=${faithfulness_limit:-4}
    bands=${bands/#default/0-1000} sweep_points=${sweep_points:-2} sweep_further=${sweep_further:-false} sweeps=${sweeps/#default/asr mask}
else
    dev_utterances=100 seeds=${seeds:-1 2} realisations=${realisations:-1 2 3} snrs=${snrs:-20 10 0} faithfulness_limit=${faithfulness_limit:-60}
    bands=${bands/#default/$(sed -n 's/^bands: //p' conf/bands.yaml)} sweep_points=${sweep_points:-3} sweep_further=${sweep_further:-true} sweeps=${sweeps/#default/asr mask entropy smoothness}
fi
rounds=${rounds:-$([ -n "$whisper" ] && echo 1 || echo 2)}
recogniser_config=${recogniser_config:-$conf/recogniser.yaml}
estimator_config=${estimator_config:-$conf/estimator.yaml}
sweep_config=${sweep_config:-$conf/sweep.yaml}
retrain_config=${retrain_config:-$conf/retrain.yaml}
first_seed=${seeds%% *}

check_options "a number" "$whole" "sweep_points rounds faithfulness_limit"
check_options "numbers separated by spaces" "$wholes" realisations
check_options "numbers separated by spaces" "$decimals" "snrs train_snr"
check_options "char, or bpe and the number of subwords" "char|bpe[1-9][0-9]{0,6}" tokens
takes bands "$bands" "[0-9]{1,4}-[0-9]{1,4}" "bands in Hz such as 0-1000 1000-2000"
takes sweeps "$sweeps" "asr|mask|entropy|smoothness" "some of asr, mask, entropy and smoothness"
takes retrained "$retrained" "retrain-clean|retrain-everywhere|retrain-spared" "some of retrain-clean, retrain-everywhere and retrain-spared"
[ "$sweep_points" -ge 1 ] || fail "--sweep-points must be at least 1"
[ "$rounds" -ge 1 ] || fail "--rounds must be at least 1"
[ "$rounds" -eq 1 ] || [ -z "$whisper" ] || fail "--rounds above 1 trains the recogniser further, which --whisper does not"
estimator=$(basename "$estimator_config" .yaml)
case $estimator in
    *[!A-Za-z0-9_.-]* | *JOB*) fail "--estimator-config takes a file whose name has letters, figures, _, . and - only, and no JOB, because folders are called by it" ;;
esac
estimator_configs=(--config "$estimator_config")
takes estimator-options "$estimator_options" "bounded|levels|exchange" "some of bounded, levels and exchange"
for name in $estimator_options; do
    estimator_configs+=(--config "conf/$name.yaml") estimator+=-$name
done

# Estimators by other settings or by Whisper have folders of their own, and so has what is made with their masks.
corpus=AN4 kind=
if [ -n "$whisper" ]; then corpus+=", masks by whisper" kind+=whisper-; fi
if [ "$estimator" != estimator ]; then corpus+=", $estimator" kind+=$estimator-; fi
[ "$rounds" = 1 ] || corpus+=", $rounds rounds" # as the results call it
corpus=$(labelled "$corpus")

renamed_folders "listener=recogniser/espnet/clean robust=recogniser/espnet/robust estimator/seed$first_seed=estimator/round1
    masks/seed$first_seed=masks/round1 decode/clean=decode/round1 sweeps/log=sweeps/round1 retrained=recogniser/espnet"
token_list=$data/tokens_$tokens
recognisers=$exp/recogniser/espnet
recogniser_of() { # recogniser_of <round>: the recognisers that its estimators are trained with
    if [ "$1" -gt 1 ]; then echo "$recognisers/${kind}round$1"; elif $robust; then echo "$recognisers/robust"; else echo "$recognisers/clean"; fi
}
estimators_of() { echo "$exp/estimator/${kind}round$1"; } # estimators_of <round>
masks_of() { echo "$exp/masks/${kind}round$1"; }          # masks_of <round>
noisy_of() { echo "$exp/noisy/${kind}round$1"; }          # noisy_of <round>
through_masks_of() { echo "--masks $(masks_of "$1")/seed{seed} --estimator $(estimators_of "$1")/seed{seed}"; } # through_masks_of <round>

# Results are of the last round.
last=${kind}round$rounds
recogniser=$(recogniser_of "$rounds") estimators=$(estimators_of "$rounds") masks=$(masks_of "$rounds") noisy=$(noisy_of "$rounds")
sweep=$exp/sweeps/$last decode=$exp/decode/$last scores=$exp/score/$last faithfulness=$exp/faithfulness/$last
lm=()
if $use_lm; then lm=(--lm "$exp/lm"); fi
