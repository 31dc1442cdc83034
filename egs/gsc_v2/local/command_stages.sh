# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# What the stages of ImportantAug do.  stages.sh comes before.

first_seed=${seeds%% *}
sweep_seeds=${sweep_seeds:-$first_seed}
binarised_seeds=${binarised_seeds:-$first_seed}
training_config=${training_config:-$conf/training.yaml}
further_config=${further_config:-$([ "$mini" = true ] && echo "$conf/further.yaml" || echo "$training_config")}
generator_config=${generator_config:-$conf/generator.yaml}
by=$([ "$kind" = paper ] || echo "_$kind") # other kinds of recognisers have folders of their own
of=$([ "$maps_of" = paper ] || echo "$by") # and generators that listen to them
check_options "numbers parted by blanks" "$wholes" "sweep_seeds binarised_seeds"
check_options "numbers parted by blanks" "$decimals" "snrs sweep_snrs binarised"
case $maps_of in paper | own) ;; *) fail "--maps-of takes paper or own, not '$maps_of'" ;; esac
noise_name=$(basename "$noise") other_name=$(basename "$other_noise")
noisy_sets="test_$noise_name test_$other_name"
folder=$exp/recogniser$by

fetch_corpora() { # stage 0
    fetch speech_commands
    if [ "$noise" = musan ]; then fetch musan; fi
    if [ "$other_noise" = qut ] && [ -z "$published_qut" ]; then fetch qut_noise; fi
}

prepare_data() { # stage 1
    local options=(--noise-name "$noise_name" --other-name "$other_name" --qut-making "$qut_making" --partial "$partial" --seed "$seed") name
    needs "$downloads/speech_commands/root.txt" 0
    case $noise in
        musan) needs "$downloads/musan/root.txt" 0; options+=(--musan "$(cat "$downloads/musan/root.txt")") ;;
        background) options+=(--noise background) ;;
        *) options+=(--noise "$(from_caller "$noise")") ;;
    esac
    if [ -n "$published_musan" ]; then options+=(--published-musan "$(from_caller "$published_musan")"); fi
    if [ -n "$published_qut" ]; then
        options+=(--published-qut "$(from_caller "$published_qut")")
    elif [ "$other_noise" = qut ]; then
        needs "$downloads/qut_noise/root.txt" 0
        options+=(--qut "$(cat "$downloads/qut_noise/root.txt")")
    else
        options+=(--other-noise "$(from_caller "$other_noise")")
    fi
    local/prepare_sets.py --out "$data" --speech-commands "$(cat "$downloads/speech_commands/root.txt")" \
        ${words:+--words "$words"} "${options[@]}"
    check_sets train dev test
    for name in noise_train noise_test noise_other; do
        [ ! -e "$data/$name" ] || validate_data_dir.sh --no-feats --no-text "$data/$name"
    done
}

published_sets() { # the folders of ready-made noisy sets, one for each SNR
    local name snr
    for name in $noisy_sets; do
        for snr in $snrs; do [ ! -e "$data/$name/$snr/wav.scp" ] || echo "$name/$snr"; done
    done | xargs
}

pack_sets() { # stage 2
    needs "$data/words" 1
    $train_cmd "$dump/log/pack.log" pack_waveforms.py --data "$data" --out "$dump" \
        --sets "train dev test noise_train noise_test $(published_sets)" \
        --long "$([ ! -e "$data/noise_other" ] || echo noise_other)" --check-space "$check_space"
}

recognisers() { # recognisers <log name> <list of argument lines> <settings>: trains one recogniser a line
    # shellcheck disable=SC2046,SC2086
    in_array "$folder/log/$1" "$2" $(trainings) -- $launcher train_commands.py --config "$3" --data "$data" \
        --packed "$dump" --kind "$kind" --ngpu "$ngpu"
}

train_baselines() { # stage 3
    local lines=$folder/log/baselines s
    needs "$dump/noise_train/signals.npy" 2
    mkdir -p "$folder/log"
    for s in $seeds; do echo "--seed $s --out $folder/baseline/seed$s"; done > "$lines"
    recognisers baseline "$lines" "$training_config"
    if [ -n "$published_checkpoint" ]; then
        local/convert_published.py --checkpoint "$(from_caller "$published_checkpoint")" --out "$exp/published"
    fi
}

