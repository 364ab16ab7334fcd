#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# static.sh PARTS.a LIBFKV.a DIR: one object of all parts, whose hidden symbols become local.
set -eu
mkdir -p "$3"
ld -r --whole-archive "$1" -o "$3/fkv.o"
objcopy --localize-hidden "$3/fkv.o"
rm -f "$2"
ar rcs "$2" "$3/fkv.o"
