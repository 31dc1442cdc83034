#!/usr/bin/env bash
# The bubble cooperative network on AN4 (Salami Kavaki and Mandel, 2020): a mask estimator adds as much noise to speech as a
# frozen recogniser, ESPnet's hybrid CTC/attention, can bear.  What it spares is what the recogniser listens to.
set -euo pipefail
. ./path.sh
. options.sh # --stage, --nj, --ngpu, --mini and others that every recipe has

# The corpus: the sphere release, a raw one or a copy in RIFF; downloaded when neither is given.
an4_root=
an4_archive=

seeds=                   # of recognisers and estimators (default: 1 2; mini: 1)
realisations=            # of the noise, which results are averaged over (default: 1 2 3; mini: 1)
tokens=char              # char, or for instance bpe30 for 30 subwords
use_lm=false             # true: decode with a language model of the tokens, trained on the transcripts
robust=true              # false: train the recogniser on clean speech only, as in the paper
whisper=                 # a Whisper checkpoint that trains the estimators, instead of the recogniser of stage 3
rounds=                  # of recogniser and estimator (default: 2, or 1 with --whisper); 1: as in the paper
sweeps=default           # loss weights to vary as in figure 2 (default: asr mask entropy smoothness; mini: asr mask); "" for none
sweep_points=            # values of each (default: 3; mini: 2)
sweep_further=           # true: the sweeps' estimators start from that of stage 4 (default; mini: false)
retrained="retrain-clean retrain-everywhere retrain-spared" # recognisers retrained with noise; "" for none
train_snr="0 20"         # range of that noise, in dB
snrs=                    # of the noisy test sets that they are compared on, in dB (default: 20 10 0; mini: 10)
recogniser_config=       # settings of the recogniser (default: recogniser.yaml in --conf); conf/full/recogniser_defaults.yaml: Table 1
estimator_config=        # settings of the estimators (default: estimator.yaml in --conf); conf/no_leak.yaml: masks that leak fewer words
estimator_options=       # some of bounded, levels and exchange: settings on top of these (conf/NAME.yaml), against masks that write
sweep_config=            # settings of the sweeps' estimators that differ from these (default: sweep.yaml in --conf)
retrain_config=          # settings of retraining (default: retrain.yaml in --conf)
bands=default            # of the band control, in Hz (default: bands in conf/bands.yaml; mini: 0-1000); "" for none
faithfulness_limit=      # test utterances on which masks are compared with random ones (default: 60; mini: 4); 0 for none
examples=                # test utterances to draw (default: three of different speakers)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seeds '1 2 3']
    [--an4-archive FILE | --an4-root DIR] [--sweep-points N] [--skip-bad-clips true]
    [any variable at the top of this file or of local/options.sh]
--sweeps 'asr mask' --retrained '' takes some of the sweeps and no retraining; without either, stage 6 is passed
the paper's sizes: --conf conf/full --rounds 1 --seeds '1 2 3' --sweep-points 8 --sweep-further false
stages: 0 corpus, 1 data, 2 features, 3 recogniser, 4 mask estimators and masks, 5 noise, 6 sweeps and retraining,
        7 decode, 8 score, 9 report"

renamed_options "draws=realisations token_type=tokens nbpe=tokens listener=whisper listener_model=whisper
    listener_config=recogniser_config"
command="./run.sh --egs an4${*:+$(printf ' %q' "$@")}"
. parse_options.sh
setup.sh # returns immediately if already set up
. "$SALIENCE_ROOT/conf/cmd.sh"
. stages.sh
. local/settings.sh
. local/functions.sh
. local/run_bands.sh
. local/run_rounds.sh
. local/run_sweeps.sh
. local/run_retraining.sh

if begin 0 "corpus"; then
    fetch an4
fi

if begin 1 "data directories: 848 train, 100 dev, 130 test; tokens"; then
    needs "$downloads/an4/root.txt" 0
    local/prepare_sets.py --an4 "$(cat "$downloads/an4/root.txt")" --dev-utterances "$dev_utterances" \
        --skip-bad-clips "$skip_bad_clips" --out "$data"
    check_sets train dev test
    prepare_tokens.py --text "$data/train/text" --tokens "$tokens" --out "$token_list"
fi

if begin 2 "fbank features, their mean and variance"; then
    split_sets "train dev test"
    $train_cmd JOB=1:"$nj" "$dump/log/extract_features.JOB.log" \
        extract_features.py --kind fbank --data "$data" --sets "train dev test" --out "$dump" --job JOB --jobs "$nj" \
        --check-space "$check_space"
    merge_archives.py --folder "$dump" --sets "train dev test" --name feats --jobs "$nj" --data "$data" --tables utt2num_frames
    compute_cmvn.py --features "$dump/train/feats.scp" --out "$dump"
fi

