#!/usr/bin/env bash
# launch.sh <processes> <command> [args...]: run a training in this many processes on each node of this job, brought
# together by torchrun.  A job of Slurm's with several nodes tells where they are; without one, there is this machine.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: launch.sh <processes> <command> [args...]" >&2; exit 1; }
[[ $1 =~ ^[1-9][0-9]*$ ]] || { echo "launch.sh: the number of processes is a number above 0, not '$1'" >&2; exit 1; }
processes=$1 nodes=${SLURM_JOB_NUM_NODES:-1}
shift
# torchrun leaves its workers behind when it is killed.
worker=$(dirname "${BASH_SOURCE[0]}")/../utils/die_with_parent.py
if [ "$nodes" -eq 1 ]; then
    [ "$processes" -gt 1 ] || exec "$@"
    exec torchrun --standalone --nproc-per-node "$processes" --no-python "$worker" "$@"
fi
# A job's script runs on its first node, so that is where the others find it; jobs side by side have other ports.
master=$(hostname) port=$((20000 + SLURM_JOB_ID % 20000))
# shellcheck disable=SC2016  # srun's shell on each node knows which one it is
exec srun --nodes="$nodes" --ntasks-per-node=1 --ntasks="$nodes" --kill-on-bad-exit=1 ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} \
    bash -c 'exec torchrun --node-rank "$SLURM_NODEID" "$@"' launch.sh \
    --nnodes "$nodes" --nproc-per-node "$processes" --master-addr "$master" --master-port "$port" --no-python "$worker" "$@"
