# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# What the stages of ImportantAug do.  stages.sh comes before.

first_seed=${seeds%% *}
sweep_seeds=${sweep_seeds:-$seeds}
binarised_seeds=${binarised_seeds:-$first_seed}
[ "$sweep_snrs" != none ] || sweep_snrs=
[ "$binarised" != none ] || binarised=
training_config=${training_config:-$conf/training.yaml}
further_config=${further_config:-$([ "$mini" = true ] && echo "$conf/further.yaml" || echo "$training_config")}
generator_config=${generator_config:-$conf/generator.yaml}
noise_name=${noise_name:-$(basename "$noise")} other_name=${other_name:-$(basename "$other_noise")}
noisy_sets="test_$noise_name test_$other_name"

# Such a number is in the names of folders, where each has one way to be written.
ratio='-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?'
case $maps_of in paper | own) ;; *) fail "--maps-of takes paper or own, not '$maps_of'" ;; esac
case $per in batch | utterance) ;; *) fail "--per takes batch or utterance, not '$per'" ;; esac
takes seeds "$seeds" "$whole" numbers
for option in sweep_seeds binarised_seeds; do takes "${option//_/-}" "${!option}" "${seeds// /|}" "some of --seeds, $seeds"; done
takes snrs "$snrs" "$ratio" "numbers of dB such as -12.5 0 20"
takes sweep-snrs "$sweep_snrs" "$ratio" "numbers of dB such as -5 0 15, or none"
takes binarised "$binarised" '[1-9][0-9]?(\.[0-9]*[1-9])?|0\.[0-9]*[1-9]' "percentages above 0 and below 100, or none"
takes systems "$systems" "continue-clean|specaugment|conventional|null|importantaug|other-map" \
    "some of continue-clean, specaugment, conventional, null, importantaug and other-map"
if [ -z "$sweep_snrs" ]; then
    case " $systems " in *" conventional "*) fail "the sweep chooses the SNR of conventional; leave that out of --systems, or give --sweep-snrs" ;; esac
fi

mapped=$(for name in $systems ${binarised:+binarised}; do
    case $name in importantaug | other-map | binarised) echo "$name" ;; esac
done | xargs) # what hears noise through maps

# What is not the paper's has folders of its own: recognisers of other kinds and the generators that listen to them, and
# what heard noise through other maps or through maps moved otherwise.
by=$([ "$kind" = paper ] || echo "_$kind")
of=$([ "$maps_of" = paper ] || echo "$by")
way=$([ -z "$of" ] || echo _own-maps)$([ "$per" = batch ] || echo _per-utterance)
folder=$exp/recogniser$by decoded=$exp/decode$by$way scores=$exp/score$by$way report=$exp/report$by$way
noisy_decoded=$exp/decode_noisy$by$way noisy_scores=$exp/score_noisy$by$way

fetch_corpora() { # stage 0
    fetch speech_commands
    if [ "$noise" = musan ]; then fetch musan; fi
    if [ "$other_noise" = qut ] && [ -z "$published_qut" ]; then fetch qut_noise; fi
}

prepare_data() { # stage 1
    local options=(--noise-name "$noise_name" --other-name "$other_name" --qut-making "$qut_making" --partial "$partial" --snrs="$snrs" --seed "$seed") name
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
        ${words:+--words "$words"} --skip-bad-clips "$skip_bad_clips" "${options[@]}"
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
    if [ -n "$published_checkpoint" ]; then score_published_masks; fi
    if [ -z "$mapped" ]; then passed "no maps are needed for --systems '$systems' --binarised none"; return; fi
    if [ "$kind" != paper ] && [ "$maps_of" = paper ]; then
        needs "$exp/masks/seed$first_seed/train/mask.scp" "4 with --kind paper"
        passed "the maps are those of --kind paper"
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

score_published_masks() { # as our own generators are scored while they learn
    local of=$exp/published
    needs "$of/generator/model.safetensors" 3
    # shellcheck disable=SC2086
    $cuda_cmd $gpu "$of/log/map.log" map_importance.py --packed "$dump" --generator "$of/generator" --out "$of/masks" \
        --sets dev --device "$device" --check-space "$check_space"
    $train_cmd "$of/log/score.log" score_generator.py --config "$generator_config" --data "$data" --packed "$dump" \
        --generator "$of/generator" --recogniser "$of/recogniser" --out "$of/dev"
}

model() { # model <system> <seed>: the folder of a recogniser
    case $1 in
        importantaug | other-map | binarised-*) echo "$folder$way/$1/seed$2" ;;
        published) echo "$exp/published/recogniser" ;;
        *) echo "$folder/$1/seed$2" ;;
    esac
}

