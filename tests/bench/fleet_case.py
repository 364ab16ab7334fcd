# SPDX-License-Identifier: Apache-2.0
"""A fleet on one NFS store: how closely nodes switch, how fast they roll back, what polls cost, lookups while fetching."""

import os
import subprocess
import time

import bench
import busy_lookups
import flips
import nfs_server
import polls

NODES = 8


def fkv_on(url):
    """Runs fkv on a store. What it says goes nowhere unless it fails."""
    env = dict(os.environ, FKV_STORE=url)

    def fkv(*args):
        return bench.run(bench.FKV, *args, env=env, stderr=subprocess.DEVNULL)
    return fkv


def generate(store_dir, table, n_keys, n_versions):
    for stamp in range(1, n_versions + 1):
        bench.run(bench.program("bench_gen"), store_dir, table, n_keys, stamp)


# --- Switches and rollbacks ---


def start_fleet(place, url, name):
    daemons = [place.daemon(f"{name}-node{i + 1}", url) for i in range(NODES)]
    for daemon in daemons:
        daemon.start(memory="1G")
    for daemon in daemons:
        daemon.wait_current("t", 2)
    flips.wait_loaded(daemons, "t", 1)
    return daemons


def switch_on(observer, fkv, daemons, n_switches):
    """To and fro between versions 1 and 2, both loaded everywhere; 2 is current at first and at the end."""
    made, told = [], []
    for i in range(n_switches):
        version = 1 if i % 2 == 0 else 2
        made.append(flips.flip(observer, fkv, version, "activate", f"t={version}", "--reason", "bench"))
        told.append(flips.told_skew_ms(daemons, "t"))
    return made, told


def roll_back(observer, fkv, daemons, n_rollbacks):
    """From 2 to 1, over and over; going forward again is not counted."""
    made = []
    for _ in range(n_rollbacks):
        flips.wait_loaded(daemons, "t", 1)
        made.append(flips.flip(observer, fkv, 1, "rollback", "t", "--reason", "bench"))
        fkv("quarantine", "t", "2", "--release")
        fkv("activate", "t=2", "--reason", "bench")
        flips.wait_loaded(daemons, "t", 2)
        for daemon in daemons:
            daemon.wait_current("t", 2)
    return made


