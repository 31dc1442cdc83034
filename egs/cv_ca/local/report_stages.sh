# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# Stages 8 and 9 of the Catalan recipe: scores and report.  stages.sh comes before.

ctc_test_sets=labelled_test

score_ctc() { # stage 8: WER and CER of what stage 7 decoded, raw and normalised, for all and by accent
    local folder
    needs "$exp/ctc/log/decode" 7
    sed "s/^--models '\([^']*\)'.*/\1/" "$exp/ctc/log/decode" | tr ' ' '\n' | while read -r folder; do
        echo "--hyp $folder/decode/{set}/text --out $folder/score/{set}"
    done > "$exp/ctc/log/scorings"
    $decode_cmd --max-jobs-run "$train_jobs" JOB=1:"$(wc -l < "$exp/ctc/log/scorings")" "$exp/ctc/log/score.JOB.log" \
        nth_line.sh "$exp/ctc/log/scorings" JOB score_words.py --ref "$data/{set}/text" --utt2spk "$data/{set}/utt2spk" \
        --utt2accent "$data/{set}/utt2accent" --sets "$ctc_test_sets" --normaliser catalan
}

report_results() { # stage 9: tables and pictures of what is asked for, as far as it is there
    local corpus="Common Voice Catalan" recognisers="$exp/ctc/{start}/{variant}/seed{seed}" drawn=${ctc_test_sets%% *}
    local classifiers only start variant s alignments pretrained=() examples=() paper=() # the paper's figures are of the real corpus
    [ "$mini" = true ] || paper=(--paper conf/paper.yaml)
    [ -n "$(find "$exp" -name history.json -print -quit)" ] || fail "$PWD/$exp holds no training to report; stage 3 writes the first"
    fresh_figures "$exp/report"
    classifiers="$exp/classifier/{task}/{start:$variant_start}/seed{seed:$(one_of "$side_seeds")}/wav2vec.{set}.json"
    only=$(recognisers | xargs)
    while IFS=/ read -r start variant s; do
        alignments=$exp/ctc/$start/$variant/seed$s/score/$drawn/alignments_normalised.txt
        if [ -e "$alignments" ]; then examples=(--examples "$alignments"); break; fi
    done < <(recognisers)
    ! asks_for_own || pretrained=(--pretraining "$exp/pretrained/seed{seed:$first_seed}/history.json")
    collect_wav2vec_results.py --out "$results/results.json" --corpus "$corpus" --synthetic "$mini" --command "$command" \
        --scores "$recognisers/score/{set}" --sets "$ctc_test_sets" --only "$only" --genders "$data/{set}/utt2gender" \
        --classifiers "$classifiers" "${pretrained[@]}" "${paper[@]}" --settings "{settings: $conf, pretraining: $(basename "$pretraining_config"), size: $size}"
    draw_wav2vec.py --out "$exp/report/figures" --synthetic "$mini" --results "$results/results.json" --corpus "$corpus" \
        "${pretrained[@]}" --finetuning "$recognisers/history.json" --only "$only" --classifiers "$classifiers" \
        --data "$data/$drawn" --packed "$dump/$drawn" \
        --maps "$exp/saliency/{kind}/{task:$([ -z "$(all_of accent)" ] || echo "accent|")ctc|ctc-characters}/$drawn/saliency.scp"
    report_results.py --results "$results/results.json" --out "$results/RESULTS.md" --html "$exp/report/report.html" \
        --figures "$exp/report/figures" --title "Catalan wav2vec 2.0" --corpus "$corpus" --synthetic "$mini" \
        --intro conf/results_intro.md "${examples[@]}"
}
