#!/usr/bin/env bash
# ImportantAug on Speech Commands: a generator learns where noise does a recogniser no harm, and the recogniser is trained
# on with noise there.

# The corpus, and noise.  Downloaded where neither a folder nor an archive is given.
speech_commands_root=
speech_commands_archive=
musan_root=
musan_archive=
qut_noise_root=
qut_noise_archive=
noise=musan              # in training and in the first noisy test set: musan; background, the corpus' own; or a folder
other_noise=qut          # in the second noisy test set: qut, or a folder
noise_name=              # the two noisy test sets are test_<name> (default: what --noise and --other-noise say, of a folder its
other_name=              # last part)
published_musan=         # the published test sets instead of our own: folder with speech_command_test_musan_<SNR>_dB
published_qut=           # folder with speech_command_test_QUT_<SNR>_dB
qut_making=ours          # published: draw the noise as the published script does
words=                   # some of the words (default: all that the corpus has)
partial=false            # true: all 35 words, but not as many clips as the official corpus
skip_bad_clips=false     # true: leave out clips that are missing or damaged (data/bad_clips.tsv), instead of stopping

stage=0
stop_stage=9
nj=2                     # jobs of an array
ngpu=0                   # for each training, on each node
nodes=1                  # for each training (Slurm)
cmd_backend=${cmd_backend:-} # where jobs run: local, slurm or sge (default: the word in conf/cmd.sh)
seed=1                   # of the synthetic corpora, the lists of noise and the noisy test sets
mini=false               # true: synthetic corpora in the same formats
check_space=true         # false: begin to write features, maps or audio even where the disk seems too small for them
seeds=                   # of the trainings (default: 1 2 3 4 5; mini: 1)
kind=paper               # recogniser: paper, or bc-resnet-1, -1.5, -2, -3, -6, -8
maps_of=paper            # own: maps by a generator of the chosen kind of recogniser, not by the paper's
snrs=                    # of the noisy test sets, in dB (default: -12.5 -10 0 10 20 30 40; mini: 0 20)
systems="continue-clean specaugment conventional null importantaug other-map" # trained on from the baseline;
                         # what neither these nor --binarised need is passed, maps for instance
sweep_snrs=              # of conventional noise, in dB, or none (default: -10 to 40 by 5; mini: 0 15)
sweep_seeds=             # (default: seeds; one training of each SNR tells little about which is best)
binarised=               # percent of points without noise, or none (default: 70 50 40 20 10 5 1; mini: 10)
binarised_seeds=         # (default: the first of seeds)
per="batch"              # utterance: each clip's mask is moved by itself, along both axes
published_checkpoint=    # the authors' checkpoint: its recogniser is scored as the system `published`, its masks on dev
examples=                # test utterances to draw (default: three of different words)
conf=                    # folder of settings (default: conf; mini: conf/mini)
training_config=         # settings of the recognisers' trainings (default: training.yaml there; small.yaml, for thousands of clips)
further_config=          # settings of trainings that go on from a baseline (default: the same; mini: further.yaml; small_further.yaml)
generator_config=        # settings of the generators' (default: generator.yaml there; generator_small.yaml)
train_jobs=              # trainings at a time (default: nj)
launcher=                # of trainings on several processes (default: launch.sh, if --ngpu or --nodes is above 1)
results=                 # folder of results.json and RESULTS.md (default: this one; mini: exp/mini)

help_message="usage: ./run.sh [--mini true] [--stage N] [--stop-stage N] [--nj N] [--ngpu N] [--seeds '1 2 3 4 5']
    [--speech-commands-archive FILE] [--noise musan|background|DIR] [--other-noise qut|DIR] [--skip-bad-clips true]
    [any variable at the top of this file]
--systems 'null importantaug' --sweep-snrs none --binarised none takes some of the systems; a stage that none of them
needs is passed
stages: 0 corpora, 1 data, 2 waveforms, 3 baselines, 4 mask generators and masks, 5 conventional noise by SNR,
        6 recognisers trained on, 7 predictions, 8 score, 9 report"

set -euo pipefail
command="./run.sh --egs gsc_v2${*:+$(printf ' %q' "$@")}"
. ./path.sh
. parse_options.sh
# The first run sets up .venv; later ones pass at once.
setup.sh
. "$SALIENCE_ROOT/conf/cmd.sh"
if [ "$mini" = true ]; then
    seeds=${seeds:-1} snrs=${snrs:-0 20} sweep_snrs=${sweep_snrs:-0 15} binarised=${binarised:-10}
else
    seeds=${seeds:-1 2 3 4 5} snrs=${snrs:--12.5 -10 0 10 20 30 40}
    sweep_snrs=${sweep_snrs:--10 -5 0 5 10 15 20 25 30 35 40} binarised=${binarised:-70 50 40 20 10 5 1}
fi
. stages.sh
. local/command_stages.sh

if begin 0 "corpora: commands and noise";                       then fetch_corpora; fi
if begin 1 "data directories: the official lists, noise, noisy test sets"; then prepare_data; fi
if begin 2 "waveforms of each set in one file";                 then pack_sets; fi
if begin 3 "baselines: recognisers of clean commands";          then train_baselines; fi
if begin 4 "mask generators, and the masks of all sets";        then train_generators; fi
if begin 5 "conventional noise: which SNR is best on dev";      then sweep_snr; fi
if begin 6 "recognisers trained on from the baselines";         then train_on; fi
if begin 7 "predictions";                                       then predict; fi
if begin 8 "error rates";                                       then score; fi
if begin 9 "report";                                            then report_results; fi
