#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The whole life of a feature table, on real data, in under three minutes:
#
#   sudo examples/quickstart.sh            the store is a directory
#   sudo examples/quickstart.sh --nfs      the store is on an NFS server (--nfs=3: NFSv3), which is stopped in between
#
# Made for a fresh Debian 12 machine. It installs the packages it needs, builds fkv into build/, and plays with the
# vectors of 5,000 English words in a temporary directory, which it removes at the end, mount and daemon included.
# The NFS server is a nfs-ganesha of its own on loopback, which ends with it.
#
#   FKV_DEMO_DIR=/some/dir     use this directory and keep it
#   FKV_NO_INSTALL=1           install nothing
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
nfs=
for option; do
    case $option in
    --nfs | --nfs=4) nfs=4 ;;
    --nfs=3) nfs=3 ;;
    *)
        echo "quickstart.sh: expected --nfs, --nfs=3 or nothing, found $option" >&2
        exit 2
        ;;
    esac
done

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
heading() {
    local rule='────────────────────────────────────────────────────────────────────────────────'
    printf '\n%s── %s %s%s\n' "$bold" "$1" "${rule:$((${#1} + 4))}" "$plain"
}
say() { printf '%s\n' "$@"; }
# Shows a command as one would type it, then runs it.
show() {
    local word line=''
    for word; do
        case $word in '&') ;; *[!A-Za-z0-9_./:=-]*) word="'$word'" ;; esac
        line+=" $word"
    done
    printf '\n%s$%s%s\n' "$bold" "$line" "$plain"
}
run() {
    show "$@"
    "$@"
}

# Until the daemon has read a record of the log; a node that was cut off looks again after a moment.
wait_for_record() {
    local end=$((SECONDS + 20))
    until grep -qx "fkv_manifest_seq $1" "$mnt/.fkvd/metrics" || [ $SECONDS -ge $end ]; do sleep 0.05; done
}

[ "$(id -u)" = 0 ] || { say "quickstart.sh mounts a file system and wants to be root" >&2; exit 1; }
[ -e /dev/fuse ] || { say "quickstart.sh needs /dev/fuse (modprobe fuse)" >&2; exit 1; }

demo=${FKV_DEMO_DIR:-$(mktemp -d /tmp/fkv-demo.XXXXXX)}
mkdir -p "$demo"
demo=$(cd "$demo" && pwd)
mnt=$demo/fkv
reader=
server() { "$top/tests/lib/ganesha.sh" "$1" "$demo/nfs" "${@:2}"; }

