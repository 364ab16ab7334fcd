#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The whole test suite, on a fresh Debian 12 machine, as root:
#
#   tests/run.sh            everything; half an hour on two CPUs, the aim is 20 minutes
#   tests/run.sh --long     the soaks too
#   tests/run.sh --only lint,unit,e2e,kinds,nfs,clang,asan,tsan,fuzz     some of the phases
#
# e2e runs all end-to-end tests, with tables in memory where the table does not matter; kinds runs those about answers, switches
# and crashes again with tables on disk, nfs some again with their store on NFS. What compiles is compiled beside tests that wait.
#
# Ends with "N passed, N failed, N skipped" and exits non-zero on any failure. What each phase printed is kept
# in build/test-logs/.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

phases=lint,unit,e2e,kinds,nfs,clang,asan,tsan,fuzz
export FKV_LONG=0
fuzz_seconds=6
# What tells most about a store: who writes to it, races, and crashes.
nfs4_tests=(publish.py crash.py)
nfs3_tests=(gc.py switch_local.py)
# What builds with the threads that test_build has, large tables for minutes under TSan.
same_threads=(test_build_blk test_build_idx test_build_kinds test_build_diff test_checkpoint)
while [ $# -gt 0 ]; do
    case $1 in
    --long) FKV_LONG=1 fuzz_seconds=120 same_threads=() ;;
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
    local log=$logs/${name//\//-}.log began=$SECONDS
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
        printf 'ok    %-40s %3d s   %s\n' "$name" $((SECONDS - began)) "$(tail -n 1 "$log" | cut -c1-70)"
    else
        failed=$((failed + 1))
        printf 'FAIL  %s\n' "$name"
        tail -n 40 "$log" | sed 's/^/      /'
    fi
}

# compile NAME: the build directory build/NAME, warnings as errors.
compile() {
    local dir=build/$1 compiler=gcc plus=g++ options=()
    case $1 in
    clang) compiler=clang plus=clang++ options=(-Doptimization=0 -Ddebug=false) ;; # for its warnings only
    asan) options=(-Doptimization=1 "-Db_sanitize=address,undefined" -Db_lundef=false) ;;
    tsan) options=(-Doptimization=1 -Db_sanitize=thread -Db_lundef=false) ;;
    fuzz) compiler=clang plus=clang++ options=(-Doptimization=1 -Dfuzz=true -Dtests=false) ;;
    esac
    if [ -f "$dir/build.ninja" ]; then
        meson configure "$dir" "${options[@]}"
    else
        CC=$compiler CXX=$plus meson setup "$dir" --werror "${options[@]}"
    fi && ninja -C "$dir"
}

