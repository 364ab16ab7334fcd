# SPDX-License-Identifier: Apache-2.0
"""Readers at full load while versions are published and switched: nothing fails, nothing mixes, latency stays."""

import json
import os
import subprocess
import sys
import time

import bench

BATCH, CLIENTS = 3900, 2


def publish_all(fleet, n_versions, phase, between_s):
    """Versions 2 and up; the file `phase` is there while one is under way."""
    for version in range(2, n_versions + 1):
        with open(phase, "wb"):
            pass
        fleet.fkv("publish", f"t=gen-{version:08d}", "--max-change", "0", "--reason", "bench")
        fleet.wait_current("t", version)
        os.remove(phase)
        time.sleep(between_s)


def flip(fleet, n_versions, n_flips):
    """To and fro between the last two versions, which are loaded."""
    bench.say("flipping between loaded versions")
    for i in range(n_flips):
        fleet.fkv("activate", f"t={n_versions - (i + 1) % 2}", "--reason", "bench")
        time.sleep(0.8)


def switch(quick):
    n_keys = 1_000_000 if quick else 5_000_000
    n_versions = 5 if quick else 8
    n_flips = 6 if quick else 20
    steady_s, between_s = (4, 1.5) if quick else (10, 3)
    report = bench.Report("switch", quick)
    with bench.Fleet() as fleet:
        bench.say(f"building {n_versions} versions of {n_keys:,} keys")
        for stamp in range(1, n_versions + 1):
            fleet.generate("t", n_keys, stamp)
        fleet.fkv("publish", "t=gen-00000001")
        fleet.start()
        fleet.wait_current("t", 1)
        phase, stop = (os.path.join(fleet.dir, name) for name in ("phase", "stop"))
        bench.say(f"{CLIENTS} readers, {BATCH} keys a batch")
        with subprocess.Popen([bench.program("bench_switch"), fleet.table_dir("t"), str(n_keys), str(BATCH),
                               str(CLIENTS), phase, stop], stdout=subprocess.PIPE, text=True) as readers:
            try:
                time.sleep(steady_s)
                publish_all(fleet, n_versions, phase, between_s)
                flip(fleet, n_versions, n_flips)
                time.sleep(steady_s / 2)
            finally:
                with open(stop, "wb"):
                    pass
            text = readers.communicate()[0]
            if readers.returncode:
                sys.exit("bench_switch failed")
    outcome = json.loads(text)
    rows = []
    for phase_name, what in (("steady", "steady"), ("prepare", "a version being published and loaded"),
                             ("switch", "250 ms before and after a switch")):
        cell = outcome[phase_name]
        rows.append([what, cell["batches"], cell["p50_us"], cell["p99_us"], cell["p999_us"], cell["max_us"]])
        for quantile in ("p50", "p99", "p999", "max"):
            report.figure(f"{what}: {quantile.replace('p999', 'p99.9')}", "us", cell[f"{quantile}_us"])
    for name in ("batches", "switches", "failed", "mixed"):
        report.figure(name, "", outcome[name])
    report.table("Latency of a batch", ["", "batches", "p50 us", "p99 us", "p99.9 us", "max us"], rows)
    report.note(f"{outcome['batches']:,} batches, {outcome['switches']} switches: {outcome['failed']} failed, "
                f"{outcome['mixed']} mixed.")
    report.note(f"{CLIENTS} clients in a closed loop, {BATCH} keys a batch, {n_keys:,} keys of 64 B; {n_versions - 1} "
                f"versions published and loaded on the same {os.cpu_count()} CPUs, then {n_flips} switches between "
                "loaded ones.")
    report.at_most("failed batches", outcome["failed"], 0)
    report.at_most("mixed batches", outcome["mixed"], 0)
    ratio = outcome["switch"]["p999_us"] / outcome["steady"]["p999_us"]
    report.at_most("p99.9 around a switch, times steady", ratio, 2)
    report.finish(draw(outcome["timeline"]))


def draw(timeline):
    rows = [(t["s"], t["batches"] * BATCH / 0.1 / 1e6, t["p50_us"] / 1e6, t["p99_us"] / 1e6, t["max_us"] / 1e6)
            for t in timeline]
    switches = [b["s"] for a, b in zip(timeline, timeline[1:]) if a["version"] != b["version"]]
    arrows = "\n".join(f"set arrow from {s}, graph 0 to {s}, graph 1 nohead lc rgb '#e0b0b0' lw 1 back"
                       for s in switches)
    return bench.block("t", rows) + f"""
set multiplot layout 2,1 title 'Two readers at full load; each vertical line is a switch of version' font ',15'
set xrange [0:{rows[-1][0]}]
set lmargin 11
{arrows}
set ylabel 'M keys/s'
set yrange [0:*]
plot $t using 1:2 with lines ls 1 notitle
set ylabel 'latency of a batch'
set xlabel 'seconds'
set logscale y
set format y '%.0s %cs'
set yrange [1e-5:*]
set key outside top right horizontal
plot $t using 1:5 with lines lc rgb '#cccccc' lw 1 title 'slowest in 100 ms', \\
     $t using 1:4 with lines ls 2 title 'p99', $t using 1:3 with lines ls 1 title 'p50'
unset multiplot
"""


bench.main(switch)
