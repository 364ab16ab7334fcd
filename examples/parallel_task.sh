#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a task's stages with GNU parallel, on this host or on several:
#
#   fkv submit ads.toml --engine none --task ads-7
#   parallel_task.sh ads-7                                          # as many at once as there are CPUs
#   parallel_task.sh ads-7 --jobs 2 --sshlogin node1,node2          # two on each of these hosts
#
# $FKV_STORE names the store. Words behind the task are parallel's. When it ends, however it does, it can be run again: what is
# finished is not done again.
set -eu
task=${1:?"expected a task: fkv task ls"}
shift
fkv=${FKV:-fkv}
export FKV_STORE

number() { # NAME: a number of what fkv knows of the task
    "$fkv" task show "$task" --json | tr ',{}' '\n\n\n' | sed -n 's/^ *"'"$1"'": *\([0-9][0-9]*\).*/\1/p' | head -n 1
}

# stage NAME COUNT WORDS...: each of its tasks, up to three times.
stage() {
    name=$1 last=$(($2 - 1))
    shift 2
    seq 0 "$last" | parallel --will-cite --env FKV_STORE --retries 3 --halt soon,fail=1 "$@" \
        "$fkv" --store "$FKV_STORE" stage "$task" "$name" --again --index '{}'
}

"$fkv" stage "$task" plan
stage map "$(number pieces)" "$@"
stage reduce "$(number groups)" "$@"
"$fkv" stage "$task" seal