if begin 3 "recognisers: ESPnet's hybrid CTC/attention, on clean speech, then with bubble noise"; then
    needs "$dump/cmvn.npz" 2
    needs "$token_list/tokens.txt" 1
    train_array "$recognisers/clean/log/train" "--seed {seed} --out $recognisers/clean/seed{seed}" \
        train_espnet.py --config "$recogniser_config" --data "$data" --features "$dump" --tokens "$token_list" \
        --cmvn "$dump/cmvn.npz"
    if $robust; then
        train_array "$recognisers/robust/log/train" \
            "--init $recognisers/clean/seed{seed} --seed {seed} --out $recognisers/robust/seed{seed}" \
            train_espnet.py --config "$conf/robust.yaml" --data "$data" --features "$dump" --tokens "$token_list" \
            --cmvn "$dump/cmvn.npz"
    fi
    if $use_lm; then
        train_array "$exp/lm/log/train" "--seed $seed --out $exp/lm" \
            train_espnet.py --task lm --config "$conf/lm.yaml" --data "$data" --tokens "$token_list"
    fi
fi

if begin 4 "mask estimators, and the noise masks of all sets"; then
    needs_each_seed "$(recogniser_of 1)/seed{seed}/model.pth" 3
    train_array "$(estimators_of 1)/log/train" "$(frozen_recogniser 1) --seed {seed} --out $(estimators_of 1)/seed{seed}" \
        train_mask_estimator.py --config "$conf/noise.yaml" "${estimator_configs[@]}" --data "$data"
    estimate_masks "$(masks_of 1)/log/estimate" "train dev test" "$(estimators_of 1)/seed{seed}" "$(masks_of 1)/seed{seed}"
    for round in $(seq 2 "$rounds"); do run_round "$round"; done
    [ "$faithfulness_limit" = 0 ] || measure_masks
fi

if begin 5 "noise, through the masks and everywhere"; then
    needs_each_seed "$masks/seed{seed}/test/mask.scp" 4
    # Noise alone is a control: the shape of a mask may tell more words than what it spares of the speech.
    mix "$noisy/log/mix" "
        $(through_masks_of "$rounds") --audio true --out $noisy/masked-noise/seed{seed}/noise{realisation}
        $(through_masks_of "$rounds") --fill silence --out $noisy/noise-alone/seed{seed}/noise{realisation}
        --out $exp/noisy/full-noise/noise{realisation}" \
        --sets "dev test" --realisations "$realisations"
    [ -z "$bands" ] || mix_bands
    [ -z "$retrained" ] || mix_for_retraining
fi

if begin 6 "sweeps of the loss weights; recognisers retrained with noise"; then
    [ -z "$sweeps$retrained" ] || needs "$recogniser/seed$first_seed/model.pth" "$([ "$rounds" = 1 ] && echo 3 || echo 4)"
    [ -n "$sweeps$retrained" ] || passed "no training is needed without --sweeps and --retrained"
    [ -z "$sweeps" ] || run_sweeps
    [ -z "$retrained" ] || retrain
fi

if begin 7 "hypotheses"; then
    needs_each_seed "$noisy/masked-noise/seed{seed}/noise${realisations%% *}/test/feats.scp" 5
    for system in $retrained; do needs_each_seed "$(retrained_of "$system")/seed{seed}/model.pth" 6; done
    # On CPUs even where there is a GPU: the batches of a beam search are too small for one.
    run_array "$decode/log/decode" "$(decodings | in_jobs "dev test"; retrained_decodings | in_jobs test)" \
        --max-jobs-run "$nj" -- decode.py --recogniser espnet --config "$conf/decode.yaml" "${lm[@]}"
fi

if begin 8 "CER, the space between words being a character"; then
    needs "$decode/log/decode.lines" 7
    score "dev test" "$(decodings)"
    [ -z "$retrained" ] || score test "$(retrained_decodings)"
fi

if begin 9 "report"; then
    needs_scores "$(decodings; retrained_decodings)"
    places=(--values.exp "$exp" --values.scores "$scores" --values.noisy "$noisy" --values.masks "$masks" --values.faithfulness "$faithfulness" --values.sweep "$sweep"
        --values.dump "$dump" --values.data "$data" --values.decode "$decode" --values.estimators "$estimators" ${examples:+--values.examples "$examples"}
        --values.seed "$seeds" --values.first_seed "$first_seed" --values.draw "0 $realisations" --values.first_draw "${realisations%% *}" --values.bands "$bands" --values.snr "clean $snrs"
        --values.retrained "${retrained:+baseline $retrained}" --values.sweeps "$sweeps"
        --values.weight_value "$(for weight in $sweeps; do values_of "$weight"; done | xargs)")
    collect_results.py --report conf/report.yaml --out "$results/results.json" --corpus "$corpus" --synthetic "$mini" \
        --command "$command" --recogniser "espnet-hybrid-$tokens" "${places[@]}" \
        --settings "{settings: $conf, whisper: '$whisper', recogniser: $(basename "$recogniser_config"), estimator: $(basename "$estimator_config")${estimator_options:+ $estimator_options}, sweeps: $(basename "$sweep_config"), sweeps go on from stage 4: $sweep_further, retraining: $(basename "$retrain_config"), robust: $robust, rounds: $rounds, language model: $use_lm}"
    report_results.py --report conf/report.yaml --results "$results/results.json" --out "$results/RESULTS.md" \
        --html "$exp/report/report.html" --corpus "$corpus" "${places[@]}"
fi
