#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages of one purpose, only those that are missing: packages.sh build|test|bench|nfs|slurm
# (nfs, slurm: what tests/lib/ganesha.sh and slurm.sh need)
set -euo pipefail
build=(gcc g++ libc6-dev meson ninja-build pkg-config libfuse3-dev fuse3 libxxhash-dev libzstd-dev zlib1g-dev libjansson-dev libnfs-dev liburing-dev libtomlplusplus-dev zstd)
test=(parallel clang libclang-rt-14-dev clang-format libcmocka-dev python3 python3-pytest python3-pytest-xdist python3-numpy shellcheck mandoc xxhash rsync git e2fsprogs libnfs-utils)
nfs=(nfs-ganesha nfs-ganesha-vfs)
slurm=(slurmctld slurmd slurm-client munge python3-minimal)
bench=(gnuplot-nox librocksdb-dev liblmdb-dev redis-server libhiredis-dev fio libnfs-utils)

want=("${build[@]}")
for purpose in "$@"; do
    case $purpose in
    build) ;;
    test) want+=("${test[@]}" "${nfs[@]}" "${slurm[@]}") ;;
    slurm) want+=("${slurm[@]}") ;;
    nfs) want+=("${nfs[@]}") ;;
    bench) want+=("${bench[@]}" "${nfs[@]}" "${slurm[@]}") ;;
    *)
        echo "packages.sh: expected build, test, bench, nfs or slurm, found $purpose" >&2
        exit 2
        ;;
    esac
done
installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

# Ends services and does not start them at boot either; one that is not there is no matter.
stop_services() {
    local name
    for name in "$@"; do
        if [ -d /run/systemd/system ]; then
            systemctl disable --now "$name" >/dev/null 2>&1 || true
        else
            service "${name%.socket}" stop >/dev/null 2>&1 || true
        fi
    done
}

had_rpcbind=
if installed rpcbind; then had_rpcbind=1; fi
missing=()
for package in "${want[@]}"; do
    installed "$package" || missing+=("$package")
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
    # Some start themselves when installed, and others that come with them do. Tests and benchmarks start their own
    # redis, ganesha and Slurm, and need no rpcbind. What was here before is left alone.
    case " ${missing[*]} " in *" redis-server "*) stop_services redis-server ;; esac
    case " ${missing[*]} " in *" nfs-ganesha "*) stop_services nfs-ganesha nfs-ganesha-lock ;; esac
    for package in slurmctld slurmd munge; do
        case " ${missing[*]} " in *" $package "*) stop_services "$package" ;; esac
    done
    if [ -z "$had_rpcbind" ]; then stop_services rpcbind.socket rpcbind rpc-statd; fi
fi
