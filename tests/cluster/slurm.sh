#!/usr/bin/env bash
# slurm.sh start|stop <folder>: a real Slurm on this machine alone, for tests.  Needs root and the Debian packages
# slurm-wlm and munge, but neither systemd nor cgroups.  Everything it writes is in the folder, ports included, so
# it meets no Slurm that the machine may have.  Afterwards `. <folder>/env` makes sbatch and the others use it.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: slurm.sh start|stop <folder>" >&2; exit 1; }
mkdir -p "$2"
folder=$(cd "$2" && pwd)
export SLURM_CONF=$folder/slurm.conf

wait_for() { # wait_for <seconds> <words>: until the command succeeds
    local tries=$(($1 * 10))
    until "${@:2}" > /dev/null 2>&1; do
        [ $((tries--)) -gt 0 ] || { echo "slurm.sh: gave up waiting for: ${*:2}; logs are in $folder" >&2; exit 1; }
        sleep 0.1
    done
}

configure() {
    local host ports memory node
    host=$(hostname -s)
    mapfile -t ports < <("${PYTHON:-python3}" "$(dirname "$0")/free_ports.py" 3)
    memory=$(awk '$1 == "MemTotal:" { print int($2 / 1024 * 0.9) }' /proc/meminfo)
    mkdir -p "$folder/state" "$folder/spool/node1" "$folder/spool/node2"
    (umask 077; head -c 1024 /dev/urandom > "$folder/munge.key")
    # Two device files that exist everywhere pass for GPUs.
    printf 'Name=gpu File=%s\n' /dev/null /dev/zero > "$folder/gres.conf"
    {
        printf '%s\n' ClusterName=test "SlurmctldHost=$host(127.0.0.1)" GresTypes=gpu
        for node in 1 2; do
            echo "NodeName=node$node NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[node]} CPUs=4 RealMemory=$memory Gres=gpu:2"
        done
        printf '%s\n' "PartitionName=everyone Nodes=node1,node2 Default=YES" "PartitionName=gpu Nodes=node1,node2"
        printf '%s\n' SlurmUser=root SlurmdUser=root AuthType=auth/munge CredType=cred/munge \
            "AuthInfo=socket=$folder/munge.socket,cred_expire=5" # a requeued job starts only when its old credential has expired
        printf '%s\n' "SlurmctldPort=${ports[0]}" CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
        # What a job's script leaves behind is killed, as where Slurm tracks by cgroups.
        printf '%s\n' ProctrackType=proctrack/pgid TaskPlugin=task/none MpiDefault=none JobAcctGatherType=jobacct_gather/none
        # Four processors whatever the machine has: arrays are then arrays.
        printf "%s\n" SelectType=select/cons_tres SelectTypeParameters=CR_CPU_Memory SlurmdParameters=config_overrides JobRequeue=1
        # Quick: a test has no time for a scheduler that thinks every half minute.
        printf '%s\n' SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0 KillWait=5 ReturnToService=2
        # A job that is over is forgotten soon, as at a busy site.
        printf '%s\n' MinJobAge=2 SlurmdTimeout=60
        printf '%s\n' "StateSaveLocation=$folder/state" "SlurmctldPidFile=$folder/slurmctld.pid" "SlurmctldLogFile=$folder/slurmctld.log"
        printf '%s\n' "SlurmdSpoolDir=$folder/spool/%n" "SlurmdPidFile=$folder/%n.pid" "SlurmdLogFile=$folder/%n.log"
    } > "$SLURM_CONF"
    echo "export SLURM_CONF=$SLURM_CONF" > "$folder/env"
}

is_idle() { [ "$(sinfo -h -p everyone -o '%t %D')" = "idle 2" ]; }

is_gone() { # also when nobody has collected it yet
    local state
    state=$(ps -o stat= -p "$1") || return 0
    [ "${state#Z}" != "$state" ]
}

start_nodes() {
    slurmd -N node1
    slurmd -N node2
}

start() {
    configure
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2>> "$folder/munged.err"
    slurmctld -c
    start_nodes
    wait_for 20 is_idle
}

stop() {
    local daemon pid
    # Jobs first: nothing of them may stay behind.
    [ ! -e "$folder/slurmctld.pid" ] || timeout 10 scancel --quiet --user=root || true
    for daemon in node1 node2 slurmctld munged; do
        pid=$(cat "$folder/$daemon.pid" 2> /dev/null) || continue
        kill "$pid" 2> /dev/null || continue
        wait_for 20 is_gone "$pid"
    done
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "slurm.sh: it takes start or stop, not $1" >&2; exit 1 ;;
esac
