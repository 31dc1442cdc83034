#!/usr/bin/env bash
# grid_engine.sh start|stop <folder>: a real Grid Engine on this machine alone, for tests.  Needs root and the Debian
# packages gridengine-master, gridengine-exec and gridengine-client, but no systemd.  Everything it writes is in the
# folder, so it meets no Grid Engine that the machine may have.  Afterwards `. <folder>/env` makes qsub and the
# others use it.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: grid_engine.sh start|stop <folder>" >&2; exit 1; }
mkdir -p "$2"
folder=$(cd "$2" && pwd)
host=$(hostname -s)
debian=/var/lib/gridengine # the package's folder of programs, which the daemons look for below SGE_ROOT

wait_for() { # wait_for <seconds> <words>: until the command succeeds
    local tries=$(($1 * 10))
    until "${@:2}" > /dev/null 2>&1; do
        [ $((tries--)) -gt 0 ] || { echo "grid_engine.sh: gave up waiting for: ${*:2}; logs are in $folder" >&2; exit 1; }
        sleep 0.1
    done
}

configure() {
    local ports name common=$folder/default/common
    mapfile -t ports < <("${PYTHON:-python3}" "$(dirname "$0")/free_ports.py" 2)
    printf 'export %s\n' "SGE_ROOT=$folder" SGE_CELL=default "SGE_QMASTER_PORT=${ports[0]}" "SGE_EXECD_PORT=${ports[1]}" > "$folder/env"
    # shellcheck source=/dev/null
    . "$folder/env"
    mkdir -p "$common" "$folder"/spool/{execd,qmaster/job_scripts} "$folder/database"
    for name in bin lib util utilbin; do ln -sfn "$debian/$name" "$folder/$name"; done
    sed "s#/var/spool/gridengine/spooldb#$folder/database#; s#/var/spool/gridengine/qmaster#$folder/spool/qmaster#" \
        /usr/share/gridengine/default-bootstrap > "$common/bootstrap"
    echo "$host" > "$common/act_qmaster"
    # Where the host's name means 127.0.0.1, that is `localhost` the other way round, and to Grid Engine another host.
    echo "$host localhost" > "$common/host_aliases"
    chmod a+rx "$folder"
    # The master gives up root for this user, who must be able to come here.
    chown -R sgeadmin:sgeadmin "$folder/default" "$folder/spool" "$folder/database"
    su -s /bin/sh sgeadmin -c "/usr/share/gridengine/scripts/init_cluster '$folder' default '$folder/database' sgeadmin" > "$folder/init.log"
}

change() { # change <show> <modify> <sed script>: edit what qconf shows
    qconf "$1" | sed -e "$3" > "$folder/change"
    qconf "$2" "$folder/change" > /dev/null
}

set_up() {
    local megabytes
    megabytes=$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)
    # Root may run jobs, and accounting is written at once.
    qconf -sconf global | sed -e "s#/var/spool/gridengine/execd#$folder/spool/execd#" -e 's/^min_\([ug]id\).*/min_\1 0/' \
        -e 's/flush_time=00:00:15/flush_time=00:00:01/' > "$folder/global"
    qconf -Mconf "$folder/global" > /dev/null 2>&1
    # Quick: a test has no time for a scheduler that thinks every quarter of a minute.
    change -ssconf -Msconf 's/^schedule_interval.*/schedule_interval 0:0:1/; s/^flush_\(submit\|finish\)_sec.*/flush_\1_sec 1/'
    # What sites add, and queue.conf asks for: ram_free and gpu are used up, mem_free comes with Grid Engine.
    # shellcheck disable=SC2016  # the dollar is sed's
    change -sc -Mc '$a ram_free ram_free MEMORY <= YES JOB 0 0\ngpu gpu INT <= YES YES 0 0'
    printf '%s\n' "pe_name smp" "slots 99" "user_lists NONE" "xuser_lists NONE" "start_proc_args NONE" "stop_proc_args NONE" \
        "allocation_rule \$pe_slots" "control_slaves FALSE" "job_is_first_task TRUE" "urgency_slots min" \
        "accounting_summary FALSE" "qsort_args NONE" > "$folder/pe"
    qconf -Ap "$folder/pe" > /dev/null
    qconf -ah "$host" > /dev/null 2>&1 || true
    qconf -as "$host" > /dev/null 2>&1 || true
    /usr/sbin/sge_execd
    wait_for 20 qconf -se "$host"
    # Four slots whatever the machine has: arrays are then arrays.
    qconf -sq | sed -e "s/^qname.*/qname all.q/; s/^hostlist.*/hostlist $host/; s/^slots.*/slots 4/; s/^pe_list.*/pe_list smp/" \
        -e 's#^shell .*#shell /bin/bash#; s/^shell_start_mode.*/shell_start_mode unix_behavior/; s/^load_thresholds.*/load_thresholds NONE/' > "$folder/queue"
    qconf -Aq "$folder/queue" > /dev/null
    qconf -aattr exechost complex_values "ram_free=${megabytes}M,gpu=2" "$host" > /dev/null
}

is_ready() { # the queue is there and in no bad state
    qstat -f | awk '/all.q@/ { good = $4 != "-NA-" && NF == 5 } END { exit !good }'
}

is_gone() { # also when nobody has collected it yet
    local state
    state=$(ps -o stat= -p "$1") || return 0
    [ "${state#Z}" != "$state" ]
}

start() {
    configure
    /usr/sbin/sge_qmaster
    wait_for 20 qconf -sh
    set_up
    wait_for 30 is_ready
}

stop() {
    local pid file
    [ -e "$folder/env" ] || return 0
    # shellcheck source=/dev/null
    . "$folder/env"
    # Jobs first: nothing of them may stay behind.
    timeout 10 qdel -f -u '*' > /dev/null 2>&1 || true
    for file in "$folder"/spool/execd/*/execd.pid "$folder/spool/qmaster/qmaster.pid"; do
        pid=$(cat "$file" 2> /dev/null) || continue
        kill "$pid" 2> /dev/null || continue
        wait_for 20 is_gone "$pid"
    done
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "grid_engine.sh: it takes start or stop, not $1" >&2; exit 1 ;;
esac
