#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Benchmarks, as root on Debian 12:
#
#   tests/bench/run.sh CASE [--quick]
#
#   lookup    lookups in process, through the mount, and beside RocksDB, LMDB and Redis     12 minutes, 16 GiB
#   switch    readers at full load while versions are published and switched                2 minutes
#   build     building tables: stages, beside the disk and RocksDB's SstFileWriter, memory   27 minutes, 30 GiB of disk
#   fetch     fetching a version from an NFS server, beside nfs-cp                          5 minutes
#   fleet     eight daemons on an NFS server: switches, rollbacks, polls, lookups           7 minutes
#   slurm     a build on two Slurm nodes of one CPU, against one, and a node killed          12 minutes, 12 GiB of disk
#   ssd       tables on disk: reads beside fio and RocksDB, skew, latency, memory           10 minutes, 16 GiB of disk
#
# --quick takes smaller tables and ends within a minute (its figures are not for comparing). Prints a table; figures go to
# build/bench/CASE.json, a plot to build/bench/CASE.svg.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
    sed -n '4,18s/^# \{0,1\}//p' tests/bench/run.sh
    exit "$1"
}
[ $# -ge 1 ] || usage 2
case=$1
shift
case $case in
lookup | switch | build | fetch | fleet | slurm | ssd) ;;
-h | --help) usage 0 ;;
*)
    echo "run.sh: no such case: $case" >&2
    usage 2
    ;;
esac

tests/lib/packages.sh build bench
command -v /usr/bin/python3 >/dev/null || apt-get install -qq -y --no-install-recommends python3 >/dev/null
mkdir -p build/bench
export FKV_BUILD=$PWD/build/bench-build
[ -f "$FKV_BUILD/build.ninja" ] || meson setup "$FKV_BUILD" -Dtests=false -Dbench=true >build/bench/build.log ||
    { cat build/bench/build.log >&2; exit 1; }
ninja -C "$FKV_BUILD" >build/bench/build.log || { tail -n 40 build/bench/build.log >&2; exit 1; }
exec /usr/bin/python3 "tests/bench/${case}_case.py" "$@"
