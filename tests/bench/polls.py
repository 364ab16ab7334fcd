# SPDX-License-Identifier: Apache-2.0
"""Stores with logs of a given length, and what daemons send while they follow them, by the kernel's count."""

import os
import re
import shutil
import subprocess
import time

import bench


def make_store(place, name, n_records, n_tables, version_dir=None):
    """A directory store below the export. With version_dir, all its tables have that as their version 1."""
    store = place.path("export", name)
    os.makedirs(store)
    bench.run(bench.FKV, "init", env=dict(os.environ, FKV_STORE=store))
    words = [bench.program("bench_log"), store, n_records, n_tables]
    if version_dir:
        for i in range(n_tables):
            shutil.copytree(version_dir, os.path.join(store, "tables", f"t{i:03}", "v", "1"), copy_function=os.link)
        words.append(os.path.join(version_dir, "version.json"))
    bench.run(*words)


def make_version(place, name, n_keys):
    """A published version in a store of its own; returns its directory."""
    store = place.path("export", name)
    os.makedirs(store)
    env = dict(os.environ, FKV_STORE=store)
    bench.run(bench.FKV, "init", env=env)
    bench.run(bench.program("bench_gen"), store, "seed", n_keys, 1, "--shards=1")
    bench.run(bench.FKV, "publish", "seed", env=env)
    return os.path.join(store, "tables", "seed", "v", "1")


def sockets(pid, port):
    """A process's connections to a server: {local address: (segments with data out, bytes out, bytes in)}."""
    text = subprocess.run(["ss", "-tinpH", f"dport = :{port}"], capture_output=True, text=True, check=True).stdout
    found = {}
    for head, facts in zip(text.splitlines()[0::2], text.splitlines()[1::2]):
        if f"pid={pid}," not in head:
            continue
        local = head.split()[3]
        counts = [re.search(rf"\b{name}:(\d+)", facts) for name in ("data_segs_out", "bytes_sent", "bytes_received")]
        found[local] = tuple(int(count[1]) if count else 0 for count in counts)
    return found


def traffic(daemons, port, seconds):
    """Segments and bytes of each daemon in that time; None for one that opened or closed a connection meanwhile."""
    before = [sockets(daemon.process.pid, port) for daemon in daemons]
    time.sleep(seconds)
    after = [sockets(daemon.process.pid, port) for daemon in daemons]
    return [tuple(sum(b[key][i] - a[key][i] for key in a) for i in range(3)) if a and a.keys() == b.keys() else None
            for a, b in zip(before, after)]