train_generators() { # stage 4
    local lines=$exp/generator$of/log/lines s
    if [ "$kind" != paper ] && [ "$maps_of" = paper ]; then
        needs "$exp/masks/seed$first_seed/train/mask.scp" "4 with --kind paper"
        return
    fi
    for s in $seeds; do needs "$folder/baseline/seed$s/model.safetensors" 3; done
    mkdir -p "$exp/generator$of/log" "$exp/masks$of/log"
    for s in $seeds; do echo "--seed $s --recogniser $folder/baseline/seed$s --out $exp/generator$of/seed$s"; done > "$lines"
    # shellcheck disable=SC2046,SC2086
    in_array "$exp/generator$of/log/train" "$lines" $(trainings) -- \
        $launcher train_generator.py --config "$generator_config" --data "$data" --packed "$dump" --ngpu "$ngpu"
    for s in $seeds; do echo "--generator $exp/generator$of/seed$s --out $exp/masks$of/seed$s"; done > "$exp/masks$of/log/lines"
    # shellcheck disable=SC2086
    in_array "$exp/masks$of/log/map" "$exp/masks$of/log/lines" $gpu --max-jobs-run "$train_jobs" -- \
        map_importance.py --packed "$dump" --sets "train dev test" --device "$device" --check-space "$check_space"
}

system() { # system <name> <seed>: the options of one training that goes on from the baseline
    local added="--augmentation.method noise --augmentation.per $per" masks="--masks $exp/masks$of/seed$2/train/mask.scp"
    case $1 in
        continue-clean) added="" ;;
        specaugment) added="--augmentation.method specaugment" ;;
        conventional-*) added+=" --augmentation.snr=${1#conventional-}" ;;
        null) ;;
        importantaug) added+=" $masks --augmentation.masks own" ;;
        other-map) added+=" $masks --augmentation.masks other" ;;
        binarised-*) added+=" $masks --augmentation.masks own --augmentation.everywhere 0 --augmentation.percent ${1#binarised-}" ;;
        *) fail "--systems knows continue-clean, specaugment, conventional, null, importantaug and other-map, not '$1'" ;;
    esac
    echo "--seed $2 --init $folder/baseline/seed$2 --out $folder/$1/seed$2 $added"
}

sweep_snr() { # stage 5: Table 1
    local lines=$folder/log/sweep s snr
    for s in $sweep_seeds; do needs "$folder/baseline/seed$s/model.safetensors" 3; done
    if [ -z "$sweep_snrs" ]; then return; fi
    mkdir -p "$folder/log"
    for s in $sweep_seeds; do for snr in $sweep_snrs; do system "conventional-$snr" "$s"; done; done > "$lines"
    recognisers sweep "$lines" "$further_config"
    local/choose_snr.py --histories "$folder/conventional-{snr}/seed{seed}/history.json" --snrs "$sweep_snrs" \
        --seeds "$sweep_seeds" --out "$exp/conventional_snr$by"
}

chosen() { # chosen <system>: conventional stands for the SNR that stage 5 chose
    case $1 in
        conventional) needs "$exp/conventional_snr$by" 5; echo "conventional-$(cat "$exp/conventional_snr$by")" ;;
        *) echo "$1" ;;
    esac
}

trained() { # "<system> <seed>" of all recognisers that go on from a baseline, Table 1's sweep left out
    local name s
    for s in $seeds; do for name in $systems; do echo "$(chosen "$name") $s"; done; done
    for s in $binarised_seeds; do for name in $binarised; do echo "binarised-$name $s"; done; done
}

train_on() { # stage 6
    local lines=$folder/log/train_on name s
    for s in $seeds; do needs "$exp/masks$of/seed$s/train/mask.scp" 4; done
    trained > "$lines.names"
    while read -r name s; do system "$name" "$s"; done < "$lines.names" > "$lines"
    recognisers train_on "$lines" "$further_config"
}

