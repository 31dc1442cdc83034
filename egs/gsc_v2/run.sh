#!/usr/bin/env bash
# ImportantAug on Speech Commands (Trinh, Salami Kavaki and Mandel, 2022): a generator is trained to add noise where it does
# a frozen recogniser no harm, and recognisers are trained on with noise there.
set -euo pipefail
. ./path.sh
. options.sh # --stage, --nj, --ngpu, --mini and others that every recipe has

# The corpus, and noise.  Downloaded where neither a folder nor an archive is given.
speech_commands_root=
speech_commands_archive=
musan_root=
musan_archive=
qut_noise_root=
qut_noise_archive=
published_musan=         # the published test sets instead of our own: folder with speech_command_test_musan_<SNR>_dB
published_qut=           # folder with speech_command_test_QUT_<SNR>_dB
published_checkpoint=    # the authors' checkpoint, which is scored as the system `published`

noise=musan              # in training and in the first noisy test set: musan; background, the corpus' own; or a folder
other_noise=qut          # in the second noisy test set: qut, or a folder
seeds=                   # random seeds for the trainings (default: 1 2 3 4 5; mini: 1)
kind=paper               # of recogniser: paper, or bc-resnet-1, -1.5, -2, -3, -6, -8
systems="continue-clean specaugment conventional null importantaug other-map binarised" # lines of conf/systems.yaml
matrix=                  # file that crosses maps, noise and kinds of recogniser, instead of --systems and --kind: conf/matrix.yaml
methods="gradcam integrated-gradients" # saliency methods whose maps of the baseline are compared with random ones; "" for none
snrs=                    # of the noisy test sets, in dB (default: -12.5 -10 0 10 20 30 40; mini: 0 20)
faithfulness_limit=      # test clips on which masks are compared with random ones (default: 500; mini: 20); 0 for none
examples=                # test utterances to draw (default: three of different words)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seeds '1 2 3 4 5']
    [--speech-commands-archive FILE] [--noise musan|background|DIR] [--other-noise qut|DIR] [--skip-bad-clips true]
    [any variable at the top of this file or of local/options.sh]
--systems 'null importantaug' takes some of the systems; a stage that none of them needs is passed; gradcam,
integrated-gradients and random-map put noise where a saliency map sees nothing
--matrix conf/matrix.yaml crosses maps, noise and kinds of recogniser, each with its own baseline, generator and maps
parts of the corpus with some thousand clips: --conf conf/small; a few of its words: conf/data.yaml
stages: 0 corpora, 1 data, 2 waveforms, 3 baselines, 4 mask generators and masks, 5 conventional noise by SNR,
        6 recognisers trained on, 7 predictions, 8 score, 9 report"

renamed_options "words=conf/data.yaml partial=conf/data.yaml qut_making=conf/data.yaml sweep_snrs=conf/systems.yaml
    sweep_seeds=conf/systems.yaml binarised=conf/systems.yaml binarised_seeds=conf/systems.yaml per=conf/systems.yaml
    maps_of=conf/systems.yaml training_config=conf further_config=conf generator_config=conf noise_name=noise
    other_name=other_noise"
command="./run.sh --egs gsc_v2${*:+$(printf ' %q' "$@")}"
. parse_options.sh
setup.sh # returns immediately if already set up
. "$SALIENCE_ROOT/conf/cmd.sh"
. stages.sh
. local/recognisers.sh
renamed_folders "recogniser/baseline=recogniser/paper/baseline generator/seed$first_seed=generator/paper/seed$first_seed
    masks/seed$first_seed=masks/paper/seed$first_seed"

if begin 0 "corpora: speech commands and noise"; then
    fetch speech_commands
    if [ "$noise" = musan ]; then fetch musan; fi
    if [ "$other_noise" = qut ] && [ -z "$published_qut" ]; then fetch qut_noise; fi
fi

if begin 1 "data directories: the official lists, noise, noisy test sets"; then
    local/prepare_sets.py --config "$(settings_of data.yaml)" --out "$data" --corpora "$downloads" --noise "$noise" \
        --other-noise "$other_noise" ${published_musan:+--published-musan "$published_musan"} \
        ${published_qut:+--published-qut "$published_qut"} \
        --snrs="$snrs" --skip-bad-clips "$skip_bad_clips" --seed "$seed"
    check_sets train dev test
    for name in $(present "noise_train noise_test noise_other"); do
        validate_data_dir.sh --no-feats --no-text "$data/$name"
    done
fi

if begin 2 "waveforms of each set in one file"; then
    needs "$data/words" 1
    $train_cmd "$dump/log/pack.log" pack_waveforms.py --data "$data" --out "$dump" --pad true \
        --sets "train dev test noise_train noise_test $(present "$mixtures")" --check-space "$check_space"
    $train_cmd "$dump/log/pack_noise.log" pack_waveforms.py --data "$data" --out "$dump" --sets "$(present noise_other)" \
        --check-space "$check_space"
fi

if begin 3 "baselines: recognisers of clean speech"; then
    needs "$dump/noise_train/signals.npy" 2
    for one in $kinds; do
        take_kind "$one"
        train_array "$models/baseline/log/train" \
            "$(each_seed "--model $(quoted "${model_of[$kind]}") --seed {seed} --out $models/baseline/seed{seed}")" \
            finetune.py --recogniser keyword --config "$training_config" --data "$data" --features "$dump" \
            --train-set train --dev-set dev
    done
    if [ -n "$published_checkpoint" ]; then
        # shellcheck disable=SC2086
        $cuda_cmd $gpu "$exp/published/log/run.log" local/run_published.sh --checkpoint "$published_checkpoint" \
            --data "$data" --packed "$dump" --settings "$(settings_of generator.yaml)" --device "$device" \
            --recogniser "$models/published/seed0" --out "$exp/published" --check-space "$check_space"
    fi
