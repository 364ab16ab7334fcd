#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the path of a libduckdb.so for tests: $FKV_DUCKDB when it is set, else the one of the npm package that carries it, which is
# fetched once and kept in ${XDG_CACHE_HOME:-/var/cache}/fkv-tests. Installs npm by apt when it is missing (as root).
set -euo pipefail
version=1.5.6-r.1
case $(uname -m) in
x86_64) package=@duckdb/node-bindings-linux-x64 ;;
aarch64) package=@duckdb/node-bindings-linux-arm64 ;;
*)
    echo "duckdb.sh: no library is known for a $(uname -m); set FKV_DUCKDB" >&2
    exit 1
    ;;
esac

if [ -n "${FKV_DUCKDB:-}" ]; then
    echo "$FKV_DUCKDB"
    exit
fi

# Several tests may ask at once, and the first may be interrupted: what has its name is complete.
cache=${XDG_CACHE_HOME:-/var/cache}/fkv-tests
home=$cache/duckdb-$version
if [ ! -e "$home/libduckdb.so" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/duckdb.lock"
    flock 9
fi
if [ ! -e "$home/libduckdb.so" ]; then
    if ! command -v npm >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update && apt-get install -y --no-install-recommends npm; } >&2
    fi
    fresh=$(mktemp -d "$cache/duckdb.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    (cd "$fresh" && npm pack --silent "$package@$version" >&2 && tar -xzf ./*.tgz)
    rm -rf "$home"
    mv "$fresh/package" "$home"
fi
echo "$home/libduckdb.so"
