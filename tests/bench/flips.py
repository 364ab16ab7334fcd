# SPDX-License-Identifier: Apache-2.0
"""Switches of a fleet, seen from outside: bench_flips looks at every node's `current`."""

import json
import os
import subprocess
import sys
import time

import bench


class Observer:
    """bench_flips on the links of a table in several mounts."""

    def __init__(self, daemons, table):
        links = [os.path.join(daemon.mount, table, "current") for daemon in daemons]
        self.process = subprocess.Popen([bench.program("bench_flips"), *links], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def expect(self, version):
        """From now on it looks for links that come to this version."""
        self.process.stdin.write(f"v/{version}\n")
        self.process.stdin.flush()

    def answer(self):
        outcome = json.loads(self.process.stdout.readline())
        if not outcome["done"]:
            sys.exit(f"not all nodes switched: {outcome}")
        return outcome["links"]


class Flip:
    """One switch: from the start of the command to the last node, all in nanoseconds of the monotonic clock."""

    def __init__(self, begin_ns, returned_ns, links):
        self.command_s = (returned_ns - begin_ns) / 1e9
        # Between the first moment a node can have switched and the last one any can have.
        self.skew_ms = (max(new for _, new in links) - min(old for old, _ in links)) / 1e6
        self.last_s = (max(new for _, new in links) - begin_ns) / 1e9
        self.resolution_ms = [(new - old) / 1e6 for old, new in links]


def flip(observer, fkv, version, *command):
    observer.expect(version)
    begin_ns = time.monotonic_ns()
    fkv(*command)
    returned_ns = time.monotonic_ns()
    return Flip(begin_ns, returned_ns, observer.answer())


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def spread(values):
    """p50, p99 and the largest."""
    return [quantile(values, 0.5), quantile(values, 0.99), max(values)]


def told_skew_ms(daemons, table):
    """Last less first switch by what the daemons say: how punctual they are, but not how well they know the time."""
    times = [daemon.table_status(table)["switched_ns"] for daemon in daemons]
    return (max(times) - min(times)) / 1e6


def wait_loaded(daemons, table, version):
    for daemon in daemons:
        daemon.wait(f"{table} version {version} loaded",
                    lambda d=daemon: d.version_state(table, version) in ("ready", "serving"), pause_s=0.02)
