#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every header compiles alone; the installed ones also as strict C99 and as C++98.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
flags=(-fsyntax-only -Wall -Wextra -Werror -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Isrc -I.)
read -ra fuse_flags <<<"$(pkg-config --cflags fuse3)"
bad=0
mapfile -t headers < <(git ls-files 'src/*.h' 'fuse/*.h' 'builder/*.h')
count=${#headers[@]}
alone() {
    local header=$1 cc bad=0
    shift
    for cc in gcc clang; do
        "$cc" "$@" -std=gnu11 -include "$header" -x c /dev/null || { echo "$header does not compile alone with $cc"; bad=1; }
    done
    return $bad
}
export -f alone
printf '%s\0' "${headers[@]}" |
    xargs -0 -P "$(nproc)" -I '{}' bash -c 'alone "$@"' alone '{}' "${flags[@]}" "${fuse_flags[@]}" || bad=1
for header in src/client/fkv.h src/wire/fkv_protocol.h; do
    gcc -fsyntax-only -std=c99 -pedantic -Wall -Wextra -Werror -include "$header" -x c /dev/null || bad=1
    g++ -fsyntax-only -std=c++98 -Wall -Wextra -Werror -include "$header" -x c++ /dev/null || bad=1
done
[ "$count" -ge 20 ] || { echo "expected at least 20 headers, found $count"; bad=1; }
[ "$bad" = 0 ] && echo "$count headers compile alone"
exit "$bad"
