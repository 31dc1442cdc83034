#!/usr/bin/env bash
# Catalan wav2vec 2.0 after "Amplifying Voices" (2024): pretrain a model on unlabelled Common Voice, train classifiers of
# accent and gender, map by Grad-CAM where in the signal they find it, and fine-tune recognisers from this model and others.
set -euo pipefail
. ./path.sh
. options.sh # --stage, --nj, --ngpu, --mini and others that every recipe has

# The corpus: a Catalan release of Common Voice, or a folder with several and with delta segments.  It is never
# downloaded: it needs a login.
common_voice_root=
common_voice_archive=    # an archive, or a folder with several
unlabelled_data=         # a data directory of any speech, whose audio joins the unlabelled

seeds=                   # random seeds for the recognisers (default: 1 2 3)
classifier_seeds=        # random seeds for classifiers and for recognisers with masks (default: seeds; mini: 1)
starts=                  # where recognisers start (default: random own spanish english multilingual; mini: random own), random,
                         # own, the model that stage 3 pretrains, or a name in conf/starts.yaml
variants=                # how recognisers from variant_start are masked, names in conf/systems.yaml (default: plain specaugment
                         # random-mask gradcam; mini: plain gradcam); those from other starts are plain
faithfulness_limit=      # at most this many utterances tell how faithful maps are to the classifier; 0: none (default: 10; mini: 3)
methods="gradcam gradcam++" # saliency methods whose maps of the accent classifier are written, with those that the variants need
variant_start=own        # the start of the classifiers, too; nothing is pretrained if neither this nor starts has own
chunk=0                  # unlabelled clips on the disk at a time, decoded and trained on in chunks; 0 decodes all
max_disk_gb=100          # what may lie below dump, decoded clips above all; the corpus and the models are not counted
legacy_vocabulary=false  # true: the paper's symbols, without a word boundary and without most accented letters

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seed N]
    [--common-voice-root DIR] [--starts 'random own'] [--variants 'plain gradcam'] [--skip-bad-clips true]
    [any variable at the top of this file or of local/options.sh]
--starts 'random english' --variant-start english --variants plain takes some of the recognisers; a stage that none of
them needs is passed, and nothing is pretrained unless own is a start
which tables, accents and clips: conf/data.yaml; beam search: conf/decode.yaml; the published objective: --conf conf/legacy
stages: 0 corpus, 1 data, 2 vocabulary and decoded clips, 3 pretraining and classifiers, 4 saliency maps, 5 masks,
        6 recognisers, 7 decode, 8 score, 9 report"

renamed_options "side_seeds=classifier_seeds size=conf/pretraining.yaml,conf/classifier.yaml,conf/finetune.yaml
    pretraining_start=conf/pretraining.yaml pretraining_config=conf spanish=conf/starts.yaml english=conf/starts.yaml
    multilingual=conf/starts.yaml beam=conf/decode.yaml lm=conf/decode.yaml unlabelled_releases=conf/data.yaml
    labelled_tables=conf/data.yaml unlabelled_tables=conf/data.yaml legacy_accents=conf/data.yaml
    accent_table=conf/data.yaml least_per_accent=conf/data.yaml most_per_accent=conf/data.yaml
    most_per_gender=conf/data.yaml train_limit=conf/data.yaml dev_limit=conf/data.yaml test_limit=conf/data.yaml
    random_share=conf/data.yaml shortest=conf/data.yaml longest=conf/data.yaml other_columns=conf/data.yaml"
command="./run.sh --egs cv_ca${*:+$(printf ' %q' "$@")}"
. parse_options.sh
setup.sh # returns immediately if already set up
. "$SALIENCE_ROOT/conf/cmd.sh"
. stages.sh
. local/recognisers.sh
. local/run_chunks.sh
renamed_folders "ctc=recogniser/wav2vec2"

if begin 0 "corpus"; then
    common_voice_catalan_root=$common_voice_root common_voice_catalan_archive=$common_voice_archive
    fetch common_voice_catalan
fi

