#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A real NFS server on loopback: nfs-ganesha as an ordinary process with a configuration, ports, log and recovery
# directory of its own. Any number run side by side, beside a server the machine runs in earnest too; rpcbind, D-Bus
# and the directories in /var are not needed. Wants root, and the packages nfs-ganesha, nfs-ganesha-vfs and gcc.
#
#   ganesha.sh start STATE EXPORT [OPTIONS]   exports the directory EXPORT as /fkv; keeps its files in STATE
#   ganesha.sh restart STATE                  starts a stopped or killed one again, on the same ports
#   ganesha.sh reload STATE [OPTIONS]         changes the options of a running server (--ro, --squash, --export)
#   ganesha.sh stop STATE                     ends it, also a paused one, and waits
#   ganesha.sh show STATE                     prints what start printed
#
#   --ro, --rw          the export is read-only, or not (default)
#   --squash WHOM       none (default), root or all become nobody
#   --export DIR:NAME   one more export, as /NAME
#   --port N            for NFS; MOUNT gets N + 1 (default: free ones)
#   --lease SECONDS     of NFSv4 state (default 60)
#   --fresh             attributes are never cached: what is changed in EXPORT behind the server's back is seen at once
#
# start, restart and show print shell assignments:
#
#   eval "$(tests/lib/ganesha.sh start /tmp/nfs /srv/export)"
#   FKV_STORE=$ganesha_v4/store fkv init       # $ganesha_v3, $ganesha_v4: URLs; put a path before the "?" with
#   FKV_STORE=$(ganesha_url 4 store) fkv init  # ganesha_url VERSION [PATH]
#   kill -9 "$ganesha_pid"
#   tests/lib/ganesha.sh restart /tmp/nfs
#   tests/lib/ganesha.sh stop /tmp/nfs
#
# When start returns 0 the server has answered a call; when it fails, the end of the log is on stderr.
set -euo pipefail
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
deadline_s=${GANESHA_DEADLINE_S:-20}

fail() {
    echo "ganesha.sh: $*" >&2
    exit 1
}

usage() {
    echo "ganesha.sh: expected start, restart, reload, stop or show, and a directory; found: $*" >&2
    exit 2
}

# --- What a server was started with: STATE/options, sourced. ---

access=RW squash=none port=0 lease=60 fresh=
exports=()

save_options() {
    declare -p access squash port lease fresh exports | sed 's/^declare/declare -g/' >"$state/options.new"
    mv "$state/options.new" "$state/options"
}

load_options() {
    [ -f "$state/options" ] || fail "$state holds no server: start one"
    # shellcheck disable=SC1091
    . "$state/options"
}

parse_options() {
    local value
    while [ $# -gt 0 ]; do
        case $1 in
        --ro) access=RO ;;
        --rw) access=RW ;;
        --fresh) fresh=1 ;;
        --squash | --export | --port | --lease)
            value=${2:?"$1 takes a value"}
            case $1 in
            --squash) squash=$value ;;
            --export) exports+=("$value") ;;
            --port) port=$value ;;
            --lease) lease=$value ;;
            esac
            shift
            ;;
        *) usage "$1" ;;
        esac
        shift
    done
}

# --- Configuration ---

write_export() { # NUMBER DIRECTORY NAME
    local whom
    case $squash in
    none) whom=No_Root_Squash ;;
    root) whom=Root_Squash ;;
    all) whom=All_Squash ;;
    *) fail "--squash: expected none, root or all, found $squash" ;;
    esac
    echo "EXPORT {"
    echo "    Export_Id = $1; Path = \"$2\"; Pseudo = \"/$3\";"
    echo "    Access_Type = $access; Squash = $whom; SecType = sys; Protocols = 3, 4; Transports = TCP;"
    [ -z "$fresh" ] || echo "    Attr_Expiration_Time = 0;"
    echo "    FSAL { Name = VFS; }"
    echo "}"
}

write_config() {
    local n=0 entry
    {
        echo "NFS_CORE_PARAM {"
        echo "    NFS_Port = $port; MNT_Port = $((port + 1)); Bind_addr = 127.0.0.1; Protocols = 3, 4;"
        echo "    Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;"
        echo "    mount_path_pseudo = true;" # v3 and v4 have the same paths
        echo "    Plugins_Dir = \"$plugins\"; Dbus_Name_Prefix = fkv$port;"
        echo "}"
        echo "NFS_KRB5 { Active_krb5 = false; CCacheDir = \"$state/recovery\"; }"
        echo "NFSv4 {"
        echo "    Graceless = true; Lease_Lifetime = $lease; RecoveryBackend = fs; RecoveryRoot = \"$state/recovery\";"
        echo "    Only_Numeric_Owners = true; UseGetpwnam = true;"
        echo "}"
        for entry in "${exports[@]}"; do
            write_export $((n += 1)) "${entry%:*}" "${entry##*:}"
        done
    } >"$state/ganesha.conf.new"
    mv "$state/ganesha.conf.new" "$state/ganesha.conf"
}

# --- Processes and ports ---

# A zombie that nobody has collected yet is gone too.
alive() { # PID
    local text
    { read -r text <"/proc/$1/stat"; } 2>/dev/null || return 1
    text=${text##*) }
    [ "${text%% *}" != Z ]
}

is_ganesha() { # PID
    local name
    { read -r name <"/proc/$1/comm"; } 2>/dev/null && [[ $name == ganesha* ]]
}

running_pid() {
    local pid
    { read -r pid <"$state/pid"; } 2>/dev/null && alive "$pid" && is_ganesha "$pid" && echo "$pid"
}

port_is_used() { # PORT
    local hex
    printf -v hex ':%04X' "$1"
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p="$hex" '$2 ~ p "$" { n++ } END { exit !n }'
}

choose_port() {
    local try
    for ((try = 0; try < 200; try++)); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 5000 * 2)) # below those the kernel gives to clients
        port_is_used $port || port_is_used $((port + 1)) || return 0
    done
    fail "no free port between 20000 and 30000"
}

