#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# House style that a machine can see: formatting, sizes, licence lines, leftovers, shell scripts, man pages.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
bad=0
fault() {
    echo "$1"
    bad=1
}

mapfile -t code < <(git ls-files '*.c' '*.cc' '*.h')
[ "${#code[@]}" -ge 60 ] || fault "expected the whole tree, found only ${#code[@]} C files"
unformatted=$(printf '%s\0' "${code[@]}" | xargs -0 -P "$(nproc)" -n 40 clang-format --dry-run 2>&1 | grep -oE '^[^:]+' | sort -u)
[ -z "$unformatted" ] || fault "not as clang-format would have it: $(tr '\n' ' ' <<<"$unformatted")"

for file in "${code[@]}"; do
    case $file in tests/*) cap=900 ;; *.h) cap=250 ;; *) cap=600 ;; esac
    lines=$(wc -l <"$file")
    [ "$lines" -le "$cap" ] || fault "$file: $lines lines, at most $cap"
done

while read -r file; do
    head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || fault "$file: no SPDX line"
done < <(git ls-files '*.c' '*.cc' '*.h' '*.py' '*.sh' '*meson.build')

leftover=$(git grep -nIE '\b(TODO|FIXME|XXX)\b' -- '*.c' '*.cc' '*.h' '*.py' '*.sh' ':!tests/lint/style.sh')
[ -z "$leftover" ] || fault "unfinished: $leftover"

mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
shellcheck -S warning "${scripts[@]}" || fault "shellcheck has words for a script"

while read -r page; do
    mandoc -Tlint -W warning "$page" || fault "$page: mandoc has words"
done < <(git ls-files 'docs/man/*.[1-8]')

[ "$bad" = 0 ] && echo "${#code[@]} C files, ${#scripts[@]} scripts in style"
exit "$bad"
