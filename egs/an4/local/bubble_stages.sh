# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# What the stages of the bubble cooperative network do.  stages.sh comes before.

sets="train dev test"
tokens=$data/tokens_$token_type$([ "$token_type" = char ] || echo "$nbpe")
listener_config=${listener_config:-$conf/listener.yaml}
estimator_config=${estimator_config:-$conf/estimator.yaml}
sweep_config=${sweep_config:-$conf/sweep.yaml}
retrain_config=${retrain_config:-$conf/retrain.yaml}
rounds=${rounds:-$([ "$listener" = hybrid ] && echo 2 || echo 1)}
settings_of_masks=$(basename "$estimator_config" .yaml)
by_round() { # by_round <round>: what names of folders end with, since other teachers, estimators and rounds have folders of their own
    local end=""
    [ "$listener" = hybrid ] || end+=_$listener
    [ "$settings_of_masks" = estimator ] || end+=_$settings_of_masks
    [ "$1" = 1 ] || end+=_round$1
    echo "$end"
}
by=$(by_round "$rounds")
first_seed=${seeds%% *}
corpus=AN4$([ "$listener" = hybrid ] || echo ", masks by $listener")$([ "$settings_of_masks" = estimator ] || echo ", $settings_of_masks")$([ "$rounds" = 1 ] || echo ", $rounds rounds") # as the results call it
first_ears=$exp/$([ "$robust" = true ] && echo robust || echo listener) # the recognisers that the estimators learn from
ears_in() { # ears_in <round>: those of a round
    [ "$1" = 1 ] && echo "$first_ears" || echo "$first_ears$(by_round "$1")"
}
ears=$(ears_in "$rounds") ears_from=$([ "$rounds" = 1 ] && echo 3 || echo 4)
# A mini run decodes all folders of the same sets at once: starting ESPnet takes longer than decoding them.
at_once=$([ "$mini" = true ] && echo 100 || echo 1)
case $listener in
    hybrid) ;;
    whisper) [ -n "$listener_model" ] || fail "--listener whisper needs --listener-model" ;;
    commands) fail "--listener commands hears single words, and AN4 has sentences; give train_mask_estimator.py a corpus of its words, with --listener.kind commands" ;;
    *) fail "--listener takes hybrid or whisper, not '$listener'" ;;
esac
check_options "a number" "$whole" "nbpe sweep_points rounds"
check_options "numbers parted by blanks" "$wholes" draws
check_options "numbers parted by blanks" "$decimals" "snrs train_snr"
case $settings_of_masks in
    *[!A-Za-z0-9_.-]* | *JOB*) fail "--estimator-config takes a file whose name has letters, figures, _, . and - only, and no JOB, because folders are called by it" ;;
esac
[ "$sweep_points" -ge 1 ] || fail "--sweep-points must be at least 1"
[ "$rounds" -ge 1 ] || fail "--rounds must be at least 1"
[ "$rounds" -eq 1 ] || [ "$listener" = hybrid ] || fail "--rounds above 1 trains the recogniser further, which --listener $listener does not"
case $token_type in char | bpe) ;; *) fail "--token-type takes char or bpe, not '$token_type'" ;; esac
takes sweeps "$sweeps" "asr|mask|entropy|smoothness" "some of asr, mask, entropy and smoothness"
takes retrained "$retrained" "retrain-clean|retrain-everywhere|retrain-spared" "some of retrain-clean, retrain-everywhere and retrain-spared"

prepare_data() { # stage 1
    needs "$downloads/an4/root.txt" 0
    local/prepare_sets.py --out "$data" --an4 "$(cat "$downloads/an4/root.txt")" --dev-utterances "$dev_utterances" \
        --skip-bad-clips "$skip_bad_clips"
    check_sets train dev test
    prepare_tokens.py --text "$data/train/text" --type "$token_type" --size "$nbpe" --out "$tokens"
}

