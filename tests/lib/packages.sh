#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages of one purpose, only those that are missing. Sourced or run: packages.sh build|test|bench
set -euo pipefail
build=(gcc g++ libc6-dev meson ninja-build pkg-config libfuse3-dev fuse3 libxxhash-dev libzstd-dev zlib1g-dev libjansson-dev zstd)
test=(clang libclang-rt-14-dev clang-format libcmocka-dev python3 python3-pytest python3-numpy shellcheck mandoc xxhash rsync git)
bench=(gnuplot-nox librocksdb-dev liblmdb-dev redis-server libhiredis-dev fio)

want=("${build[@]}")
for purpose in "$@"; do
    case $purpose in
    build) ;;
    test) want+=("${test[@]}") ;;
    bench) want+=("${bench[@]}") ;;
    *)
        echo "packages.sh: expected build, test or bench, found $purpose" >&2
        exit 2
        ;;
    esac
done
missing=()
for package in "${want[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || {
        cat "$log" >&2
        rm -f "$log"
        exit 1
    }
    rm -f "$log"
    # Redis starts itself when installed; the benchmarks start their own.
    case " ${missing[*]} " in *" redis-server "*) service redis-server stop >/dev/null 2>&1 || true ;; esac
fi