# compile_ahead NAME...: these, one after the other, in what time tests leave of the CPUs.
ahead=
compile_ahead() {
    [ $# -gt 0 ] || return
    export -f compile
    # shellcheck disable=SC2016
    setsid chrt -i 0 bash -c 'logs=$1; shift
        for name in "$@"; do
            compile "$name" >"$logs/ahead-$name.log" 2>&1
            touch "$logs/ahead-$name.done"
        done' compile_ahead "$logs" "$@" &
    ahead=$!
    trap 'kill -- -"$ahead" 2>/dev/null' EXIT
}

# build NAME: its failure is a failed test.
build() {
    while [ -n "$ahead" ] && kill -0 "$ahead" 2>/dev/null && [ ! -f "$logs/ahead-$1.done" ]; do sleep 0.2; done
    check "build/$1" compile "$1"
}

# unit DIR [NAME...]: every unit test program but those, two at a time for each CPU, as half of their time is waiting for the disk; each
# cmocka test counts.
unit() {
    local dir=$1 program programs name log ok bad skip status began=$SECONDS but=()
    shift
    for name in "$@"; do but+=(! -name "$name"); done
    mapfile -d '' programs < <(find "$dir/tests/unit" -maxdepth 1 -name 'test_*' -type f -executable "${but[@]}" -print0 | sort -z)
    # shellcheck disable=SC2016
    printf '%s\0' "${programs[@]}" |
        xargs -0 -P $((2 * $(nproc))) -I '{}' bash -c 'log=$1-$(basename "$2"); timeout 600 "$2" >"$log.log" 2>&1; echo $? >"$log.status"' \
            unit "$logs/$(basename "$dir")" '{}'
    for program in "${programs[@]}"; do
        name=$(basename "$program")
        log=$logs/$(basename "$dir")-$name.log
        status=$(cat "${log%.log}.status" 2>/dev/null || echo 1)
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
    printf '      %-40s %3d s\n' "all of $(basename "$dir")" $((SECONDS - began))
}

e2e_per_cpu=3
# e2e DIR NAME PYTEST-ARGUMENTS...: end-to-end tests against the programs of a build directory.
e2e() {
    local dir=$1 name=$2
    shift 2
    local log counts status began=$SECONDS
    log=$logs/e2e-$name.log
    # Tests wait for daemons and time limits more than they compute, and each has its own mounts, ports and files.
    FKV_BUILD=$PWD/$dir timeout 1500 /usr/bin/python3 -m pytest -p no:cacheprovider -q -rs --tb=short -n $(($(nproc) * e2e_per_cpu)) \
        --dist loadgroup --junitxml="$logs/e2e-$name.xml" "$@" >"$log" 2>&1
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
        printf 'ok    %-40s %3d s   %d tests\n' "e2e/$name" $((SECONDS - began)) "$ok"
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

if wanted unit || wanted e2e || wanted kinds || wanted nfs; then
    say "release build, gcc"
    build release
fi
to_compile=()
for name in clang asan tsan fuzz; do
    if wanted "$name"; then to_compile+=("$name"); fi
done
if [ "${#to_compile[@]}" -gt 0 ]; then compile_ahead "${to_compile[@]}"; fi
if wanted unit; then unit build/release; fi
if wanted e2e; then
    say "end to end on real mounts"
    e2e build/release release tests/e2e
fi
if wanted kinds; then
    say "end to end with tables on disk"
    for kind in blk idx; do
        FKV_TEST_KIND=$kind FKV_TEST_STORE=dir e2e build/release "$kind" tests/e2e -m kinds
    done
fi
if wanted nfs; then
    say "end to end with the store on NFS"
    FKV_TEST_STORE=nfs4 e2e build/release nfs4 "${nfs4_tests[@]/#/tests/e2e/test_}"
    FKV_TEST_STORE=nfs3 e2e build/release nfs3 "${nfs3_tests[@]/#/tests/e2e/test_}"
fi
if wanted clang; then
    say "clang, warnings as errors"
    build clang
fi
e2e_per_cpu=2
if wanted asan; then
    say "AddressSanitizer and UndefinedBehaviorSanitizer"
    build asan
    unit build/asan
    e2e build/asan asan tests/e2e -m "not slow"
fi
if wanted tsan; then
    say "ThreadSanitizer"
    build tsan
    unit build/tsan "${same_threads[@]}"
    e2e build/tsan tsan tests/e2e -m "concurrent and not slow"
    if [ "$FKV_LONG" = 1 ]; then FKV_TEST_KIND=blk e2e build/tsan tsan-blk tests/e2e -m "concurrent and kinds and not slow"; fi
fi
if wanted fuzz; then
    say "fuzzers, $fuzz_seconds seconds each"
    build fuzz
    # fuzz TARGET: seeds lie beside the fuzzers; a crashing input is kept with the logs.
    fuzz() {
        local name corpus dirs
        name=$(basename "$1")
        corpus=$(mktemp -d)
        dirs=("$corpus")
        if [ -d "tests/fuzz/corpus/${name#fuzz_}" ]; then dirs+=("tests/fuzz/corpus/${name#fuzz_}"); fi
        timeout $((fuzz_seconds * 3 + 60)) "$1" -max_total_time="$fuzz_seconds" -rss_limit_mb=4096 -artifact_prefix="$logs/$name-" \
            "${dirs[@]}" >"$logs/run-$name.log" 2>&1
        echo $? >"$logs/$name.status"
        rm -rf "$corpus"
    }
    fuzzed() { cat "$logs/run-$1.log" && return "$(cat "$logs/$1.status")"; }
    export -f fuzz
    export logs fuzz_seconds
    mapfile -d '' targets < <(find build/fuzz/tests/fuzz -maxdepth 1 -name 'fuzz_*' -type f -executable -print0 | sort -z)
    printf '%s\0' "${targets[@]}" | xargs -0 -P "$(nproc)" -I '{}' bash -c 'fuzz "$1"' fuzz '{}'
    for target in "${targets[@]}"; do check "fuzz/$(basename "$target")" fuzzed "$(basename "$target")"; done
fi

printf '\n== the end, after %d minutes\n' $(((SECONDS + 30) / 60))
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
