#!/usr/bin/env bash
# The bubble cooperative network on AN4: a mask estimator learns to drown as much of the spectrogram in noise as an
# ESPnet hybrid CTC/attention recogniser can bear.  What it spares is what the recogniser listens to.

# The corpus: the sphere release, a raw one or a copy in RIFF; downloaded when neither is given.
an4_root=
an4_archive=

stage=0
stop_stage=9
nj=2                     # jobs of an array
ngpu=0                   # for each training, on each node
nodes=1                  # for each training (Slurm)
cmd_backend=${cmd_backend:-} # where jobs run: local, slurm or sge (default: the word in conf/cmd.sh)
seed=1                   # of the synthetic corpus and the language model
mini=false               # true: a synthetic corpus in the same format
check_space=true         # false: begin to write features, maps or audio even where the disk seems too small for them
seeds=                   # of recognisers and estimators (default: 1 2; mini: 1)
draws=                   # of the noise that the tables average over (default: 1 2 3; mini: 1)
skip_bad_clips=false     # true: leave out clips that are missing or damaged (data/bad_clips.tsv), instead of stopping
token_type=char          # char, or bpe for subwords
nbpe=30                  # how many subwords
use_lm=false             # true: decode with a language model of characters, trained on the transcripts
robust=true              # false: the listener hears clean speech only, as the paper's
rounds=                  # 1: the paper's; in each further one (default: 2; --listener whisper: 1) the listener learns through the last
                         # one's masks and the estimator goes on
listener=hybrid          # who teaches the estimators: hybrid, the recogniser of stage 3, or whisper
listener_model=          # for whisper: the checkpoint
sweeps=default           # loss weights that are varied as in figure 2 (default: asr mask entropy smoothness; mini: asr
                         # mask); "" for none
sweep_points=            # values of each (default: 3; mini: 2)
sweep_further=           # true: the sweeps' estimators go on from that of stage 4, with another weight (default; mini: false)
snrs=                    # of the noisy test sets, in dB (default: 20 10 0; mini: 10)
train_snr="0 20"         # range of the noise that recognisers are retrained with
retrained="retrain-clean retrain-everywhere retrain-spared" # "" for none; without these and without sweeps, stage 6 is passed
examples=                # test utterances to draw (default: three of different speakers)
conf=                    # folder of settings (default: conf, for processors; conf/full: the paper's, for a GPU; mini: conf/mini)
listener_config=         # settings of the recogniser (default: listener.yaml there; conf/full/listener_defaults.yaml: Table 1 to the letter)
estimator_config=        # settings of the estimators (default: estimator.yaml there); conf/no_leak.yaml: masks that write less of the
                         # words; what other settings make has their name in its folders and in RESULTS.md
train_jobs=              # trainings at a time (default: nj)
launcher=                # of trainings on several processes (default: launch.sh, if --ngpu or --nodes is above 1)
sweep_config=            # settings of the sweeps' estimators (default: sweep.yaml there)
retrain_config=          # settings of retraining (default: retrain.yaml there)
results=                 # folder of results.json and RESULTS.md (default: this one; mini: exp/mini)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seeds '1 2 3']
    [--an4-archive FILE | --an4-root DIR] [--sweep-points N] [--skip-bad-clips true]
    [any variable at the top of this file]
--sweeps 'asr mask' --retrained '' takes some of the sweeps and no retraining; without either, stage 6 is passed
the paper's sizes: --conf conf/full --rounds 1 --seeds '1 2 3' --sweep-points 8 --sweep-further false
stages: 0 corpus, 1 data, 2 features, 3 recogniser, 4 mask estimators and masks, 5 noise, 6 sweeps and retraining,
        7 decode, 8 score, 9 report"

set -euo pipefail
command="./run.sh --egs an4${*:+$(printf ' %q' "$@")}"
. ./path.sh
. parse_options.sh
# The first run sets up .venv; later ones pass at once.
setup.sh
. "$SALIENCE_ROOT/conf/cmd.sh"
if [ "$mini" = true ]; then
    [ "$sweeps" != default ] || sweeps="asr mask"
    seeds=${seeds:-1} draws=${draws:-1} sweep_points=${sweep_points:-2} snrs=${snrs:-10} dev_utterances=12
    sweep_further=${sweep_further:-false}
else
    [ "$sweeps" != default ] || sweeps="asr mask entropy smoothness"
    seeds=${seeds:-1 2} draws=${draws:-1 2 3} sweep_points=${sweep_points:-3} snrs=${snrs:-20 10 0} dev_utterances=100
    sweep_further=${sweep_further:-true}
fi
. stages.sh
. local/bubble_stages.sh

if begin 0 "corpus";                                               then fetch an4; fi
if begin 1 "data directories: 848 to learn, 100 to choose, 130 to test, and tokens"; then prepare_data; fi
if begin 2 "fbank features and their mean and variance";           then extract_features; fi
if begin 3 "recognisers: ESPnet's hybrid CTC/attention";           then train_listeners; fi
if begin 4 "mask estimators, and the masks of all sets";           then train_estimators; fi
if begin 5 "noise: through the masks, everywhere, at several SNRs"; then mix_noise; fi
if begin 6 "sweeps of the loss weights; recognisers retrained with noise"; then train_more; fi
if begin 7 "hypotheses";                                           then decode; fi
if begin 8 "CER";                                                  then score; fi
if begin 9 "report";                                               then report_results; fi
