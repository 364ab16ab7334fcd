#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A real Slurm on one machine: munged, slurmctld and several slurmd, on loopback, with key, sockets, ports, state, spool
# and logs of their own below a directory. Any number run side by side, beside a Slurm the machine has in earnest too;
# nothing in /etc, /var or /run is used. Wants root, python3 and the packages slurmctld, slurmd, slurm-client and munge.
#
#   slurm.sh start DIR [N_NODES] [OPTIONS]   starts the nodes n1 … (default 2) and their controller; prints env
#   slurm.sh stop DIR                        ends everything, running jobs too, and waits
#   slurm.sh env DIR                         prints "export SLURM_CONF=… PATH=…", for eval: then sbatch, squeue, … talk to it
#   slurm.sh kill-node DIR NAME              SIGKILLs slurmd and all that runs below it, as when a machine loses power
#   slurm.sh start-node DIR NAME             starts it again
#   slurm.sh node-pids DIR NAME              pids of slurmd, its helpers and all processes of jobs there
#   slurm.sh stop-ctld DIR [--kill]          ends slurmctld with SIGTERM (it saves its state) or SIGKILL
#   slurm.sh start-ctld DIR                  starts it again with the state it saved
#   slurm.sh restart-ctld DIR [--kill]       both
#
# Jobs find the name localhost for their host, and SLURMD_NODENAME for their node.
#
#   --cpus N       of a node (default 2), whatever the machine has
#   --memory MB    of a node (default 4096); a job that does not say its memory gets an equal share for each of its CPUs
#   --pin          node i and all of its jobs run on CPU i - 1 of the machine only (counted round when there are fewer)
#   --max-array N  elements of a job array at most (default 20001; 1001 on a cluster as it comes)
#   --timeout S    without an answer for so long a node is down (default 5; that is noticed 10 to 15 s after its death)
#
# Partitions: main (the default), and staff, which only root may use. A job that lost its node waits 6 s before it runs again
# (as long as a credential lives and one more: 121 s on a cluster as it comes). DIR must be short: a socket's path has
# at most 107 bytes.
# When start returns 0 all nodes are idle; when it fails, the ends of the logs are on stderr.
set -euo pipefail
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
deadline_s=${SLURM_DEADLINE_S:-60}
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "slurm.sh: $*" >&2
    exit 1
}

usage() {
    echo "slurm.sh: expected a command (see the top of $lib/slurm.sh) and a directory; found: $*" >&2
    exit 2
}

# --- What a cluster was started with: DIR/options, sourced. ---

n_nodes=2 cpus=2 memory=4096 pin='' max_array=20001 timeout=5 port=0

save_options() {
    declare -p n_nodes cpus memory pin max_array timeout port | sed 's/^declare/declare -g/' >"$dir/options.new"
    mv "$dir/options.new" "$dir/options"
}

load_options() {
    [ -f "$dir/options" ] || fail "$dir holds no cluster: start one"
    # shellcheck disable=SC1091
    . "$dir/options"
    export SLURM_CONF=$dir/slurm.conf
}

parse_options() {
    if [[ ${1:-} =~ ^[0-9]+$ ]]; then
        n_nodes=$1
        shift
    fi
    while [ $# -gt 0 ]; do
        case $1 in
        --pin) pin=1 ;;
        --cpus | --memory | --timeout)
            declare -g "${1#--}=${2:?"$1 takes a number"}"
            shift
            ;;
        --max-array)
            max_array=${2:?"$1 takes a number"}
            shift
            ;;
        *) usage "$1" ;;
        esac
        shift
    done
}

# --- Configuration ---

write_config() {
    local i
    {
        echo "ClusterName=fkv$port"
        echo "SlurmctldHost=localhost(127.0.0.1)"
        echo "SlurmctldPort=$port"
        echo "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny"
        echo "SlurmUser=root"
        echo "SlurmdUser=root"
        echo "AuthType=auth/munge"
        echo "AuthInfo=socket=$dir/munge/socket,cred_expire=5" # 5 is the least it takes
        echo "StateSaveLocation=$dir/state"
        echo "SlurmctldPidFile=$dir/run/ctld.own"
        echo "SlurmctldLogFile=$dir/log/slurmctld.log"
        echo "SlurmdSpoolDir=$dir/spool/%n"
        echo "SlurmdPidFile=$dir/run/%n.own"
        echo "SlurmdLogFile=$dir/log/%n.log"
        echo "SlurmdParameters=config_overrides"
        echo "PlugStackConfig=$dir/plugstack.conf"
        echo "MailProg=/bin/true"
        echo "ProctrackType=proctrack/linuxproc"
        echo "TaskPlugin=task/none"
        echo "MpiDefault=none"
        echo "JobAcctGatherType=jobacct_gather/none"
        echo "AccountingStorageType=accounting_storage/none"
        echo "SelectType=select/cons_tres"
        echo "SelectTypeParameters=CR_CPU_Memory"
        echo "SchedulerType=sched/backfill"
        echo "SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,kill_invalid_depend"
        echo "MaxArraySize=$max_array"
        echo "MaxJobCount=50000"
        echo "JobRequeue=1"
        echo "ReturnToService=2"
        echo "SlurmdTimeout=$timeout"
        echo "SlurmctldTimeout=10"
        echo "MessageTimeout=4"
        echo "KillWait=2"
        echo "CompleteWait=0"
        echo "MinJobAge=600"
        for ((i = 1; i <= n_nodes; i++)); do
            echo "NodeName=n$i NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=$cpus RealMemory=$memory"
        done
        echo "PartitionName=DEFAULT Nodes=ALL State=UP MaxTime=INFINITE DefMemPerCPU=$((memory / cpus))"
        echo "PartitionName=main Default=YES"
        echo "PartitionName=staff AllowGroups=root"
    } >"$dir/slurm.conf.new"
    mv "$dir/slurm.conf.new" "$dir/slurm.conf"
    : >"$dir/plugstack.conf"
}

