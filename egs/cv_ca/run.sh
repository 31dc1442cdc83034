#!/usr/bin/env bash
# Catalan wav2vec 2.0 after "Amplifying Voices" (2024): a model is pretrained on unlabelled Common Voice, accents and
# genders are told apart, Grad-CAM says where in the signal that is heard, and recognisers are fine-tuned from it and
# from published models.

# The corpus: a Catalan release of Common Voice, or a folder with several and with delta segments.  It is never
# downloaded: it needs a login.
common_voice_root=
common_voice_archive=    # an archive, or a folder with several
unlabelled_releases=     # releases of which only the audio is used, by folder or version (the paper: 15.0 16.1 17.0)
labelled_tables=validated # of the other releases: tables whose sentences are used,
unlabelled_tables="other invalidated" # and tables of which only the audio is used
unlabelled_data=         # a data directory of any speech, whose audio joins the unlabelled

stage=0
stop_stage=9
nj=2                     # jobs of an array
ngpu=0                   # for each training, on each node
nodes=1                  # for each training (Slurm)
cmd_backend=${cmd_backend:-} # where jobs run: local, slurm or sge (default: the word in conf/cmd.sh)
seed=1                   # of the synthetic corpus, the sets and the chunks
mini=false               # true: a synthetic corpus of some minutes, in four espeak voices
check_space=true         # false: begin to write features, maps or audio even where the disk seems too small for them
seeds=                   # of recognisers (default: 1 2 3)
side_seeds=              # of classifiers, and of recognisers with masks (default: seeds; mini: 1)
size=                    # of models that start from random weights: base or mini (default: base; mini: mini)
pretraining_start=random # where pretraining starts: random, a folder, or a name on the Hugging Face hub
starts=                  # where recognisers start (default: random own spanish english multilingual; mini: random own)
spanish=somosnlp/wav2vec2-spanish # models of the starts: folders, or names on the Hugging Face hub (name@commit: that version of it)
english=facebook/wav2vec2-base-960h
multilingual=facebook/wav2vec2-large-xlsr-53
variants=                # of the recognisers from variant_start (default: plain specaugment random-mask gradcam; mini: plain
                         # gradcam); the others are plain
variant_start=own        # the start that the classifiers have, too; nothing is pretrained if neither this nor starts has own
legacy_vocabulary=false  # true: the paper's symbols, without a word boundary and without most accented letters
beam=0                   # width of the beam; 0 takes the best path
lm=                      # n-gram model of words for the beam, a file: ARPA text, which KenLM's lmplz or other tools make
legacy_accents=false     # true: the paper's five exact strings of the accent column
accent_table=            # your own table, what is written in accents or variant and its label
least_per_accent=10      # an accent with fewer clips is in no accent set
most_per_accent=         # at most this many clips of an accent in each set (default: all; the paper: 1540)
most_per_gender=         # the same of a gender
train_limit=             # at most this many utterances in labelled_train (default: all)
dev_limit=               # the same for labelled_dev
test_limit=              # and for labelled_test
random_share=            # of the utterances outside training in the random sets (default: 0.1, the paper's; mini: 0.3)
shortest=0.5             # seconds; shorter clips are left out
longest=20               # seconds; longer clips are left out
skip_bad_clips=false     # true: leave out clips that are missing or damaged (data/bad_clips.tsv), instead of stopping
other_columns=           # columns that the tables may have besides the known ones
chunk=0                  # unlabelled clips on the disk at a time, decoded in chunks; 0 decodes all
max_disk_gb=100          # what may lie below dump, decoded clips above all; the corpus and the models are not counted
conf=                    # folder of settings (default: conf; mini: conf/mini)
pretraining_config=      # a file there or elsewhere (default: pretraining.yaml; pretraining_legacy.yaml: the published objective,
                         # which collapses)
train_jobs=              # trainings at a time (default: nj)
launcher=                # of trainings on several processes (default: launch.sh, if --ngpu or --nodes is above 1)
results=                 # folder of results.json and RESULTS.md (default: this one; mini: exp/mini)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seed N]
    [--common-voice-root DIR] [--unlabelled-releases '15.0 16.1'] [--skip-bad-clips true]
    [any variable at the top of this file]
--starts 'random english' --variant-start english --variants plain takes some of the recognisers; a stage that none of
them needs is passed, and nothing is pretrained unless own is a start
stages: 0 corpus, 1 data, 2 vocabulary and decoded clips, 3 pretraining and classifiers, 4 Grad-CAM, 5 masks,
        6 recognisers, 7 decode, 8 score, 9 report"

set -euo pipefail
command="./run.sh --egs cv_ca${*:+$(printf ' %q' "$@")}"
. ./path.sh
. parse_options.sh
# The first run sets up .venv; later ones pass at once.
setup.sh
. "$SALIENCE_ROOT/conf/cmd.sh"
seeds=${seeds:-1 2 3}
if [ "$mini" = true ]; then
    side_seeds=${side_seeds:-${seeds%% *}} size=${size:-mini} starts=${starts:-random own} variants=${variants:-plain gradcam}
else
    side_seeds=${side_seeds:-$seeds} size=${size:-base} starts=${starts:-random own spanish english multilingual}
    variants=${variants:-plain specaugment random-mask gradcam}
fi
random_share=${random_share:-$([ "$mini" = true ] && echo 0.3 || echo 0.1)}
. stages.sh
. local/catalan_stages.sh
. local/report_stages.sh

if begin 0 "corpus";                                                   then fetch_corpus; fi
if begin 1 "data directories: labelled, unlabelled, accents, genders"; then prepare_data; fi
if begin 2 "vocabulary, and clips decoded at 16 kHz";                  then prepare_signals; fi
if begin 3 "wav2vec 2.0: pretraining; classifiers of accent and gender"; then learn; fi
if begin 4 "Grad-CAM and Grad-CAM++ of the accent classifier";         then map_accents; fi
if begin 5 "masks of the latent frames";                               then mask; fi
if begin 6 "recognisers: CTC";                                         then finetune; fi
if begin 7 "hypotheses, and what each recogniser listens to";          then decode; fi
if begin 8 "WER and CER";                                              then score_ctc; fi
if begin 9 "report";                                                   then report_results; fi