def measure_switches(report, place, server, quick):
    n_switches, n_rollbacks = (8, 4) if quick else (80, 30)
    outcome, rows = {}, []
    for version, n_switches, n_rollbacks in ((4, n_switches, n_rollbacks), (3, n_switches // 4, n_rollbacks // 4)):
        name = f"NFSv{version}"
        store = f"fleet{version}"
        fkv = fkv_on(server.url(version, store))
        bench.say(f"{NODES} daemons on one store, {name}")
        daemons = start_fleet(place, server.url(version, store), name)
        with flips.Observer(daemons, "t") as observer:
            bench.say(f"{n_switches} switches, {n_rollbacks} rollbacks")
            switches, told = switch_on(observer, fkv, daemons, n_switches)
            rollbacks = roll_back(observer, fkv, daemons, n_rollbacks)
        for daemon in daemons:
            daemon.stop()
        add_switches(report, name, switches, rollbacks, told, rows)
        outcome[name] = ([flip.skew_ms for flip in switches + rollbacks], [flip.last_s for flip in rollbacks])
    report.table(f"Switches of {NODES} daemons, seen from outside", ["", "", "n", "p50", "p99", "max"], rows)
    skews, times = outcome["NFSv4"]
    report.at_most("skew of a switch over NFSv4, first to last node, p99, ms", flips.quantile(skews, 0.99), 50)
    report.at_most("rollback over NFSv4, from the command's start to the last node, slowest, s", max(times), 1)
    return outcome


def add_switches(report, name, switches, rollbacks, told, rows):
    both = switches + rollbacks
    for what, unit, values in (
            ("skew, first to last node", "ms", [flip.skew_ms for flip in both]),
            ("skew, each daemon by its own reckoning of the store's clock", "ms", told),
            ("resolution of the observer", "ms", [width for flip in both for width in flip.resolution_ms]),
            ("rollback, until the last node switched", "s", [flip.last_s for flip in rollbacks]),
            ("rollback, until the command returned", "s", [flip.command_s for flip in rollbacks])):
        for quantile, value in zip(("p50", "p99", "max"), flips.spread(values)):
            report.figure(f"{name}: {what}, {quantile}", unit, value)
        rows.append([f"{name}: {what}", unit, len(values), *flips.spread(values)])


# --- Following the manifest ---


def measure_polls(report, place, server, quick):
    """Daemons that only poll: few and many tables, short and long logs. Each at two rates, so that the rest cancels out."""
    seconds = 5 if quick else 15  # a heartbeat comes every 5
    rows, idle_rows, daemons, paces = [], [], [], (50, 250)
    for n_tables, n_records in CORNERS:
        url = server.url(4, f"poll-{n_tables}-{n_records}")
        daemons += [place.daemon(f"poll-{n_tables}-{n_records}-{pace}", url, poll_ms=pace) for pace in paces]
    bench.say(f"{len(daemons)} daemons that poll")
    for daemon in daemons:
        daemon.start(memory="1G")
    for daemon, (n_tables, _) in zip(daemons, [corner for corner in CORNERS for _ in paces]):
        daemon.wait_current(f"t{n_tables - 1:03}", 1)
    time.sleep(2)
    before = [daemon.metric("fkv_store_requests_total") for daemon in daemons]
    counted = polls.traffic(daemons, server.port, seconds)
    requests = [daemon.metric("fkv_store_requests_total") - n for daemon, n in zip(daemons, before)]
    for daemon in daemons:
        daemon.stop()
    n_polls = seconds * 1000 / paces[0] - seconds * 1000 / paces[1]
    for i, (n_tables, n_records) in enumerate(CORNERS):
        fast, slow = counted[2 * i], counted[2 * i + 1]
        exact = fold(server.url(4, f"poll-{n_tables}-{n_records}"), 0, 200)["polls"]
        cells = ["-"] * 3
        if fast and slow:
            cells = [(a - b) / n_polls for a, b in zip(fast, slow)]
        name = f"{n_tables:,} table{'s' if n_tables > 1 else ''}, {n_records:,} records"
        report.figure(f"a poll of {name}: requests", "", exact["requests"] / exact["n"])
        rows.append([name, exact["requests"] / exact["n"], exact["us"], *cells])
        idle_rows.append([name, requests[2 * i + 1] / seconds, *([n / seconds for n in slow[1:]] if slow else ["-"] * 2)])
    report.table("A poll of the manifest with nothing new, NFSv4",
                 ["", "requests", "us", "segments sent by fkvd", "bytes sent", "bytes received"], rows)
    report.table("All that an idle node asks of the store at the default poll, heartbeats included, a second",
                 ["", "requests", "bytes sent", "bytes received"], idle_rows)
    report.at_most("requests of a poll, whatever the number of tables and records", max(row[1] for row in rows), 1)


CORNERS = ((1, 10), (1, 10_000), (200, 10), (200, 10_000))


def fold(url, n_rounds, n_polls=0):
    return bench.run_json(bench.program("bench_fold"), url, n_rounds, n_polls)


def measure_fold(report, server, n_records, rounds):
    bench.say(f"folding a log of {n_records:,} records")
    rows = []
    for name, url in (("directory", server.export + "/long"), ("NFSv3", server.url(3, "long")),
                      ("NFSv4", server.url(4, "long"))):
        opens = fold(url, rounds)["opens"]
        assert all(entry["seq"] == n_records for entry in opens), opens
        times = [entry["connect_ms"] + entry["fold_ms"] for entry in opens]
        report.figure(f"opening a log of {n_records:,} records, {name}", "ms", times)
        rows.append([name, bench.median(times), min(times), max(times), bench.median([e["requests"] for e in opens])])
        report.at_most(f"opening a log of {n_records:,} records, {name}, median, ms", bench.median(times), 100)
    report.table(f"Opening a log of {n_records:,} records, {n_records % 100} of them after the snapshot, connecting included, ms",
                 ["", "median", "min", "max", "requests"], rows)


# --- The case ---


def prepare(place, quick):
    """Everything that is written behind the server's back, before it starts."""
    bench.say("building tables and logs")
    for version in (3, 4):
        store = place.path("export", f"fleet{version}")
        os.makedirs(store)
        fkv = fkv_on(store)
        fkv("init")
        generate(store, "t", 200_000, 2)
        for stamp in (1, 2):
            fkv("publish", f"t=gen-{stamp:08d}", "--max-change", "0")
    seed = polls.make_version(place, "seed", 1000)
    for n_tables, n_records in CORNERS:
        polls.make_store(place, f"poll-{n_tables}-{n_records}", n_records, n_tables, seed)
    store = place.path("export", "lookups")
    os.makedirs(store)
    fkv = fkv_on(store)
    fkv("init")
    busy_lookups.prepare(store, fkv, quick)


def fleet(quick):
    n_long = 5_099 if quick else 100_099
    report = bench.Report("fleet", quick)
    with bench.Place() as place:
        prepare(place, quick)
        polls.make_store(place, "long", n_long, 50)
        with nfs_server.Server(place.path("nfs"), place.path("export")) as server:
            outcome = measure_switches(report, place, server, quick)
            measure_polls(report, place, server, quick)
            measure_fold(report, server, n_long, 5 if quick else 15)
            url = server.url(4, "lookups")
            timeline = busy_lookups.measure(report, place, server, url, fkv_on(url), quick)
    report.note(f"{nfs_server.about()}, {NODES} daemons, the server and the observer on {os.cpu_count()} CPUs. Skew: from the "
                "last moment at which no node can have switched to the first at which all had; the observer looks at each "
                "node once a millisecond. Segments and bytes of a poll are the kernel's count of daemons polling every 50 ms, "
                "less that of daemons polling every 250 ms.")
    report.finish(draw(outcome, timeline), height=720)


def shares(values):
    return [(value, (i + 1) / len(values) * 100) for i, value in enumerate(sorted(values))]


def shaded(timeline):
    """gnuplot boxes behind the times at which a version was fetched or loaded."""
    boxes, begin, busy = [], None, (busy_lookups.FETCH, busy_lookups.FETCH_ALONE, busy_lookups.LOAD)
    for tick in timeline + [{"s": timeline[-1]["s"], "phase": busy_lookups.STEADY}]:
        if tick["phase"] not in busy and begin is not None:
            boxes.append(f"set object rectangle from {begin}, graph 0 to {tick['s']}, graph 1 behind "
                         "fc rgb '#e8eef6' fs noborder")
            begin = None
        elif tick["phase"] in busy and begin is None:
            begin = tick["s"]
    return "\n".join(boxes)


def draw(outcome, timeline):
    skews, times = outcome["NFSv4"]
    rows = [(t["s"], t["p50_us"] / 1e6, t["p99_us"] / 1e6, t["max_us"] / 1e6) for t in timeline]
    return bench.block("skew", shares(skews)) + bench.block("back", shares(times)) + bench.block("t", rows) + f"""
set multiplot
set size 0.5,0.5
set origin 0,0.5
set title 'Switches of {NODES} nodes: first to last' font ',15'
set xlabel 'ms'
set ylabel '% of switches'
set xrange [0:*]
set yrange [0:100]
plot $skew using 1:2 with steps ls 1 notitle
set origin 0.5,0.5
set title 'Rollbacks: from the command to the last node' font ',15'
set xlabel 's'
plot $back using 1:2 with steps ls 2 notitle
set size 1,0.5
set origin 0,0
set title 'Lookups while versions are fetched and loaded (shaded)' font ',15'
{shaded(timeline)}
set lmargin 11
set xlabel 'seconds'
set ylabel 'latency of a batch'
set xrange [0:{rows[-1][0]}]
set logscale y
set format y '%.0s %cs'
set yrange [1e-4:*]
set key outside top right horizontal
plot $t using 1:4 with lines lc rgb '#aaaaaa' lw 1 title 'slowest in 100 ms', \\
     $t using 1:3 with lines ls 2 title 'p99', $t using 1:2 with lines ls 1 title 'p50'
unset multiplot
"""


if __name__ == "__main__":
    bench.main(fleet)