predict() { # stage 7
    local lines=$exp/decode$by/log/lines name s snr
    for s in $seeds; do needs "$folder/baseline/seed$s/model.safetensors" 3; done
    mkdir -p "$exp/decode$by/log"
    {
        { for s in $seeds; do echo "baseline $s"; done; trained; } | while read -r name s; do
            needs "$folder/$name/seed$s/model.safetensors" 6
            echo "--model $folder/$name/seed$s --out $exp/decode$by/$name/seed$s --out-noisy $exp/decode_noisy$by/$name/seed$s"
        done
        for s in $sweep_seeds; do
            for snr in $sweep_snrs; do echo "--model $folder/conventional-$snr/seed$s --out $exp/decode$by/conventional-$snr/seed$s --sets dev --noisy ''"; done
        done
        if [ -n "$published_checkpoint" ]; then
            echo "--model $exp/published/recogniser --out $exp/decode$by/published/seed0 --out-noisy $exp/decode_noisy$by/published/seed0"
        fi
    } > "$lines.all"
    # The sweep's best is there twice, the second time for dev alone.
    awk '!seen[$2]++' "$lines.all" > "$lines"
    # shellcheck disable=SC2086
    in_array "$exp/decode$by/log/predict" "$lines" $gpu --max-jobs-run "$nj" -- predict_commands.py --data "$data" \
        --packed "$dump" --sets "dev test" --noisy "$noisy_sets" --snrs="$snrs" --device "$device"
}

score() { # stage 8
    needs "$exp/decode$by/baseline/seed$first_seed/test/text" 7
    score_commands.py --data "$data" --hyp "$exp/decode$by/{system}/seed{seed}/{set}/text" \
        --out "$exp/score$by/{system}/seed{seed}/{set}"
    score_commands.py --data "$data" --hyp "$exp/decode_noisy$by/{system}/seed{seed}/{snr}/{set}/text" \
        --out "$exp/score_noisy$by/{system}/seed{seed}/{snr}/{set}"
}

corpus_label() { # as it stands in the results: parts of the corpus and other recognisers are results of their own
    local words
    words=$(wc -l < "$data/words")
    echo "Speech Commands$([ "$words" -eq 35 ] || echo ", $words words")$([ "$kind" = paper ] || echo ", $kind")"
}

report_results() { # stage 9
    local paper=() chosen=() corpus # the paper's figures are of the real corpus
    needs "$exp/score$by/baseline/seed$first_seed/test/counts.json" 8
    [ "$mini" = true ] || paper=(--paper conf/paper.yaml)
    case " $systems " in *" conventional "*) chosen=(--chosen "$exp/conventional_snr$by") ;; esac
    corpus=$(corpus_label)
    mkdir -p "$results" "$exp/report"
    collect_command_results.py --out "$results/results.json" --corpus "$corpus" --synthetic "$mini" --command "$command" \
        --scores "$exp/score$by/{system}/seed{seed}/{set}" --noisy "$exp/score_noisy$by/{system}/seed{seed}/{snr}/{set}" \
        --in-domain "test_$noise_name" --out-of-domain "test_$other_name" "${chosen[@]}" \
        --sizes "$data/sizes.json" --recogniser "$kind" --training-snr=-12.5 "${paper[@]}" \
        --settings "{settings: $conf, recogniser: $(basename "$training_config"), further: $(basename "$further_config"), generator: $(basename "$generator_config"), masks moved per: $per, maps of: $maps_of}"
    draw_command_results.py --out "$exp/report/figures" --synthetic "$mini" --results "$results/results.json" --corpus "$corpus"
    draw_importance.py --out "$exp/report/figures" --synthetic "$mini" --data "$data/test" --packed "$dump/test" \
        --noise "$dump/noise_train" --masks "$exp/masks$of/seed$first_seed/test/mask.scp" \
        ${examples:+--utterances "$examples"} --audio "$exp/report/audio" --histories "$exp/generator$of/seed{seed}/history.json"
    report_results.py --results "$results/results.json" --out "$results/RESULTS.md" --html "$exp/report/report.html" \
        --figures "$exp/report/figures" --title "ImportantAug: noise where it does no harm" --corpus "$corpus" \
        --synthetic "$mini" --intro conf/results_intro.md
}