# munged wants each directory on the way to its files to be root's or its own.
make_directories() {
    mkdir -p "$dir"/{munge,run,log,state,spool}
    chmod 755 "$dir" "$dir"/{munge,run,log,spool}
    chmod 700 "$dir/state"
    if [ ! -f "$dir/munge/key" ]; then
        (umask 077 && head -c 1024 /dev/urandom >"$dir/munge/key")
    fi
    chown -R munge:munge "$dir/munge"
}

# --- Processes and ports ---

# A zombie that nobody has collected yet is gone too.
alive() { # PID
    local text
    { read -r text <"/proc/$1/stat"; } 2>/dev/null || return 1
    text=${text##*) }
    [ "${text%% *}" != Z ]
}

# The pid of a process of this cluster: its command names the directory, which tells it from a later owner of the pid.
pid_of() { # NAME
    local pid
    { read -r pid <"$dir/run/$1.pid"; } 2>/dev/null && alive "$pid" &&
        tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -c -F "$dir/" >/dev/null && echo "$pid"
}

descendants() { # PID: itself and all below it that live
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v top="$1" '
        { pid = $1; sub(/^.*\) /, ""); if ($1 != "Z") parent[pid] = $2 }
        function is_below(pid) { while (pid in parent && pid != top) pid = parent[pid]; return pid == top }
        END { for (pid in parent) if (is_below(pid)) print pid }'
}

port_is_used() { # PORT
    local hex
    printf -v hex ':%04X' "$1"
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p="$hex" '$2 ~ p "$" { n++ } END { exit !n }'
}

choose_ports() { # the controller's, and one for each node
    local try i
    for ((try = 0; try < 200; try++)); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % (10000 - n_nodes))) # below those the kernel gives to clients
        for ((i = 0; i <= n_nodes; i++)); do
            ! port_is_used $((port + i)) || continue 2
        done
        return 0
    done
    fail "no $((n_nodes + 1)) free ports in a row between 20000 and 30000"
}

# NAME COMMAND...: in the background, with its pid in run/NAME.pid. Daemons listen where their host's name leads to: they and
# their jobs see localhost, which is the loopback interface whatever the machine is called and whether that resolves or not.
launch() {
    local name=$1 i
    shift
    # shellcheck disable=SC2016
    setsid unshare --uts sh -c 'hostname localhost && exec "$@"' launch "$@" </dev/null >>"$dir/log/$name.out" 2>&1 &
    echo $! >"$dir/run/$name.pid"
    disown $!
    # Until it has become the command, pid_of does not know it.
    for ((i = 0; i < 500; i++)); do
        if pid_of "$name" >/dev/null || ! alive $!; then return 0; fi
        sleep 0.02
    done
}

launch_munged() {
    rm -f "$dir/munge/socket" "$dir/munge/socket.lock"
    launch munged setpriv --reuid=munge --regid=munge --clear-groups munged -F --key-file="$dir/munge/key" \
        --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" \
        --num-threads=2
}

launch_ctld() { launch slurmctld slurmctld -D -f "$dir/slurm.conf"; }

