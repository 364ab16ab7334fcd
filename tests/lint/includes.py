#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Dependencies run one way: checks every #include against the table of docs/ARCHITECTURE.md.

Three rules: a folder includes only the layers it may see, a foreign header (libfuse, zstd, ...) is
included by its one owner, and the modules that may not do I/O do not include system-call headers.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# folder -> project folders it may include from (itself is always allowed)
LAYERS = {
    "src/base": [],
    "src/format": ["src/base"],
    "src/codec": ["src/base"],
    "src/wire": ["src/base"],
    "src/io": ["src/base"],
    "src/store": ["src/base"],
    "src/manifest": ["src/base", "src/store"],
    "src/node": ["src/base", "src/format", "src/codec", "src/io", "src/store", "src/manifest"],
    "src/query": ["src/base", "src/format", "src/codec", "src/io", "src/node"],
    "src/client": ["src/base", "src/wire"],
    "fuse": ["src/base", "src/wire", "src/node", "src/query"],
    "builder": ["src/base", "src/format", "src/codec", "src/store", "src/manifest"],
    "builder/cli": ["builder", "src/base", "src/format", "src/codec", "src/store", "src/manifest",
                    "src/client"],
    "examples": ["src/client"],
}

# One file may see more: it wires the daemon together.
EXCEPTIONS = {"fuse/main.c": ["src/io", "src/store", "src/manifest"]}

# foreign header -> the only places that may include it (prefix of the path)
FOREIGN = {
    "fuse": ["fuse/"],
    "fuse_lowlevel.h": ["fuse/"],
    "dlfcn.h": ["builder/duckdb_api.c"],
    "jansson.h": ["src/base/json.h"],
    "xxhash.h": ["src/base/hash.c", "src/base/hash_wide.c"],
    "zstd.h": ["src/codec/", "builder/stream"],
    "zlib.h": ["builder/stream"],
    "liburing.h": ["src/io/"],
    "toml++/toml.h": ["builder/toml.cc"],
    "nfsc/libnfs.h": ["src/store/nfs_rpc.h"],
    "nfsc/libnfs-raw.h": ["src/store/nfs_rpc.h"],
    "nfsc/libnfs-raw-mount.h": ["src/store/nfs_rpc.h"],
    "nfsc/libnfs-raw-nfs.h": ["src/store/nfs_rpc.h"],
    "nfsc/libnfs-raw-nfs4.h": ["src/store/nfs_rpc.h"],
}

# Folders of pure code: bytes in, meaning out.
PURE = {
    "src/format": ["unistd.h", "fcntl.h", "sys/mman.h", "sys/stat.h", "pthread.h", "stdatomic.h"],
    "src/codec": ["unistd.h", "fcntl.h", "sys/mman.h", "sys/stat.h", "pthread.h"],
    "src/wire": ["unistd.h", "fcntl.h", "sys/mman.h", "sys/stat.h", "pthread.h"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def folder_of(path):
    """The layer a project path belongs to, longest first, or None."""
    for layer in sorted(LAYERS, key=len, reverse=True):
        if path.startswith(layer + "/"):
            return layer
    return None


def resolve(name):
    """The project path of a quoted include, or None when it is nobody's."""
    for base in ("src", "."):
        path = ROOT / base / name
        if path.is_file():
            return path.relative_to(ROOT).as_posix()
    return None


def check_file(path):
    rel = path.relative_to(ROOT).as_posix()
    layer = folder_of(rel)
    allowed = set(LAYERS[layer]) | {layer} | set(EXCEPTIONS.get(rel, []))
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, name = match.groups()
        if name in FOREIGN and not any(rel.startswith(p) for p in FOREIGN[name]):
            yield f"{rel}:{number}: <{name}> belongs to {', '.join(FOREIGN[name])}"
        if quote == "<":
            if name in PURE.get(layer, []):
                yield f"{rel}:{number}: {layer} is pure code and may not include <{name}>"
            continue
        target = resolve(name)
        if target is None:
            if not (path.parent / name).is_file():
                yield f"{rel}:{number}: \"{name}\" is not a header of this project"
            elif layer != "examples":
                yield f"{rel}:{number}: include \"{name}\" by its path from src/ or the top"
            continue
        if folder_of(target) not in allowed:
            yield f"{rel}:{number}: {layer} may not include {target}"


def main():
    files = [f for layer in LAYERS for f in sorted((ROOT / layer).glob("*.*"))
             if f.suffix in (".c", ".h", ".cc")]
    if len(files) < 40:
        sys.exit(f"expected the whole tree, found only {len(files)} files below {ROOT}")
    faults = [fault for f in files for fault in check_file(f)]
    print("\n".join(faults) if faults else f"{len(files)} files, every include as it should be")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
