# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this after settings.sh, sets the variables
# Commands that several stages have in common.

frozen_recogniser() { # frozen_recogniser <round>: the options that name the recogniser whose loss trains the estimators
    if [ -n "$whisper" ]; then
        echo "--recogniser.kind whisper --recogniser.model $(quoted "$(from_caller "$whisper")")"
    else
        echo "--recogniser.kind espnet --recogniser.model $(recogniser_of "$1")/seed{seed}"
    fi
}

estimate_masks() { # estimate_masks <log name> <sets> <estimators> <folders>: the noise masks of these sets by each estimator
    local folder models places
    models=$(with_seeds "$3") places=$(with_seeds "$4")
    split_sets "$2"
    # shellcheck disable=SC2086
    $cuda_cmd $gpu JOB=1:"$nj" "$1.JOB.log" \
        estimate_noise_masks.py --config "$conf/noise.yaml" --data "$data" --sets "$2" --models "$models" --out "$places" \
        --max-seconds "$(max_seconds)" --job JOB --jobs "$nj" --device "$device" --check-space "$check_space"
    for folder in $places; do
        merge_archives.py --folder "$folder" --sets "$2" --name mask --jobs "$nj" --data "$data" --tables noise_proportion
    done
}

measure_masks() { # how faithful the masks of the last round are to the recognisers that they were trained with
    # shellcheck disable=SC2086
    run_array "$faithfulness/log/measure" \
        "$(frozen_recogniser "$rounds") --model $estimators/seed{seed} --out $faithfulness/seed{seed}" \
        $gpu --max-jobs-run "$train_jobs" -- \
        measure_noise_masks.py --kind estimator --config "$conf/noise.yaml" --data "$data" --limit "$faithfulness_limit" \
        --others "$(with_seeds "$estimators/seed{seed}" | xargs)" --device "$device"
}

max_seconds() { # of the longest utterance of the corpus, to which the paper pads all
    awk '{ print $2 }' "$data"/{train,dev,test}/utt2dur | sort -g | tail -n 1
}

mix() { # mix <log name> <lines of arguments> <other arguments of mix_noise.py>
    run_array "$1" "$2" --max-jobs-run "$nj" -- mix_noise.py --config "$conf/noise.yaml" --data "$data" --check-space "$check_space" "${@:3}"
}

decodings() { # what is decoded of dev and test: <recogniser> <features> <name>, a line for each
    local n name
    each_seed "$recogniser/seed{seed} $dump clean/seed{seed}/noise0"
    for n in $realisations; do
        for name in masked-noise noise-alone; do
            each_seed "$recogniser/seed{seed} $noisy/$name/seed{seed}/noise$n $name/seed{seed}/noise$n"
        done
        each_seed "$recogniser/seed{seed} $exp/noisy/full-noise/noise$n full-noise/seed{seed}/noise$n"
    done
    band_decodings
    points | sed "s#.*#$recogniser/seed$first_seed $sweep/&/noisy sweeps/&#"
}

in_jobs() { # in_jobs <sets>: reads decodings, writes a line of arguments for each recogniser, which a job then loads once
    awk -v sets="$1" -v decode="$decode" '
        { features[$1] = features[$1] " " $2; out[$1] = out[$1] " " decode "/" $3 }
        END {
            for (model in out)
                printf "--models \047%s\047 --features \047%s\047 --out \047%s\047 --sets \047%s\047\n", model, features[model], out[model], sets
        }' | sort
}

score() { # score <sets> <decodings>
    score_words.py --ref "$data/{set}/text" --hyp "$decode/{of}/{set}/text" --utt2spk "$data/{set}/utt2spk" \
        --out "$scores/{of}/{set}" --sets "$1" --of "$(cut -d ' ' -f 3 <<< "$2" | xargs)" --normaliser raw
}

needs_scores() { # needs_scores <decodings>: stop where one of them was not scored on test
    local model features name
    while read -r model features name; do needs "$scores/$name/test/counts.json" "8, after stage 7,"; done <<< "$1"
}