extract_features() { # stage 2
    split_sets "$sets"
    $train_cmd JOB=1:"$nj" "$dump/log/extract_features.JOB.log" \
        extract_features.py --kind fbank --data "$data" --sets "$sets" --out "$dump" --job JOB --jobs "$nj" \
        --check-space "$check_space"
    merge_archives.py --folder "$dump" --sets "$sets" --name feats --jobs "$nj" --data "$data" --tables utt2num_frames
    compute_cmvn.py --features "$dump/train/feats.scp" --out "$dump"
}

train_listeners() { # stage 3
    needs "$dump/cmvn.npz" 2
    needs "$tokens/tokens.txt" 1
    mkdir -p "$exp/listener/log"
    for s in $seeds; do echo "--seed $s --out $exp/listener/seed$s"; done > "$exp/listener/log/lines"
    # shellcheck disable=SC2046,SC2086
    in_array "$exp/listener/log/train" "$exp/listener/log/lines" $(trainings) -- \
        $launcher train_espnet.py --config "$listener_config" --data "$data" --features "$dump" --tokens "$tokens" \
        --cmvn "$dump/cmvn.npz" --ngpu "$ngpu"
    if $robust; then
        mkdir -p "$exp/robust/log"
        for s in $seeds; do echo "--seed $s --init $exp/listener/seed$s --out $exp/robust/seed$s"; done > "$exp/robust/log/lines"
        # shellcheck disable=SC2046,SC2086
        in_array "$exp/robust/log/train" "$exp/robust/log/lines" $(trainings) -- \
            $launcher train_espnet.py --config "$conf/robust.yaml" --data "$data" --features "$dump" --tokens "$tokens" \
            --cmvn "$dump/cmvn.npz" --ngpu "$ngpu"
    fi
    if $use_lm; then
        # shellcheck disable=SC2086
        $cuda_cmd $gpu $spread "$exp/lm/log/train.log" $launcher train_lm.py --config "$conf/lm.yaml" --data "$data" --tokens "$tokens" \
            --out "$exp/lm" --seed "$seed" --ngpu "$ngpu"
    fi
}

teacher() { # teacher <seed>: the options that name an estimator's listener
    local model=$ears/seed$1
    [ "$listener" = hybrid ] || model=$(from_caller "$listener_model")
    echo "--listener.kind $listener --listener.model $(quoted "$model")"
}

train_estimators() { # stage 4
    local round further="" by ears
    for s in $seeds; do needs "$first_ears/seed$s/model.pth" 3; done
    for round in $(seq "$rounds"); do
        by=$(by_round "$round") ears=$(ears_in "$round")
        if [ "$round" -gt 1 ]; then
            hear_through_masks $((round - 1))
            # It goes on, and its noise need not rise again.
            further="--init $exp/estimator$(by_round $((round - 1)))/seed{seed} --noise.rise 0"
        fi
        mkdir -p "$exp/estimator$by/log"
        for s in $seeds; do echo "--seed $s --out $exp/estimator$by/seed$s $(teacher "$s") ${further//\{seed\}/$s}"; done > "$exp/estimator$by/log/lines"
        # shellcheck disable=SC2046,SC2086
        in_array "$exp/estimator$by/log/train" "$exp/estimator$by/log/lines" $(trainings) -- \
            $launcher train_mask_estimator.py --config "$conf/noise.yaml" --config "$estimator_config" --data "$data" --ngpu "$ngpu"
        estimate "$exp/masks$by/log" "$sets" "$(for s in $seeds; do echo "$exp/estimator$by/seed$s"; done | xargs)" \
            "$(for s in $seeds; do echo "$exp/masks$by/seed$s"; done | xargs)"
    done
}