system() { # system <name> <seed>: the options of one training that goes on from the baseline
    local added="--augmentation.method noise" masks="--augmentation.per $per --masks $exp/masks$of/seed$2/train/mask.scp"
    case $1 in
        continue-clean) added="" ;;
        specaugment) added="--augmentation.method specaugment" ;;
        conventional-*) added+=" --augmentation.snr=${1#conventional-}" ;;
        null) ;;
        importantaug) added+=" $masks --augmentation.masks own" ;;
        other-map) added+=" $masks --augmentation.masks other" ;;
        binarised-*) added+=" $masks --augmentation.masks own --augmentation.everywhere 0 --augmentation.percent ${1#binarised-}" ;;
    esac
    echo "--seed $2 --init $(model baseline "$2") --out $(model "$1" "$2") $added"
}

train_further() { # train_further <log name> <settings>: what the list <log name>.names in the log folder names
    local lines=$folder/log/$1 name s
    while read -r name s; do system "$name" "$s"; done < "$lines.names" > "$lines"
    recognisers "$1" "$lines" "$2"
}

swept() { # "<system> <seed>" of Table 1's sweep
    local s snr
    for s in $sweep_seeds; do for snr in $sweep_snrs; do echo "conventional-$snr $s"; done; done
}

sweep_snr() { # stage 5: Table 1
    local s
    if [ -z "$sweep_snrs" ]; then passed "--sweep-snrs none"; return; fi
    for s in $sweep_seeds; do needs "$(model baseline "$s")/model.safetensors" 3; done
    mkdir -p "$folder/log"
    swept > "$folder/log/sweep.names"
    train_further sweep "$further_config"
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
    local name s found
    # A word of its own for `chosen`: what fails within the words of echo does not end the run.
    for s in $seeds; do for name in $systems; do found=$(chosen "$name"); echo "$found $s"; done; done
    for s in $binarised_seeds; do for name in $binarised; do echo "binarised-$name $s"; done; done
}

train_on() { # stage 6
    local s
    if [ -z "$systems$binarised" ]; then passed "no training is needed for --systems '' --binarised none"; return; fi
    for s in ${mapped:+$seeds}; do needs "$exp/masks$of/seed$s/train/mask.scp" 4; done
    trained > "$folder/log/train_on.names"
    train_further train_on "$further_config"
}

list_heard() { # list_heard <folder>: lists "<system> <seed>" of what is asked for: of all that hears every set, and of what hears dev alone
    local s
    mkdir -p "$1"
    {
        for s in $seeds; do echo "baseline $s"; done
        trained
        if [ -n "$published_checkpoint" ]; then echo "published 0"; fi
    } > "$1/all_sets"
    # The sweep's best is in the other list.
    swept | { grep -vxFf "$1/all_sets" || true; } > "$1/dev_alone"
}

heard() { # heard <folder> <file> <stage>: those of its two lists as <system>/<seed>; the file is there for each, or that stage makes it
    local name s file
    while read -r name s; do
        file=${2/\{system\}/$name}
        needs "${file/\{seed\}/$s}" "$3"
        echo "$name/$s"
    done < <(cat "$1/all_sets" "$1/dev_alone")
}