if begin 1 "data directories: labelled, unlabelled, accents, genders"; then
    needs "$downloads/common_voice_catalan/root.txt" 0
    local/prepare_sets.py --config "$(settings_of data.yaml)" --out "$data" --skip-bad-clips "$skip_bad_clips" --seed "$seed" \
        --common-voice "$(cat "$downloads/common_voice_catalan/root.txt")" \
        ${unlabelled_data:+--unlabelled-data "$(from_caller "$unlabelled_data")"}
    for name in $(present "$labelled_sets $random_sets"); do validate_data_dir.sh --no-feats "$data/$name"; done
    for name in $(present unlabelled); do validate_data_dir.sh --no-feats --no-text "$data/$name"; done
    check_leakage.py --normaliser catalan --train "$(folders_of "$train_sets unlabelled")" \
        --dev "$(folders_of "$dev_sets")" --test "$(folders_of "$test_sets")" --report "$data/leakage.md"
    # The random split of the paper, to show what it leaks.
    check_leakage.py --normaliser catalan --train "$(folders_of "$(on_random "$train_sets")")" \
        --dev "$(folders_of "$(on_random "$dev_sets")")" --test "$(folders_of "$(on_random "$test_sets")")" \
        --report "$data/leakage_random.md" --allow-shared-speakers "$(present "$random_sets")"
fi

if begin 2 "vocabulary, and clips decoded at 16 kHz"; then
    for name in labelled_train labelled_dev labelled_test; do needs_set "$name"; done
    prepare_vocabulary.py --out "$data/vocabulary" --text "$data/labelled_train/text"
    if ! $pretrained; then
        echo "the unlabelled clips are left out: neither --starts nor --variant-start names own, the model that is pretrained on them"
    elif [ "$chunk" -eq 0 ] && [ -e "$data/unlabelled" ]; then
        rm -rf "$data/unlabelled_chunk" "$dump/unlabelled_chunk"
        decode_clips --sets unlabelled
    fi
    # These sets share their clips.
    decode_clips --sets "$(present "$labelled_sets $random_sets")" --together labelled
fi

if begin 3 "wav2vec 2.0: pretraining; classifiers of accent and gender"; then
    needs "$dump/labelled_train/utterances" 2
    [ -z "$mapped_variants" ] || needs_accents
    check_starts
    if ! $pretrained; then
        echo "nothing is pretrained: neither --starts nor --variant-start names own"
    elif [ "$chunk" -eq 0 ]; then
        if grep -qw unlabelled "$(settings_of pretraining.yaml)"; then needs_set unlabelled; fi
        [ ! -L "$own" ] || rm "$own" # the link of an earlier run in chunks, into whose model this one would be written
        pretrain train --config "$(settings_of pretraining.yaml)" --out "$own"
    else
        run_chunks "$(settings_of pretraining.yaml)" "$chunk" "$own"
    fi
    lines=$(for labels in accent gender; do for split in "" _random; do classifier_trainings "$labels" "$split"; done; done)
    if [ -n "$lines" ]; then
        train_array "$exp/classifier/log/train" "$lines" \
            train_wav2vec_classifier.py --config "$(settings_of classifier.yaml)" --data "$data" --packed "$dump"
    elif ! $pretrained; then
        passed "nothing is pretrained, and there is no classifier to train"
    fi
fi

if begin 4 "saliency maps of the accent classifier, and how faithful they are"; then
    if [ -z "$mapped_variants$(all_of accent)" ]; then
        passed "there are no accents, so there is nothing to map"
    else
        needs_accents
        needs "$classifier/model.safetensors" 3
        # shellcheck disable=SC2086
        $cuda_cmd $gpu "$exp/saliency/log/accent.log" map_saliency.py --model "$classifier" --methods "$methods" \
            --data "$data" --features "$dump" --sets "labelled_train labelled_test" --out "$exp/saliency" --task accent --device "$device" --check-space "$check_space"
        measure_saliency
    fi
fi

if begin 5 "masks of the latent frames: those of the first epoch, and how much they hide"; then
    if [ -z "$masked_variants" ]; then
        passed "no masks are needed for --variants '$variants'"
    else
        needs_maps
        mask_features.py --systems "$systems_config" --only "$masked_variants" --data "$data" --features "$dump" \
            --maps "$exp/saliency" --task accent --sets labelled_train --out "$exp/masked" --archives masks --seed "$first_seed" \
            --check-space "$check_space"
    fi