hear_through_masks() { # hear_through_masks <round>: recognisers learn to hear through the masks of that round, the last one
    local last noisy name
    last=$(by_round "$1")
    noisy=$exp/noisy$last/through-masks
    mkdir -p "$noisy/log" "$ears/log"
    for name in train dev; do
        noisy_copy $name
        for s in $seeds; do
            echo "--sets ${name}_noisy --mask-set $name $(masks_of "$exp/masks$last/seed$s" "$exp/estimator$last/seed$s") --out $noisy/seed$s"
        done
    done > "$noisy/log/lines"
    in_array "$noisy/log/mix" "$noisy/log/lines" --max-jobs-run "$nj" -- mix_noise.py --config "$conf/noise.yaml" --data "$data" \
        --check-space "$check_space"
    for s in $seeds; do
        for name in train dev; do twice $name "$noisy/seed$s/${name}_noisy" "$noisy/seed$s/${name}_twice"; done
        echo "--features $noisy/seed$s --init $(ears_in "$1")/seed$s --seed $s --out $ears/seed$s"
    done > "$ears/log/lines"
    # shellcheck disable=SC2046,SC2086
    in_array "$ears/log/train" "$ears/log/lines" $(trainings) -- $launcher train_espnet.py --config "$conf/through_masks.yaml" \
        --data "$data" --train-set train_twice --dev-set dev_twice --tokens "$tokens" --cmvn "$dump/cmvn.npz" --ngpu "$ngpu"
}

noisy_copy() { # noisy_copy <set>: data directories of its noisy copy, and of the two together
    copy_data_dir.sh --utt-prefix noisy- --spk-prefix noisy- "$data/$1" "$data/$1_noisy" > /dev/null
    combine_data.sh "$data/$1_twice" "$data/$1" "$data/$1_noisy" > /dev/null
}

twice() { # twice <set> <features of its noisy copy> <folder>: the tables of a set's features and its copy's
    local table
    mkdir -p "$3"
    for table in feats.scp utt2num_frames; do
        sort "$dump/$1/$table" "$2/$table" > "$3/.$table.tmp"
        mv "$3/.$table.tmp" "$3/$table"
    done
}

estimate() { # estimate <folder of logs> <sets> <estimators> <folders>: the masks of these sets by each estimator
    split_sets "$2"
    # shellcheck disable=SC2086
    $cuda_cmd $gpu JOB=1:"$nj" "$1/estimate.JOB.log" \
        estimate_masks.py --config "$conf/noise.yaml" --data "$data" --sets "$2" --estimators "$3" --out "$4" --longest "$(longest)" \
        --job JOB --jobs "$nj" --device "$device" --check-space "$check_space"
    for folder in $4; do
        merge_archives.py --folder "$folder" --sets "$2" --name mask --jobs "$nj" --data "$data" --tables noise_proportion
    done
}

longest() { # seconds of the corpus' longest utterance, to which the paper pads all
    awk '{ print $2 }' "$data"/{train,dev,test}/utt2dur | sort -g | tail -n 1
}

mix_noise() { # stage 5
    for s in $seeds; do needs "$exp/masks$by/seed$s/test/mask.scp" 4; done
    local lines=$exp/noisy$by/log/lines
    mkdir -p "$exp/noisy$by/log"
    {
        for s in $seeds; do
            echo "--sets 'dev test' $(masks_of "$exp/masks$by/seed$s" "$exp/estimator$by/seed$s") --draws '$draws' --audio true" \
                "--out $exp/noisy$by/masked-noise/seed$s/draw{draw}"
            # A control: a mask may say more by its own shape than by what it spares of the speech.
            echo "--sets 'dev test' $(masks_of "$exp/masks$by/seed$s" "$exp/estimator$by/seed$s") --draws '$draws' --speech false" \
                "--out $exp/noisy$by/noise-alone/seed$s/draw{draw}"
        done
        echo "--sets 'dev test' --draws '$draws' --out $exp/noisy/full-noise/draw{draw}"
        for snr in $snrs; do echo "--sets test --snr $snr --out $exp/noisy/snr$snr"; done
        if [ -n "$retrained" ]; then
            echo "--sets train_noisy --snr '$train_snr' --out $exp/noisy/everywhere"
            for s in $seeds; do
                echo "--sets train_noisy --mask-set train $(masks_of "$exp/masks$by/seed$s" "$exp/estimator$by/seed$s")" \
                    "--snr '$train_snr' --out $exp/noisy$by/spared/seed$s"
            done
        fi
    } > "$lines"
    if [ -n "$retrained" ]; then
        noisy_copy train
    fi
    in_array "$exp/noisy$by/log/mix" "$lines" --max-jobs-run "$nj" -- mix_noise.py --config "$conf/noise.yaml" --data "$data" \
        --check-space "$check_space"
    for system in $retrained; do
        for s in $seeds; do training_copies "$system" "$s"; done
    done
}