fi

if begin 4 "mask generators, and the noise masks of all sets"; then
    for one in $kinds; do
        take_kind "$one"
        for of in $generators; do [ "$of" = "$kind" ] || needs "$exp/masks/$of/seed$first_seed/train/mask.scp" "4 with --kind $of"; done
        masks_of_maps
        if [ -z "$generators$mapped" ]; then
            passed "no masks are needed for --systems '$systems'"
        elif [ -z "$generators" ]; then
            echo "the masks are saliency maps: $mapped"
        elif [[ " $generators " != *" $kind "* ]]; then
            passed "the masks are those of --kind $generators"
        else
            for s in $seeds; do needs "$models/baseline/seed$s/model.safetensors" 3; done
            train_array "$exp/generator/$kind/log/train" \
                "$(each_seed "--seed {seed} --recogniser $models/baseline/seed{seed} --out $exp/generator/$kind/seed{seed}")" \
                train_generator.py --config "$(settings_of generator.yaml)" --data "$data" --packed "$dump"
            # shellcheck disable=SC2086
            run_array "$exp/masks/$kind/log/estimate" \
                "$(each_seed "--models $exp/generator/$kind/seed{seed} --out $exp/masks/$kind/seed{seed}")" \
                $gpu --max-jobs-run "$train_jobs" -- \
                estimate_noise_masks.py --kind generator --data "$dump" --sets "train dev test" --device "$device" \
                --check-space "$check_space"
        fi
        [ "$faithfulness_limit" = 0 ] || { measure_masks; measure_maps; }
    done
fi

if begin 5 "conventional noise: which SNR is best on dev"; then
    for one in $kinds; do
        take_kind "$one"
        if [ -z "$(trained_in 5)" ]; then
            passed "no SNR is to be chosen for --systems '$systems'"
        else
            train_further 5
            further=$(list_further) # in which the best one now stands for its family
            echo "chosen: $(chosen_systems)"
        fi
    done
fi

if begin 6 "recognisers trained on from the baselines"; then
    for one in $kinds; do
        take_kind "$one"
        if [ -z "$systems" ]; then passed "no training is needed for --systems ''"; else train_further 6; fi
    done
fi

if begin 7 "predictions"; then
    for one in $kinds; do
        take_kind "$one"
        lines=$(with_file model.safetensors "3, 5 or 6" \
            "--models $models/{system}/seed{seed} --out $models/{system}/seed{seed}/decode {only}")
        # shellcheck disable=SC2086
        run_array "$models/log/decode" "$lines" $gpu --max-jobs-run "$nj" -- decode.py --recogniser keyword --data "$data" \
            --features "$dump" --sets "dev test $mixtures" --device "$device"
    done
fi

if begin 8 "error rates"; then
    for one in $kinds; do
        take_kind "$one"
        only=$(with_file decode/dev/text 7 "{system}/{seed}" | xargs)
        score_keywords.py --data "$data" --only "$only" --hyp "$models/{system}/seed{seed}/decode/{set:dev|test}/text" \
            --out "$models/{system}/seed{seed}/score/{set}"
        score_keywords.py --data "$data" --only "$only" \
            --hyp "$models/{system}/seed{seed}/decode/{set:$(one_of "$noisy_sets")}/{snr:$(one_of "$snrs")}/text" \
            --out "$models/{system}/seed{seed}/score_noisy/{snr}/{set}"
    done
fi

if begin 9 "report"; then
    only=$(for one in $kinds; do
        take_kind "$one"
        with_file score/dev/counts.json "8, after stage 7," "${matrix:+$one/}{system}/{seed}"
    done | xargs)
    places=(--values.exp "$exp" --values.data "$data" --values.dump "$dump" --values.snr="$snrs"
        --values.in_domain "test_$noise_name" --values.out_of_domain "test_$other_name" --values.generator_seeds "$seeds")
    [ "$faithfulness_limit" = 0 ] || [ -z "$generators" ] || places+=(--values.measured_methods "$methods")
    if [ -n "$matrix" ]; then
        places+=(--values.matrix "$matrix" --values.recognisers "$recognisers")
    else
        places+=(--values.models "$models" --values.faithfulness "$faithfulness")
        for of in $generators; do
            for s in $seeds; do needs "$exp/generator/$of/seed$s/history.json" 4; done
            places+=(--values.generators "$exp/generator/$of" --values.noise_masks "$exp/masks/$of"
                --values.first_seed "$first_seed" ${examples:+--values.examples "$examples"})
        done
    fi
    number=$(wc -l < "$data/words")
    corpus=Speech\ Commands$([ "$number" -eq 35 ] || echo ", $number words")
    if [ -n "$matrix" ]; then corpus+=", $(basename "$matrix" .yaml)"; elif [ "$kind" != paper ]; then corpus+=", $kind"; fi
    corpus=$(labelled "$corpus")
    chosen=$(chosen_systems)
    collect_results.py --report conf/report.yaml --out "$results/results.json" --corpus "$corpus" --synthetic "$mini" \
        --command "$command" --recogniser "$kinds" --only "$only" "${places[@]}" \
        ${chosen:+--values.chosen="${chosen#conventional-}"} \
        ${published_checkpoint:+--values.published "$exp/published/dev" --values.published_masks "$faithfulness/seed0"} --settings "{settings: $conf}"
    report_results.py --report conf/report.yaml --results "$results/results.json" --out "$results/RESULTS.md" \
        --html "$exp/report/report.html" --corpus "$corpus" --only "$only" "${places[@]}"
fi
