# shellcheck shell=bash
# shellcheck disable=SC2154  # run.sh, which sources this, sets the variables
# Stages 8 and 9 of the Catalan recipe: scores and report.  stages.sh comes before.

ctc_test_sets=labelled_test

score_ctc() { # stage 8: WER and CER of every recogniser, raw and normalised, for all and by accent
    local folder
    mkdir -p "$exp/ctc/log"
    for folder in "$exp"/ctc/*/*/seed*/decode; do
        [ -d "$folder" ] || fail "$PWD/$exp/ctc holds no hypotheses; stage 7 writes them"
        echo "--hyp $folder/{set}/text --out ${folder%decode}score/{set}"
    done > "$exp/ctc/log/scorings"
    $decode_cmd --max-jobs-run "$train_jobs" JOB=1:"$(wc -l < "$exp/ctc/log/scorings")" "$exp/ctc/log/score.JOB.log" \
        nth_line.sh "$exp/ctc/log/scorings" JOB score_words.py --ref "$data/{set}/text" --utt2spk "$data/{set}/utt2spk" \
        --utt2accent "$data/{set}/utt2accent" --sets "$ctc_test_sets" --normaliser catalan
}

report_results() { # stage 9: tables and pictures of what there is
    local corpus="Common Voice Catalan" recognisers="$exp/ctc/{start}/{variant}/seed{seed}" histories="$exp/pretrained/seed{seed}/history.json"
    local classifiers="$exp/classifier/{task}/{start}/seed{seed}/wav2vec.{set}.json" drawn=${ctc_test_sets%% *} alignments
    local paper=() # whose figures are of the real corpus
    [ "$mini" = true ] || paper=(--paper conf/paper.yaml)
    [ -n "$(find "$exp" -name history.json -print -quit)" ] || fail "$PWD/$exp holds no training to report; stage 3 writes the first"
    mkdir -p "$results" "$exp/report"
    for alignments in "$exp"/ctc/*/plain/seed*/score/"$drawn"/alignments_normalised.txt; do break; done
    [ -e "$alignments" ] || alignments=
    collect_wav2vec_results.py --out "$results/results.json" --corpus "$corpus" --synthetic "$mini" --command "$command" \
        --scores "$recognisers/score/{set}" --sets "$ctc_test_sets" --genders "$data/{set}/utt2gender" \
        --classifiers "$classifiers" --pretraining "$histories" "${paper[@]}" --settings "{settings: $conf, pretraining: $(basename "$pretraining_config"), size: $size}"
    draw_wav2vec.py --out "$exp/report/figures" --synthetic "$mini" --results "$results/results.json" --corpus "$corpus" \
        --pretraining "$histories" --finetuning "$recognisers/history.json" --classifiers "$classifiers" \
        --data "$data/$drawn" --packed "$dump/$drawn" --maps "$exp/saliency/{kind}/{task}/$drawn/saliency.scp"
    report_results.py --results "$results/results.json" --out "$results/RESULTS.md" --html "$exp/report/report.html" \
        --figures "$exp/report/figures" --title "Catalan wav2vec 2.0" --corpus "$corpus" --synthetic "$mini" \
        --intro conf/results_intro.md ${alignments:+--examples "$alignments"}
}