masks_of() { # masks_of <masks> <estimator>: the options that name them
    echo "--masks $1 --estimator $2"
}

training_copies() { # training_copies <system> <seed>: every training utterance as it is, and once more as the system has it
    local target=$exp/noisy$by/$1/seed$2 noisy table
    mkdir -p "$target/dev"
    for table in feats.scp utt2num_frames; do cp "$dump/dev/$table" "$target/dev/$table"; done
    case $1 in
        retrain-clean)
            noisy=$target/train_noisy
            mkdir -p "$noisy"
            for table in feats.scp utt2num_frames; do sed 's/^/noisy-/' "$dump/train/$table" > "$noisy/$table"; done
            ;;
        retrain-everywhere) noisy=$exp/noisy/everywhere/train_noisy ;;
        retrain-spared) noisy=$exp/noisy$by/spared/seed$2/train_noisy ;;
    esac
    twice train "$noisy" "$target/train_twice"
}

train_more() { # stage 6: figure 2's estimators, and the recognisers retrained with noise
    if [ -z "$sweeps$retrained" ]; then passed "no training is needed without --sweeps and --retrained"; return; fi
    needs "$ears/seed$first_seed/model.pth" "$ears_from"
    if [ -n "$sweeps" ]; then sweep; fi
    if [ -n "$retrained" ]; then retrain; fi
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

points() { # the folder of every point of the sweeps
    local weight value
    for weight in $sweeps; do
        for value in $(values_of "$weight"); do echo "$exp/sweeps$by/$weight/$value/seed$first_seed"; done
    done
}

sweep() {
    # Logs of what is swept in one run; the weights swept in another have their own.
    local logs=$exp/sweeps$by/log/${sweeps// /+} weight value point start=
    local lines=$logs/lines
    mkdir -p "$logs"
    if $sweep_further; then
        needs "$exp/estimator$by/seed$first_seed/model.safetensors" 4
        start="--init $exp/estimator$by/seed$first_seed"
    fi
    for weight in $sweeps; do
        for value in $(values_of "$weight"); do
            echo "--weights.$weight $value --out $exp/sweeps$by/$weight/$value/seed$first_seed $(teacher "$first_seed") $start"
        done
    done > "$lines"
    # shellcheck disable=SC2046,SC2086
    in_array "$logs/train" "$lines" $(trainings) -- $launcher train_mask_estimator.py --config "$conf/noise.yaml" --config "$sweep_config" \
        --data "$data" --ngpu "$ngpu" --seed "$first_seed"
    estimate "$logs" "dev test" "$(points | xargs)" "$(points | sed 's#$#/masks#' | xargs)"
    for point in $(points); do
        echo "$(masks_of "$point/masks" "$point") --out $point/noisy"
    done > "$logs/mixtures"
    in_array "$logs/mix" "$logs/mixtures" --max-jobs-run "$nj" -- mix_noise.py --config "$conf/noise.yaml" --data "$data" --sets "dev test" \
        --check-space "$check_space"
}

retrain() {
    local lines=$exp/retrained$by/log/lines
    for s in $seeds; do needs "$exp/noisy$by/${retrained%% *}/seed$s/train_twice/feats.scp" 5; done
    mkdir -p "$exp/retrained$by/log"
    for system in $retrained; do
        for s in $seeds; do
            echo "--features $exp/noisy$by/$system/seed$s --init $ears/seed$s --seed $s --out $exp/retrained$by/$system/seed$s"
        done
    done > "$lines"
    # shellcheck disable=SC2046,SC2086
    in_array "$exp/retrained$by/log/train" "$lines" $(trainings) -- $launcher train_espnet.py --config "$retrain_config" \
        --data "$data" --train-set train_twice --tokens "$tokens" --cmvn "$dump/cmvn.npz" --ngpu "$ngpu"
}

hypotheses() { # hypotheses <sets>: reads "<model> <features> <folder>" a line, writes argument lines that decode them
    xargs -r -n $((3 * at_once)) | while read -r -a words; do
        local models="" features="" places="" i
        for ((i = 0; i < ${#words[@]}; i += 3)); do
            models+=" ${words[i]}" features+=" ${words[i + 1]}" places+=" ${words[i + 2]}"
        done
        echo "--models '$models' --sets '$1' --features '$features' --out '$places'"
    done
}

decode() { # stage 7
    local lines=$exp/decode$by/log/lines d s snr system model name lm=()
    for s in $seeds; do
        needs "$exp/noisy$by/masked-noise/seed$s/draw${draws%% *}/test/feats.scp" 5
        for system in $retrained; do needs "$exp/retrained$by/$system/seed$s/model.pth" 6; done
    done
    mkdir -p "$exp/decode$by/log"
    {
        for s in $seeds; do
            echo "$ears/seed$s $dump $exp/decode$by/clean/seed$s/draw0"
            for d in $draws; do
                for name in masked-noise noise-alone; do
                    echo "$ears/seed$s $exp/noisy$by/$name/seed$s/draw$d $exp/decode$by/$name/seed$s/draw$d"
                done
                echo "$ears/seed$s $exp/noisy/full-noise/draw$d $exp/decode$by/full-noise/seed$s/draw$d"
            done
        done
        points | sed "s#.*#$ears/seed$first_seed &/noisy &/decode#"
    } | hypotheses "dev test" > "$lines"
    for system in ${retrained:+baseline $retrained}; do
        for s in $seeds; do
            model=$([ "$system" = baseline ] && echo "$ears/seed$s" || echo "$exp/retrained$by/$system/seed$s")
            echo "$model $dump $exp/decode_retrained$by/$system/seed$s/clean"
            for snr in $snrs; do echo "$model $exp/noisy/snr$snr $exp/decode_retrained$by/$system/seed$s/$snr"; done
        done
    done | hypotheses test >> "$lines"
    if $use_lm; then lm=(--lm "$exp/lm"); fi
    # On CPUs even where there is a GPU: the batches of a beam search are too small for one.
    in_array "$exp/decode$by/log/decode" "$lines" --max-jobs-run "$nj" -- \
        decode_espnet.py --config "$conf/decode.yaml" "${lm[@]}"
}

score() { # stage 8: errors of characters, the space between words being one, in what stage 7 decoded
    local name point
    needs "$exp/decode$by/log/lines" 7
    score_all "$exp/decode$by" "$exp/score$by" "dev test"
    score_all "$exp/decode_retrained$by" "$exp/score_retrained$by" test
    score_all "$exp/sweeps$by" "$exp/sweeps$by" "dev test" /decode /score
    for point in $(decoded "$exp/sweeps$by" /decode); do
        for name in dev test; do
            cp "$exp/sweeps$by/$point/masks/$name/noise_proportion" "$exp/sweeps$by/$point/noise_proportion.$name"
        done
    done
}

decoded() { # decoded <folder> [<end>]: what stage 7 wrote in the folder, without that and without the end
    sed -n "s/.*--out '\(.*\)'\$/\1/p" "$exp/decode$by/log/lines" | tr ' ' '\n' | sed -n "s#^$1/\(.*\)${2:-}\$#\1#p"
}

score_all() { # score_all <hypotheses> <scores> <sets> [<end of a folder of hypotheses> <end of one of scores>]
    local of
    of=$(decoded "$1" "${4:-}" | xargs)
    [ -n "$of" ] || return 0
    score_words.py --ref "$data/{set}/text" --hyp "$1/{of}${4:-}/{set}/text" --utt2spk "$data/{set}/utt2spk" \
        --out "$2/{of}${5:-}/{set}" --sets "$3" --of "$of" --normaliser raw
}

report_results() { # stage 9: of what this run's options name, not of what others may have left
    local system s point
    for s in $seeds; do
        needs "$exp/score$by/clean/seed$s/draw0/test/counts.json" "8, after stage 7,"
        for system in ${retrained:+baseline $retrained}; do
            needs "$exp/score_retrained$by/$system/seed$s/clean/test/counts.json" "8, after stage 7,"
        done
    done
    for point in $(points); do needs "$point/score/test/counts.json" "8, after stage 7,"; done
    local paper=() more=() values="" weight # the paper's figures are of the real corpus
    local seed_of draw_of place
    seed_of="seed{seed:$(one_of "$seeds")}"
    draw_of="draw{draw:0|$(one_of "$draws")}" # clean speech has draw 0
    [ "$mini" = true ] || paper=(--paper conf/paper.yaml)
    if [ -n "$retrained" ]; then
        more+=(--retrained "$exp/score_retrained$by/{system:baseline|$(one_of "$retrained")}/$seed_of/{snr:clean|$(one_of "$snrs")}/{set}")
    fi
    if [ -n "$sweeps" ]; then
        for weight in $sweeps; do values+=" $(values_of "$weight" | xargs)"; done
        place="$exp/sweeps$by/{weight:$(one_of "$sweeps")}/{value:$(one_of "$values")}/seed{seed:$first_seed}"
        more+=(--sweeps "$place/score/{set}" --sweep-proportions "$place/noise_proportion.{set}")
    fi
    fresh_figures "$exp/report"
    collect_bubble_results.py --out "$results/results.json" --corpus "$corpus" --synthetic "$mini" --command "$command" \
        --scores "$exp/score$by/{system}/$seed_of/$draw_of/{set}" --frames "$dump/{set}/utt2num_frames" \
        --proportions "$exp/noisy$by/{system}/$seed_of/$draw_of/{set}/noise_proportion" "${more[@]}" \
        --masks "$exp/masks$by/$seed_of/test/mask.scp" --recogniser "espnet-hybrid-$token_type" "${paper[@]}" \
        --settings "{settings: $conf, listener: $listener, recogniser: $(basename "$listener_config"), estimator: $(basename "$estimator_config"), sweeps: $(basename "$sweep_config"), sweeps go on from stage 4: $sweep_further, retraining: $(basename "$retrain_config"), robust: $robust, rounds: $rounds, language model: $use_lm}"
    draw_masks.py --out "$exp/report/figures" --synthetic "$mini" --results "$results/results.json" --corpus "$corpus" \
        --masks "$exp/masks$by/$seed_of/test/mask.scp" --estimators "$exp/estimator$by/$seed_of" --data "$data/test" \
        ${examples:+--utterances "$examples"}
    report_results.py --results "$results/results.json" --out "$results/RESULTS.md" --html "$exp/report/report.html" \
        --figures "$exp/report/figures" --title "Where a recogniser listens: the bubble cooperative network" --corpus "$corpus" \
        --synthetic "$mini" --intro conf/results_intro.md \
        --examples "$exp/score$by/masked-noise/seed$first_seed/draw${draws%% *}/test/alignments_raw.txt"
}