fi

if begin 6 "recognisers: CTC"; then
    needs "$tokens" 2
    if $pretrained; then needs "$own/model.safetensors" 3; fi
    needs_maps
    lines=$(while read -r start variant s _ model; do
        echo "--model $model --system $variant --seed $s --out $models/$start/$variant/seed$s"
    done <<< "$recognisers")
    train_array "$models/log/train" "$lines" finetune.py --recogniser wav2vec2 --config "$(settings_of finetune.yaml)" \
        --data "$data" --features "$dump" --train-set labelled_train --dev-set labelled_dev --tokens "$tokens" \
        --normaliser catalan --systems "$systems_config" --maps "$exp/saliency"
fi

if begin 7 "hypotheses, and maps of what each recogniser writes"; then
    folders=$(with_file model.safetensors 6)
    # A process for each job: starting one takes longer than what a small model decodes.
    lines=$(xargs -n "$((($(wc -l <<< "$folders") + nj - 1) / nj))" <<< "$folders" | while read -r folders; do
        echo "--models '$folders' --out '${folders// //decode }/decode'"
    done)
    # shellcheck disable=SC2086
    run_array "$models/log/decode" "$lines" $gpu --max-jobs-run "$nj" -- decode.py --recogniser wav2vec2 \
        --config "$(settings_of decode.yaml)" --data "$data" --features "$dump" --sets labelled_test --device "$device"
    # Few are mapped: a map for each character takes long.
    # shellcheck disable=SC2086
    run_array "$exp/saliency/log/ctc" \
        "--task ctc --per-character false"$'\n'"--task ctc-characters --per-character true" $gpu --max-jobs-run "$nj" -- \
        map_saliency.py --model "$drawn_model" --methods "gradcam gradcam++" --data "$data" --features "$dump" \
        --sets labelled_test --out "$exp/saliency" --target reference --normaliser catalan --max-per-accent 3 --device "$device" --check-space "$check_space"
fi

if begin 8 "WER and CER, raw and normalised, for all and by accent"; then
    lines=$(with_file decode/labelled_test/text 7 | sed 's#.*#--hyp &/decode/{set}/text --out &/score/{set}#')
    cuda_cmd=$decode_cmd run_array "$models/log/score" "$lines" --max-jobs-run "$train_jobs" -- score_words.py --ref "$data/{set}/text" \
        --utt2spk "$data/{set}/utt2spk" --utt2accent "$data/{set}/utt2accent" --sets labelled_test --normaliser catalan
fi

if begin 9 "report"; then
    [ -n "$(find "$exp" -name history.json -print -quit)" ] || fail "$PWD/$exp holds no training to report; stage 3 writes the first"
    only=$(awk '{ print $1 "/" $2 "/" $3 }' <<< "$recognisers" | xargs)
    places=(--only "$only" --values.models "$models" --values.sets labelled_test --values.data "$data" --values.dump "$dump"
        --values.exp "$exp" --values.classified_starts "$variant_start" --values.classifier_seeds "$classifier_seeds"
        --values.explained "$([ -z "$(all_of accent)" ] || echo "accent ")ctc ctc-characters")
    ! $pretrained || places+=(--values.pretrained "$first_seed")
    [ "$faithfulness_limit" -eq 0 ] || places+=(--values.measured_methods "$methods")
    collect_results.py --report conf/report.yaml --out "$results/results.json" --corpus "$(labelled "Common Voice Catalan")" \
        --synthetic "$mini" --command "$command" --recogniser wav2vec2 "${places[@]}" --settings "{settings: $conf}"
    report_results.py --report conf/report.yaml --results "$results/results.json" --out "$results/RESULTS.md" \
        --html "$exp/report/report.html" --corpus "$(labelled "Common Voice Catalan")" "${places[@]}" \
        --values.systems_config "$systems_config" --values.masked "$masked_variants" --values.mask_seed "$first_seed"
fi
