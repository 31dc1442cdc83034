# shellcheck shell=bash
# shellcheck disable=SC2034  # the recipe that sources this and stages.sh read them
# Options that every recipe has.  A recipe sources this first, sets its own options and then sources parse_options.sh.

stage=0                  # first stage
stop_stage=9             # last stage
nj=2                     # number of parallel jobs
train_jobs=              # number of parallel trainings (default: nj)
ngpu=0                   # GPUs for each training, on each node
nodes=1                  # machines for each training (Slurm)
cmd_backend=${cmd_backend:-} # where jobs run: local, slurm or sge (default: the word in conf/cmd.sh)
launcher=                # starts a training on several processes (default: launch.sh, if --ngpu or --nodes is above 1)
seed=1                   # random seed, unless the recipe has --seeds too
mini=false               # true: a small synthetic corpus in the same format
skip_bad_clips=false     # true: leave out clips that are missing or damaged (data/bad_clips.tsv), instead of stopping
check_space=true         # false: skip the free-space check before features, maps or audio are written
conf=                    # folder of settings (default: conf; mini: conf/mini)
plugins=                 # Python files that add saliency methods, policies or recognisers, separated by spaces
label=                   # tells this run in the results from others of the same corpus, which then stay beside it
results=                 # folder of results.json and RESULTS.md (default: this one; mini: exp/mini)

shared_options=("$SALIENCE_ROOT/local/options.sh") # files with options, beside the recipe's own
renamed=
renamed_options() { # renamed_options "<old>=<new> ...": options of earlier versions, which stages.sh refuses with their new names
    local pair
    renamed=$1
    for pair in $1; do printf -v "${pair%%=*}" %s ""; done
}
