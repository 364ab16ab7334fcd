# SPDX-License-Identifier: Apache-2.0
"""Lookups at a fixed rate while the daemon that answers them fetches and loads new versions."""

import json
import os
import subprocess
import sys
import time

import bench

BATCH, CLIENTS, RATE = 3900, 2, 400
STEADY, FETCH, FETCH_ALONE, LOAD, SWITCH = range(5)
PHASES = ("steady", "a version being fetched", "the same, the server standing back", "a version being loaded",
          "a switch, the oldest version going")
BACK = 15  # the nice value of a server that stands back, as one on another host would
SWITCH_SECONDS = 1.5


def size(quick):
    """Keys of a version, and how many versions there are."""
    return (500_000, 3) if quick else (8_000_000, 7)


def prepare(store_dir, fkv, quick):
    """A table with its first version current, and the others held back until it is their turn."""
    n_keys, n_versions = size(quick)
    for version in range(1, n_versions + 1):
        bench.run(bench.program("bench_gen"), store_dir, "big", n_keys, version)
        fkv("publish", f"big=gen-{version:08d}", "--max-change", "0", *(["--no-activate"] if version > 1 else []))
        if version > 1:
            fkv("quarantine", "big", str(version))


class Readers:
    """bench_paced on a daemon's table."""

    def __init__(self, daemon, table, n_keys):
        self.process = subprocess.Popen(
            [bench.program("bench_paced"), os.path.join(daemon.mount, table), str(n_keys), str(BATCH), str(CLIENTS),
             str(RATE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def phase(self, phase, round_number):
        self.process.stdin.write(f"{phase} {round_number}\n")
        self.process.stdin.flush()

    def end(self):
        text = self.process.communicate("end\n")[0]
        if self.process.returncode:
            sys.exit("bench_paced failed")
        return json.loads(text)


def watch(daemon, version, until, seen=lambda state: None):
    """Looks at a version's state ten times a second, also when there is nothing to see: looking costs what it costs."""
    state = None
    while not until(state):
        state = daemon.version_state("big", version)
        if state == "failed" or daemon.process.poll() is not None:
            daemon.fail(f"version {version}")
        seen(state)
        time.sleep(0.1)


def rest(daemon, version, seconds):
    end = time.monotonic() + seconds
    watch(daemon, version, lambda _: time.monotonic() > end)


def fetch_once(readers, fkv, daemon, version, fetch_phase):
    """Lets the daemon have a version and marks what it is at. Returns the seconds of fetching and loading."""
    phase_of = {"fetching": fetch_phase, "loading": LOAD, "ready": SWITCH}
    times = {}
    fkv("quarantine", "big", str(version), "--release")

    def seen(state):
        if state in phase_of and state not in times:
            times[state] = time.monotonic()
            readers.phase(phase_of[state], version - 2)
    watch(daemon, version, lambda state: state == "ready", seen)
    loading = times.get("loading", times["ready"])
    return loading - times.get("fetching", loading), times["ready"] - loading


def measure(report, place, server, url, fkv, quick):
    n_keys, n_versions = size(quick)
    steady_s = 2 if quick else 6
    bench.say(f"lookups while versions of {n_keys:,} keys are fetched")
    daemon = place.daemon("lookups", url)
    daemon.start()
    daemon.wait_current("big", 1)
    readers = Readers(daemon, "big", n_keys)
    os.setpriority(os.PRIO_PROCESS, 0, 10)  # this process, and the commands it runs, are not of the fleet
    try:
        spans = []
        for version in range(2, n_versions + 1):
            readers.phase(STEADY, version - 2)
            rest(daemon, version, steady_s)
            server.stand_back(BACK if version % 2 else 0)
            spans.append(fetch_once(readers, fkv, daemon, version, FETCH_ALONE if version % 2 else FETCH))
            fkv("activate", f"big={version}", "--reason", "bench")
            rest(daemon, version, SWITCH_SECONDS)
    finally:
        outcome = readers.end()
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        server.stand_back(0)
    daemon.stop()
    add(report, outcome, spans, n_keys, n_versions)
    return outcome["timeline"]


def add(report, outcome, spans, n_keys, n_versions):
    rows = []
    phases = outcome["phases"]
    for name, phase in zip(PHASES, phases):
        cell = phase["all"]
        rounds = [r for r in phase["rounds"] if r["batches"] >= 100]
        rows.append([name, cell["batches"], cell["p50_us"], cell["p99_us"], cell["p999_us"], cell["max_us"]])
        for quantile in ("p50", "p99"):
            values = [r[f"{quantile}_us"] for r in rounds] or cell[f"{quantile}_us"]
            report.figure(f"lookups, {name}: {quantile}", "us", values)
    report.table(f"{BATCH:,} keys a batch, {RATE} batches a second, counted from when each was due, us",
                 ["", "batches", "p50", "p99", "p99.9", "max"], rows)
    fetch_s, load_s = (bench.median([span[i] for span in spans]) for i in (0, 1))
    report.note(f"Lookups: {CLIENTS} clients, {n_keys:,} keys of 64 B, {n_versions - 1} versions, each fetched over NFSv4 at "
                f"the default limit in {fetch_s:.1f} s and loaded in {load_s:.1f} s by the daemon that answers. The NFS "
                f"server runs on the same {os.cpu_count()} CPUs; every other time it stands back (nice {BACK}), as near as "
                f"one machine comes to a server on another host. {outcome['failed']} of {outcome['batches']:,} batches "
                f"failed, {outcome['mixed']} were mixed.")
    steady = phases[STEADY]["all"]["p99_us"]
    for phase, name in ((FETCH_ALONE, "fetched"), (FETCH, "fetched, its server on the same CPUs"), (LOAD, "loaded")):
        ratio = phases[phase]["all"]["p99_us"] / steady
        report.at_most(f"p99 of lookups while a version is {name}, times steady", ratio, 1.5)
    report.at_most("failed or mixed batches", outcome["failed"] + outcome["mixed"], 0)