# One NULL call of a program's version: the record mark, xid, CALL, RPC 2, program, version, procedure 0, no credentials.
answers_null() { # PORT PROGRAM VERSION
    local call zero='\x00\x00\x00\x00' program
    printf -v program '\\x00\\x%02x\\x%02x\\x%02x' $(($2 >> 16 & 255)) $(($2 >> 8 & 255)) $(($2 & 255))
    call="\\x80\\x00\\x00\\x28\\x66\\x6b\\x76\\x31$zero\\x00\\x00\\x00\\x02$program\\x00\\x00\\x00\\x0$3$zero$zero$zero$zero$zero"
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        # shellcheck disable=SC2059
        printf "$call" >&3
        [ "$(timeout 2 head -c 28 <&3 | wc -c)" = 28 ]
    ) 2>/dev/null
}

# 0: answers; 1: the process ended; 2: too slow.
wait_ready() { # PID
    local end=$((SECONDS + deadline_s))
    while [ $SECONDS -lt $end ]; do
        alive "$1" || return 1
        if answers_null "$port" 100003 3 && answers_null "$port" 100003 4 && answers_null $((port + 1)) 100005 3; then
            alive "$1" && return 0
        fi
        sleep 0.02
    done
    return 2
}

launch() { # one try on $port
    local pid status=0
    write_config
    LD_PRELOAD=$state/no_rpcbind.so setsid "$program" -F -f "$state/ganesha.conf" -L "$state/ganesha.log" \
        -p "$state/ganesha.pid" -N NIV_EVENT </dev/null >>"$state/ganesha.out" 2>&1 &
    pid=$!
    echo "$pid" >"$state/pid"
    wait_ready "$pid" || status=$?
    disown "$pid" 2>/dev/null || true
    if [ $status = 2 ]; then
        kill -KILL "$pid" 2>/dev/null || true
    fi
    return $status
}

launch_or_fail() { # TRIES
    local try
    for ((try = 0; try < $1; try++)); do
        [ "$1" = 1 ] || choose_port
        if launch; then
            save_options
            show
            return 0
        fi
    done
    tail -n 30 "$state/ganesha.log" "$state/ganesha.out" >&2 || true
    fail "ganesha did not start within ${deadline_s} s"
}

# --- Commands ---

show() {
    local pid
    pid=$(running_pid || true)
    echo "ganesha_pid=$pid"
    echo "ganesha_port=$port"
    echo "ganesha_mount_port=$((port + 1))"
    echo "ganesha_log='$state/ganesha.log'"
    echo "ganesha_url() { case \$1 in" \
        "3) echo \"nfs://127.0.0.1/fkv\${2:+/\$2}?nfsport=$port&mountport=$((port + 1))&version=3\" ;;" \
        "4) echo \"nfs://127.0.0.1/fkv\${2:+/\$2}?nfsport=$port&version=4\" ;; esac; }"
    echo "ganesha_v3=\$(ganesha_url 3)"
    echo "ganesha_v4=\$(ganesha_url 4)"
}

start() { # EXPORT OPTIONS...
    local export=${1:?start takes a directory to export} candidate
    shift
    [ -d "$export" ] || fail "$export is not a directory"
    export=$(cd "$export" && pwd -P)
    ! running_pid >/dev/null || fail "one runs in $state already: stop it"
    exports=("$export:fkv")
    parse_options "$@"
    mkdir -p "$state/recovery"
    : >"$state/ganesha.log"
    : >"$state/ganesha.out"
    cc -shared -fPIC -O1 -o "$state/no_rpcbind.so" "$lib/no_rpcbind.c"
    if [ "$port" = 0 ]; then launch_or_fail 5; else launch_or_fail 1; fi
}

stop() {
    local pid end
    pid=$(running_pid) || return 0
    kill -TERM "$pid"
    kill -CONT "$pid" 2>/dev/null || true
    end=$((SECONDS + 10))
    while alive "$pid"; do
        [ $SECONDS -lt $end ] || kill -KILL "$pid" 2>/dev/null || true
        sleep 0.01
    done
}

reload() { # OPTIONS...
    local pid before end
    pid=$(running_pid) || fail "none runs in $state"
    parse_options "$@"
    write_config
    save_options
    before=$(wc -l <"$state/ganesha.log")
    kill -HUP "$pid"
    end=$((SECONDS + deadline_s))
    until tail -n +$((before + 1)) "$state/ganesha.log" | grep -c 'Reread exports complete' >/dev/null; do
        [ $SECONDS -lt $end ] || fail "the server did not read its exports again"
        sleep 0.02
    done
}

[ $# -ge 2 ] || usage "$*"
command=$1
mkdir -p "$2"
state=$(cd "$2" && pwd -P)
shift 2
case $command in
start | restart)
    program=$(PATH=$PATH:/usr/sbin:/usr/bin command -v ganesha.nfsd) || fail "ganesha.nfsd is not installed"
    ;;
esac
plugins=
for candidate in /usr/lib/*/ganesha /usr/lib/ganesha /usr/lib64/ganesha; do
    if [ -e "$candidate/libfsalvfs.so" ]; then plugins=$candidate; fi
done
case $command in
start) start "$@" ;;
restart)
    load_options
    stop
    launch_or_fail 1
    ;;
reload)
    load_options
    reload "$@"
    ;;
stop) stop ;;
show)
    load_options
    show
    ;;
*) usage "$command" ;;
esac