cleanup() {
    status=$?
    trap - EXIT INT TERM
    [ -z "$reader" ] || kill "$reader" 2>/dev/null || true
    cd /
    if mountpoint -q "$mnt"; then
        umount "$mnt" 2>/dev/null || umount -l "$mnt" || true
    fi
    if [ -n "$nfs" ] && [ -d "$demo/nfs" ]; then server stop || true; fi
    if [ -z "${FKV_DEMO_DIR:-}" ]; then rm -rf "$demo"; fi
    [ $status = 0 ] || say "" "quickstart.sh failed (exit status $status)" >&2
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ------------------------------------------------------------------------------------------------
heading "Building fkv"
started=$SECONDS
if [ -z "${FKV_NO_INSTALL:-}" ]; then
    tests/lib/packages.sh build ${nfs:+nfs}
    command -v python3 >/dev/null || apt-get install -qq -y --no-install-recommends python3 >/dev/null
fi
[ -f build/build.ninja ] || meson setup build -Dtests=false >"$demo/build.log" ||
    { cat "$demo/build.log" >&2; exit 1; }
ninja -C build >"$demo/build.log" || { tail -n 40 "$demo/build.log" >&2; exit 1; }
export PATH=$top/build/builder/cli:$top/build/fuse:$top/build/examples:$PATH
export FKV_STORE=file://$demo/store FKV_MOUNT=$mnt
say "built in $((SECONDS - started)) s: $(fkv --version)"
if [ -n "$nfs" ]; then
    heading "An NFS server on loopback"
    mkdir -p "$demo/export"
    eval "$(server start "$demo/export")"
    # shellcheck disable=SC2154
    say "nfs-ganesha, process $ganesha_pid, exports $demo/export. No NFS mount is needed: fkv and fkvd speak NFS themselves."
    FKV_STORE=$(ganesha_url "$nfs")
fi

# The data: one word a line, a tab, 100 numbers. Some words are kept for later.
cd "$demo"
zstd -q -d -c "$top/examples/data/word-vectors.tsv.zst" >all.tsv
awk -F'\t' 'NR % 50 && $1 != "creek" && $1 != "canal"' all.tsv >words.tsv
# Version 2 is a delta: what was kept comes in, one word goes (no value), and three words get, by
# some accident upstream, the vectors of others.
awk -F'\t' 'NR % 50 == 0 || $1 == "creek" || $1 == "canal"' all.tsv >changes.tsv
echo crossing >>changes.tsv
for swap in lake:monday valley:guitar stream:computer; do
    awk -F'\t' -v to="${swap%:*}" -v from="${swap#*:}" '$1 == from { print to "\t" $2 }' all.tsv
done >>changes.tsv
cut -f1 all.tsv >words.txt

# ------------------------------------------------------------------------------------------------
heading "Build a table, publish it, mount it"
say "The input: $(wc -l <words.tsv) words and their vectors." \
    "${dim}$(head -n 1 words.tsv | cut -c1-72)…${plain}"
show export "FKV_STORE=$FKV_STORE" "FKV_MOUNT=$FKV_MOUNT"
run fkv init
run fkv build words words.tsv --key bytes --value 'f16[100]'
run fkv publish words --reason 'the first one'
run fkvd --cache cache --poll 200
run ls -l fkv/words fkv/words/v/1

# ------------------------------------------------------------------------------------------------
heading "Read it"
say "One batch: the vectors of all words, through the mount, by shared memory."
run rank_words fkv/words words.txt river 8
say "" "The same mount without any library: one value is a file; a batch is write() and read()."
run stat -c '%n: %s bytes' fkv/words/current/key/river
run "$top/examples/read_features.py" fkv/words river lake creek
run fkv get words river --json | cut -c1-100

# ------------------------------------------------------------------------------------------------
heading "Publish a change under a running reader"
say "The reader asks for 2,000 words over and over, and compares each batch with its version."
show watch_reader fkv/words words.txt 8 '&'
watch_reader fkv/words words.txt 8 > >(sed -u "s/^ /  reader:/") 2>&1 &
reader=$!
sleep 1
run fkv build words changes.tsv --delta --publish --reason 'the hourly update'
run rank_words fkv/words words.txt river 8
sleep 1
say "" "Creek and canal came in. But lake, valley and stream are gone: version 2 is bad."

# ------------------------------------------------------------------------------------------------
heading "Go back"
say "The emergency brake, on this host alone, with nothing but a shell:"
if [ -n "$nfs" ]; then
    say "It needs no store either: the NFS server is killed first."
    run kill -9 "$ganesha_pid"
fi
run ln -sfn v/1 fkv/words/current
run rank_words fkv/words words.txt river 4
if [ -n "$nfs" ]; then
    eval "$(server restart)"
    say "" "The NFS server is back, as process $ganesha_pid; the daemon finds it by itself."
fi
say "" "Then the whole fleet; the bad version is quarantined. And the brake is let go."
run fkv rollback words --reason 'lake, valley and stream are mixed up'
wait_for_record 5
run rm fkv/words/current
run readlink fkv/words/current
run fkv diff words 1 2
sleep 1
say "" "The reader is still at it; it ends with the sum of what it saw:"
wait "$reader" || say "the reader saw a failed or mixed batch"
reader=

# ------------------------------------------------------------------------------------------------
heading "On disk instead of in memory"
say "The same input, the same answers, other kinds: blk keeps 2 bytes in memory for 4 KiB on disk, and a filter; idx keeps" \
    "all keys, in order, and values on disk."
run fkv build words-blk words.tsv --key bytes --value 'f16[100]' --kind blk --publish
run rank_words fkv/words-blk words.txt river 4
run fkv stat words-blk
run fkv build words-idx words.tsv --key bytes --value 'f16[100]' --kind idx --publish
run fkv scan words-idx --prefix sun | cut -c1-60

# ------------------------------------------------------------------------------------------------
heading "As a task"
say "What a pipeline does: a job file says what, from what, and what must hold; the task survives its submitter and its workers." \
    "${dim}$(grep -v '^#' "$top/examples/job.toml" | grep .)${plain}"
run fkv submit "$top/examples/job.toml" --task words-again
run fkv task wait words-again
run rank_words fkv/words words.txt river 4

# ------------------------------------------------------------------------------------------------
heading "Who did what, when and why"
run fkv ls
run fkv ls words
run fkv log
run fkv status
say ""
grep -E '^fkv_(batches|keys)' "$mnt/.fkvd/metrics" || true
run umount fkv

heading "Done"
say "It took $SECONDS s. README.md says where to go on; examples/rank_words.c is the program to copy from."
if [ -n "${FKV_DEMO_DIR:-}" ]; then say "Everything is still in $demo."; fi
