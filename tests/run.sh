#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The whole test suite, on a fresh Debian 12 machine, as root:
#
#   tests/run.sh            everything, under 20 minutes
#   tests/run.sh --long     the soaks too
#   tests/run.sh --only lint,unit,e2e,nfs,clang,asan,tsan,fuzz     some of the phases
#
# e2e includes the tests that are about NFS; the phase nfs runs others again with their store on NFS.
#
# Ends with "N passed, N failed, N skipped" and exits non-zero on any failure. What each phase printed is kept
# in build/test-logs/.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

phases=lint,unit,e2e,nfs,clang,asan,tsan,fuzz
export FKV_LONG=0
fuzz_seconds=6
# What tells most about a store: who writes to it, races, and crashes.
nfs4_tests=(publish.py crash.py)
nfs3_tests=(gc.py switch_local.py)
while [ $# -gt 0 ]; do
    case $1 in
    --long) FKV_LONG=1 fuzz_seconds=120 ;;
    --only)
        phases=${2:?--only takes phases}
        shift
        ;;
    *)
        echo "tests/run.sh: expected --long or --only PHASES, found $1" >&2
        exit 2
        ;;
    esac
    shift
done

passed=0 failed=0 skipped=0
logs=$PWD/build/test-logs
rm -rf "$logs"
mkdir -p "$logs"

say() { printf '\n== %s (%s)\n' "$1" "$(date +%H:%M:%S)"; }
wanted() { [[ ",$phases," == *",$1,"* ]]; }

# check NAME COMMAND...: one test that is a command.
check() {
    local name=$1
    shift
    local log=$logs/${name//\//-}.log
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
        printf 'ok    %-40s %s\n' "$name" "$(tail -n 1 "$log" | cut -c1-70)"
    else
        failed=$((failed + 1))
        printf 'FAIL  %s\n' "$name"
        tail -n 40 "$log" | sed 's/^/      /'
    fi
}

# build DIR OPTIONS...: a build directory, warnings as errors; its failure is a failed test.
build() {
    local dir=$1
    shift
    configure_and_compile() {
        if [ -f "$dir/build.ninja" ]; then
            meson configure "$dir" "$@"
        else
            meson setup "$dir" --werror "$@"
        fi && ninja -C "$dir"
    }
    check "build/$(basename "$dir")" configure_and_compile "$@"
}

# unit DIR [PATTERN]: every unit test program; each cmocka test counts.
unit() {
    local dir=$1 pattern=${2:-test_} program name log ok bad skip status
    for program in "$dir"/tests/unit/"$pattern"*; do
        [ -x "$program" ] && [ -f "$program" ] || continue
        name=$(basename "$program")
        log=$logs/$(basename "$dir")-$name.log
        timeout 600 "$program" >"$log" 2>&1
        status=$?
        ok=$(grep -c '^\[       OK \]' "$log")
        bad=$(grep '^\[  FAILED  \] [a-z]' "$log" | sort -u | wc -l)
        skip=$(grep '^\[  SKIPPED \] [a-z]' "$log" | sort -u | wc -l)
        # A crash, a sanitizer report or an empty program is a failure even when no test says so.
        if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
        if [ "$ok" = 0 ] && [ "$bad" = 0 ] && [ "$skip" = 0 ]; then bad=1; fi
        passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
        if [ "$bad" = 0 ]; then
            printf 'ok    %-40s %d tests\n' "$(basename "$dir")/$name" "$ok"
        else
            printf 'FAIL  %-40s exit %d\n' "$(basename "$dir")/$name" "$status"
            grep -v '^\[ RUN\|^\[       OK' "$log" | tail -n 40 | sed 's/^/      /'
        fi
    done
}

# e2e DIR NAME PYTEST-ARGUMENTS...: end-to-end tests against the programs of a build directory.
e2e() {
    local dir=$1 name=$2
    shift 2
    local log counts status
    log=$logs/e2e-$name.log
    # Tests wait for daemons and time limits more than they compute, and each has its own mounts, ports and files.
    FKV_BUILD=$PWD/$dir timeout 1500 /usr/bin/python3 -m pytest -p no:cacheprovider -q -rs --tb=short -n $(($(nproc) * 2)) \
        --junitxml="$logs/e2e-$name.xml" "$@" >"$log" 2>&1
    status=$?
    counts=$(/usr/bin/python3 - "$logs/e2e-$name.xml" <<'PYTHON'
import sys, xml.etree.ElementTree as tree
try:
    suites = list(tree.parse(sys.argv[1]).getroot().iter("testsuite"))
except (OSError, tree.ParseError):
    suites = []
total, bad, skip = (sum(int(s.get(k, 0)) for s in suites) for k in ("tests", "failures", "skipped"))
bad += sum(int(s.get("errors", 0)) for s in suites)
print(max(total - bad - skip, 0), bad, skip)
PYTHON
    )
    local ok bad skip
    read -r ok bad skip <<<"$counts"
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if [ "$bad" = 0 ]; then
        printf 'ok    %-40s %d tests\n' "e2e/$name" "$ok"
    else
        printf 'FAIL  %s\n' "e2e/$name"
        tail -n 150 "$log" | sed 's/^/      /'
    fi
    if [ "$skip" != 0 ]; then grep '^SKIPPED' "$log" | sed 's/^/skip  /'; fi
}

say "packages"
tests/lib/packages.sh build test || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }

if wanted lint; then
    say "lint"
    check lint/includes /usr/bin/python3 tests/lint/includes.py
    check lint/headers tests/lint/headers.sh
    check lint/style tests/lint/style.sh
fi

export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

if wanted unit || wanted e2e || wanted nfs; then
    say "release build, gcc"
    build build/release
fi
if wanted unit; then unit build/release; fi
if wanted e2e; then
    say "end to end on real mounts"
    e2e build/release release tests/e2e
fi
if wanted nfs; then
    say "end to end with the store on NFS"
    FKV_TEST_STORE=nfs4 e2e build/release nfs4 "${nfs4_tests[@]/#/tests/e2e/test_}"
    FKV_TEST_STORE=nfs3 e2e build/release nfs3 "${nfs3_tests[@]/#/tests/e2e/test_}"
fi
if wanted clang; then
    say "clang, warnings as errors"
    CC=clang build build/clang
fi
if wanted asan; then
    say "AddressSanitizer and UndefinedBehaviorSanitizer"
    build build/asan -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false
    unit build/asan
    e2e build/asan asan tests/e2e -m "not slow"
fi
if wanted tsan; then
    say "ThreadSanitizer"
    build build/tsan -Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false
    unit build/tsan
    e2e build/tsan tsan tests/e2e -m "concurrent and not slow"
fi
if wanted fuzz; then
    say "fuzzers, $fuzz_seconds seconds each"
    CC=clang build build/fuzz -Dbuildtype=debugoptimized -Dfuzz=true -Dtests=false
    for target in build/fuzz/tests/fuzz/fuzz_*; do
        [ -x "$target" ] && [ -f "$target" ] || continue
        name=$(basename "$target")
        corpus=$(mktemp -d)
        seeds=tests/fuzz/corpus/${name#fuzz_}
        [ -d "$seeds" ] || seeds=
        # -artifact_prefix keeps a crashing input with the logs
        check "fuzz/$name" timeout $((fuzz_seconds * 3 + 60)) "$target" -max_total_time="$fuzz_seconds" \
            -rss_limit_mb=4096 -artifact_prefix="$logs/$name-" "$corpus" ${seeds:+"$seeds"}
        rm -rf "$corpus"
    done
fi

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