launch_node() { # NAME
    local pinned=()
    if [ -n "$pin" ]; then pinned=(taskset -c $(((${1#n} - 1) % $(nproc --all)))); fi
    mkdir -p "$dir/spool/$1"
    launch "$1" "${pinned[@]}" /usr/bin/python3 "$lib/slurm_node.py" slurmd -D -f "$dir/slurm.conf" -N "$1"
}

nodes() {
    local i
    for ((i = 1; i <= n_nodes; i++)); do echo "n$i"; done
}

is_node() { # NAME
    [[ $1 =~ ^n[1-9][0-9]*$ ]] && [ "${1#n}" -le "$n_nodes" ] || fail "expected a node n1 to n$n_nodes, found ${1:-nothing}"
}

# wait_for SECONDS PROCESSES COMMAND...: 0: the command succeeded; 1: one of the processes ended; 2: too slow.
wait_for() {
    local end=$((SECONDS + $1)) names=$2 name pid
    shift 2
    while [ $SECONDS -lt $end ]; do
        if "$@" >/dev/null 2>&1; then return 0; fi
        for name in $names; do
            # Its command is nothing for a moment while it becomes another program: only the pid is looked at.
            { read -r pid <"$dir/run/$name.pid" && alive "$pid"; } 2>/dev/null || return 1
        done
        sleep 0.05
    done
    return 2
}

nodes_are_up() { # NAME...
    local states
    states=$(timeout 5 sinfo -h -p main -N -o %T -n "$(IFS=, && echo "$*")") || return 1
    [ "$(grep -c -x 'idle\|mixed\|allocated\|completing' <<<"$states")" = $# ]
}

ctld_answers() { timeout 5 sinfo -h; }

show_logs() {
    tail -n 15 "$dir"/log/*.out "$dir"/log/*.log "$dir/munge/log" >&2 || true
}

# end SIGNAL NAME: waits; a process that does not heed it is killed.
end() {
    local pid deadline=$((SECONDS + 10))
    pid=$(pid_of "$2") || return 0
    kill "-$1" "$pid" 2>/dev/null || true
    while alive "$pid"; do
        [ $SECONDS -lt $deadline ] || kill -KILL "$pid" 2>/dev/null || true
        sleep 0.01
    done
}

# --- Commands ---

show_env() {
    printf 'export SLURM_CONF=%q PATH=%q\n' "$dir/slurm.conf" "$PATH"
}

try_start() {
    write_config
    export SLURM_CONF=$dir/slurm.conf
    rm -rf "$dir"/state/* "$dir"/spool/*
    launch_ctld
    for name in $(nodes); do launch_node "$name"; done
    # shellcheck disable=SC2046
    wait_for "$deadline_s" "munged slurmctld $(echo $(nodes))" nodes_are_up $(nodes)
}

start() {
    local try name
    [ ! -f "$dir/options" ] || { load_options && ! pid_of slurmctld >/dev/null; } || fail "one runs in $dir already: stop it"
    n_nodes=2 cpus=2 memory=4096 pin='' max_array=20001 timeout=5
    parse_options "$@"
    [ ${#dir} -le 80 ] || fail "expected a directory of at most 80 bytes, for the sockets below it; found $dir"
    for name in munged slurmctld slurmd sbatch; do
        command -v "$name" >/dev/null || fail "$name is not installed: tests/lib/packages.sh slurm"
    done
    make_directories
    save_options # from here on stop knows what there may be to end
    end TERM munged
    launch_munged
    if ! wait_for "$deadline_s" munged munge -n -S "$dir/munge/socket"; then
        show_logs
        fail "munged ended, or did not answer within $deadline_s s"
    fi
    for ((try = 0; try < 3; try++)); do # another may take a port between the choice and the start
        choose_ports
        save_options
        if try_start; then
            show_env
            return 0
        fi
        end_all_but_munged
    done
    show_logs
    end TERM munged
    fail "no cluster of $n_nodes nodes within $deadline_s s"
}

kill_node() { # NAME
    local top pids deadline=$((SECONDS + 10))
    top=$(pid_of "$1") || return 0
    # The top one last: what is made or orphaned meanwhile is still below it.
    while pids=$(descendants "$top" | grep -v -x "$top"); do
        # shellcheck disable=SC2086
        kill -KILL $pids 2>/dev/null || true
        [ $SECONDS -lt $deadline ] || fail "processes of $1 do not end: $pids"
        sleep 0.01
    done
    end KILL "$1"
}

start_node() { # NAME
    ! pid_of "$1" >/dev/null || fail "$1 runs already"
    launch_node "$1"
    wait_for "$deadline_s" "$1" nodes_are_up "$1" || { show_logs; fail "$1 did not come up within $deadline_s s"; }
}

stop_ctld() { # [--kill]
    if [ "${1:-}" = --kill ]; then end KILL slurmctld; else end TERM slurmctld; fi
}

start_ctld() {
    ! pid_of slurmctld >/dev/null || fail "slurmctld runs already"
    launch_ctld
    wait_for "$deadline_s" slurmctld ctld_answers || { show_logs; fail "slurmctld did not start within $deadline_s s"; }
}

end_all_but_munged() {
    local name
    end KILL slurmctld # nothing of its state is wanted any more
    for name in $(nodes); do kill_node "$name"; done
}

stop() {
    end_all_but_munged
    end TERM munged
}

[ $# -ge 2 ] || usage "$*"
command=$1
[ "$command" != start ] || mkdir -p "$2"
[ -d "$2" ] || fail "$2 is not a directory"
dir=$(cd "$2" && pwd -P)
shift 2
if [ "$command" != start ]; then load_options; fi
case $command in
kill-node | start-node | node-pids) is_node "${1:-}" ;;
esac
case $command in
start) start "$@" ;;
stop) stop ;;
env) show_env ;;
kill-node) kill_node "$1" ;;
start-node) start_node "$1" ;;
node-pids) ! top=$(pid_of "$1") || descendants "$top" | grep -v -x "$top" ;;
stop-ctld) stop_ctld "$@" ;;
start-ctld) start_ctld ;;
restart-ctld)
    stop_ctld "$@"
    start_ctld
    ;;
*) usage "$command" ;;
esac
