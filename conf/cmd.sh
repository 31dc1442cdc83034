# shellcheck shell=bash
# shellcheck disable=SC2034  # the scripts that source this use the variables
# Where jobs run: local (this machine), slurm or sge (Grid Engine).  Change the
# one word here, or set it for one run: cmd_backend=slurm ./run.sh
cmd_backend=${cmd_backend:-local}

# CPUs for a training that runs in a job of its own; on this machine it gets all of them.
train_threads=8

# The resources behind the options stand in queue.conf and slurm.conf.  The
# recipe's own conf/ comes before the one that all recipes share.
cmd_config() { if [ -f "conf/$1" ]; then echo "conf/$1"; else echo "../../conf/$1"; fi; }

case $cmd_backend in
    local) cmd="run.pl" train_threads=$(nproc) ;;
    slurm) cmd="slurm.pl --config $(cmd_config slurm.conf)" ;;
    sge)   cmd="queue.pl --config $(cmd_config queue.conf)" ;;
    *)
        echo "conf/cmd.sh: cmd_backend is '$cmd_backend'; it takes local, slurm or sge" >&2
        exit 1
        ;;
esac

train_cmd="$cmd --mem 8G"    # data preparation and features
decode_cmd="$cmd --mem 8G"   # decoding and scoring
cuda_cmd="$cmd --mem 16G"    # whatever a GPU speeds up; a stage adds --gpu "$ngpu"