predict() { # stage 7
    local lines=$decoded/log/lines name s
    list_heard "$decoded/log"
    {
        while read -r name s; do
            needs "$(model "$name" "$s")/model.safetensors" "$(case $name in baseline | published) echo 3 ;; *) echo 6 ;; esac)"
            echo "--model $(model "$name" "$s") --out $decoded/$name/seed$s --out-noisy $noisy_decoded/$name/seed$s"
        done < "$decoded/log/all_sets"
        while read -r name s; do
            needs "$(model "$name" "$s")/model.safetensors" 5
            echo "--model $(model "$name" "$s") --out $decoded/$name/seed$s --sets dev --noisy ''"
        done < "$decoded/log/dev_alone"
    } > "$lines"
    # shellcheck disable=SC2086
    in_array "$decoded/log/predict" "$lines" $gpu --max-jobs-run "$nj" -- predict_commands.py --data "$data" \
        --packed "$dump" --sets "dev test" --noisy "$noisy_sets" --snrs="$snrs" --device "$device"
}

score() { # stage 8: what stage 7 has listed
    local only
    needs "$decoded/log/dev_alone" 7
    only=$(heard "$decoded/log" "$decoded/{system}/seed{seed}/dev/text" 7 | xargs)
    score_commands.py --data "$data" --hyp "$decoded/{system}/seed{seed}/{set:dev|test}/text" \
        --out "$scores/{system}/seed{seed}/{set}" --only "$only"
    score_commands.py --data "$data" --hyp "$noisy_decoded/{system}/seed{seed}/{snr:${snrs// /|}}/{set:${noisy_sets// /|}}/text" \
        --out "$noisy_scores/{system}/seed{seed}/{snr}/{set}" --only "$only"
}

corpus_label() { # as it stands in the results: parts of the corpus and other recognisers are results of their own
    local words
    words=$(wc -l < "$data/words")
    echo "Speech Commands$([ "$words" -eq 35 ] || echo ", $words words")$([ "$kind" = paper ] || echo ", $kind")$(
        [ -z "$of" ] || echo ", maps of its own")$([ "$per" = batch ] || echo ", masks moved per utterance")"
}

report_results() { # stage 9
    local paper=() chosen=() learnt=() corpus only s # the paper's figures are of the real corpus
    local generators="$exp/generator$of/seed{seed:${seeds// /|}}/history.json"
    list_heard "$report/log"
    only=$(heard "$report/log" "$scores/{system}/seed{seed}/dev/counts.json" "8, after stage 7," | xargs)
    for s in ${mapped:+$seeds}; do needs "$exp/generator$of/seed$s/history.json" 4; done
    [ "$mini" = true ] || paper=(--paper conf/paper.yaml)
    case " $systems " in *" conventional "*) chosen=(--chosen "$exp/conventional_snr$by") ;; esac
    corpus=$(corpus_label)
    [ -z "$mapped" ] || learnt=(--generators "$generators")
    fresh_figures "$report"
    collect_command_results.py --out "$results/results.json" --corpus "$corpus" --synthetic "$mini" --command "$command" \
        --scores "$scores/{system}/seed{seed}/{set}" \
        --noisy "$noisy_scores/{system}/seed{seed}/{snr:${snrs// /|}}/{set}" --only "$only" \
        --in-domain "test_$noise_name" --out-of-domain "test_$other_name" "${chosen[@]}" \
        --sizes "$data/sizes.json" --recogniser "$kind" --training-snr=-12.5 "${paper[@]}" "${learnt[@]}" \
        ${published_checkpoint:+--published-generator "$exp/published/dev/history.json"} \
        --settings "{settings: $conf, recogniser: $(basename "$training_config"), further: $(basename "$further_config"), generator: $(basename "$generator_config"), masks moved per: $per, maps of: $maps_of}"
    draw_command_results.py --out "$report/figures" --synthetic "$mini" --results "$results/results.json" --corpus "$corpus"
    if [ -n "$mapped" ]; then
        draw_importance.py --out "$report/figures" --synthetic "$mini" --data "$data/test" --packed "$dump/test" \
            --noise "$dump/noise_train" --masks "$exp/masks$of/seed$first_seed/test/mask.scp" \
            ${examples:+--utterances "$examples"} --audio "$report/audio" --histories "$generators"
    fi
    report_results.py --results "$results/results.json" --out "$results/RESULTS.md" --html "$report/report.html" \
        --figures "$report/figures" --title "ImportantAug: noise where it does no harm" --corpus "$corpus" \
        --synthetic "$mini" --intro conf/results_intro.md
}
