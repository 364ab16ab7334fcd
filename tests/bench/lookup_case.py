# SPDX-License-Identifier: Apache-2.0
"""Lookups: in process against the machine's limit, through the mount against in process, and beside other stores."""

import json
import os

import bench

SIZES = (1, 100, 1000, 3900, 16384)
BATCH = 3900  # the batch of the targets
FEATUREKV_M = 28  # M keys/s of FeatureKV's batch get with 16 threads in process, as published


def lookup(quick):
    n_big = 2_000_000 if quick else 50_000_000
    n_peers = 500_000 if quick else 10_000_000
    report = bench.Report("lookup", quick)
    measure_core(report, quick)
    with bench.Fleet() as fleet:
        bench.say(f"building tables of {n_big:,} and {n_peers:,} keys of 64 B")
        for table, n_keys in (("big", n_big), ("peers", n_peers)):
            fleet.generate(table, n_keys)
            fleet.fkv("publish", table)
        fleet.start()
        for table in ("big", "peers"):
            fleet.wait_current(table)
        curves = measure_mount(report, fleet, n_big, quick)
        peers = measure_peers(report, fleet, n_peers, quick)
    report.note(f"Tables of {n_big:,} (mount) and {n_peers:,} (peers) u64 keys with 64 B values, uniform random hits. A "
                "client draws keys, looks up, reads every value and compares it with its key; the rate counts all of it, "
                "latency is that of the lookup call. Mount and process alternate in one run; shares are medians of each "
                "round's.")
    report.finish(draw(curves, peers))


# --- In process, against raw copies ---


def measure_core(report, quick):
    path = os.path.join(bench.OUT, "core.json")
    rows = []
    for case in ("u64-64", "u64-400"):
        bench.say(f"in process: {case}")
        bench.run(bench.program("bench_lookup_core"), "--case", case, "--json", path, *(["--quick"] if quick else []))
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        os.remove(path)
        for cell in document["cases"]:
            for name, what in (("limit", "raw copy limit"), ("fkv", "fkv"), ("ratio", "share of the limit")):
                figure = cell[name]
                report.figures.append({"name": f"in process, {cell['what']}: {what}", "unit": figure["unit"],
                                       "min": figure["min"], "median": figure["median"], "max": figure["max"]})
            rows.append([f"{cell['keys']:,} {cell['what']}", cell["fkv"]["median"], cell["limit"]["median"],
                         cell["ratio"]["median"]])
        report.targets += [dict(target, relation=">=") for target in document["targets"]]
    report.table(f"In process, one core, {BATCH:,} keys a batch, M keys/s", ["", "fkv", "raw copies", "share"], rows)


# --- Through the mount, against in process ---


def run_mount(fleet, n_keys, quick, sizes=SIZES, **options):
    words = [f"--{name}={value}" if value is not True else f"--{name}" for name, value in options.items()]
    return bench.run_json(bench.program("bench_mount"), "--table", fleet.table_dir("big"),
                          "--files", fleet.files_dir("big"), "--keys", n_keys,
                          "--sizes", ",".join(map(str, sizes)), "--rounds", 3 if quick else 7,
                          "--seconds", 0.1 if quick else 0.3, *words)["cells"]


MOUNT_COLUMNS = ["", "keys", "process", "mount", "share", "p50 us", "p99 us", "p99.9 us"]


def report_cells(report, what, cells, rows):
    """Rates, latencies and shares; returns {batch size: share of in process}."""
    by = {(cell["way"], cell["batch"]): cell for cell in cells}
    shares = {}
    for size in sorted({cell["batch"] for cell in cells}):
        process, mount = by["process", size], by["mount", size]
        each = [m / p for m, p in zip(mount["rounds"], process["rounds"])]
        shares[size] = bench.median(each)
        name = f"{what}, {size:,} keys a batch"
        report.figure(f"{name}: in process", "M keys/s", process["rounds"])
        report.figure(f"{name}: through the mount", "M keys/s", mount["rounds"])
        report.figure(f"{name}: share of in process", "", each)
        for quantile in ("p50", "p99", "p999"):
            report.figure(f"{name}: mount {quantile.replace('p999', 'p99.9')}", "us", mount[f"{quantile}_us"])
        rows.append([what, size, bench.median(process["rounds"]), bench.median(mount["rounds"]), shares[size],
                     mount["p50_us"], mount["p99_us"], mount["p999_us"]])
    return shares


def measure_mount(report, fleet, n_keys, quick):
    everywhere = set(range(os.cpu_count()))
    curves, rows = {}, []
    bench.say("through the mount: no pinning")
    curves["free"] = run_mount(fleet, n_keys, quick)
    free = report_cells(report, "no pinning", curves["free"], rows)
    bench.say("through the mount: client and daemon on one core")
    fleet.pin({0})
    curves["same"] = run_mount(fleet, n_keys, quick, cpu=0)
    same = report_cells(report, "same core", curves["same"], rows)
    fleet.pin(everywhere)
    bench.say("through the mount: two clients")
    curves["two"] = run_mount(fleet, n_keys, quick, clients=2)
    report_cells(report, "two clients", curves["two"], rows)
    bench.say("through the mount: write and read")
    message = run_mount(fleet, n_keys, quick, sizes=(BATCH,), message=True)
    report_cells(report, "by write and read", message, rows)
    report.table(f"Through the mount, {n_keys:,} keys, M keys/s, latency of the lookup call", MOUNT_COLUMNS, rows)
    rate = next(c for c in curves["free"] if c["way"] == "mount" and c["batch"] == BATCH)
    report.at_least(f"through the mount, same core, {BATCH} keys: share of in process", same[BATCH], 0.8)
    report.at_least(f"through the mount, no pinning, {BATCH} keys: share of in process", free[BATCH], 0.65)
    report.at_least(f"through the mount, no pinning, {BATCH} keys, one client: M keys/s", bench.median(rate["rounds"]),
                    FEATUREKV_M)
    return curves


# --- Beside other stores ---

PACKAGES = {"RocksDB": "librocksdb7.8", "LMDB": "liblmdb0", "Redis": "redis-server"}


def measure_peers(report, fleet, n_keys, quick):
    bench.say("peers: loading")
    document = bench.run_json(bench.program("bench_peers"), "--table", fleet.table_dir("peers"), "--scratch", fleet.dir,
                              "--keys", n_keys, "--batch", BATCH, "--rounds", 3 if quick else 7,
                              "--seconds", 0.2 if quick else 0.5)
    peers = document["peers"]
    rows, settings = [], []
    for peer in peers:
        package = next((p for name, p in PACKAGES.items() if peer["name"].startswith(name)), None)
        peer["version"] = bench.package_version(package) if package else peer["version"]
        report.figure(f"{peer['name']}: {BATCH:,} keys a batch", "M keys/s", peer["rounds"])
        report.figure(f"{peer['name']}: p99", "us", peer["p99_us"])
        rows.append([f"{peer['name']} {peer['version']}", bench.median(peer["rounds"]), peer["p50_us"], peer["p99_us"]])
        settings.append(f"{peer['name']}: {peer['settings']}.")
    report.table(f"Same {n_keys:,} keys, values and batches of {BATCH:,}, one client",
                 ["", "M keys/s", "p50 us", "p99 us"], rows)
    report.note(" ".join(settings))
    ours, others = peers[0], peers[1:]
    each = [mine / max(peer["rounds"][i] for peer in others) for i, mine in enumerate(ours["rounds"])]
    report.figure("through the mount, times the best peer", "", each)
    report.at_least("through the mount, times the best peer", bench.median(each), 10)
    return peers


# --- The plot ---


def draw(curves, peers):
    script = ""
    for name, cells in curves.items():
        for way in ("mount", "process"):
            script += bench.block(f"{name}_{way}", [
                (c["batch"], bench.median(c["rounds"]), c["p50_us"] / 1e6, c["p99_us"] / 1e6, c["p999_us"] / 1e6)
                for c in cells if c["way"] == way])
    bars = [(i, bench.median(p["rounds"]), f'"{short(p["name"])}"') for i, p in enumerate(reversed(peers))]
    script += bench.block("peers", bars)
    return script + f"""
set multiplot layout 1,3
set title 'Rate by keys a batch'
set logscale xy
set format x '%.0s%c'
set xlabel 'keys a batch'
set ylabel 'M keys/s'
set xrange [1:30000]
set key bottom right
plot $free_process using 1:2 with linespoints ls 5 pt 6 ps 0.7 title 'in process', \\
     $two_mount using 1:2 with linespoints ls 3 title 'mount, two clients', \\
     $same_mount using 1:2 with linespoints ls 2 title 'mount, same core', \\
     $free_mount using 1:2 with linespoints ls 1 title 'mount, no pinning'
set title 'Latency of a batch through the mount'
set ylabel ''
set format y '%.0s %cs'
set key bottom right
set yrange [1e-6:*]
plot $free_mount using 1:5 with linespoints ls 4 title 'p99.9', \\
     $free_mount using 1:4 with linespoints ls 2 title 'p99', \\
     $free_mount using 1:3 with linespoints ls 1 title 'p50'
unset logscale
set logscale x
set title 'Beside others, {BATCH:,} keys a batch'
set format x '%g'
set format y
set xlabel 'M keys/s, one client'
set grid noytics x
set border 1
set style fill solid 0.85 noborder
set yrange [-0.6:{len(bars) - 0.4}]
set xrange [0.02:{max(b[1] for b in bars) * 6:.3g}]
unset key
plot $peers using (0.02):1:(0.02):2:($1-0.32):($1+0.32):($1=={len(bars) - 1} ? 0x1f5fa8 : 0xb0b7c0):ytic(3) \\
         with boxxyerror lc rgb variable, \\
     $peers using 2:1:(sprintf(' %.2g', $2)) with labels left offset 0.3,0
unset multiplot
"""


def short(name):
    return (name.replace(" MultiGet, block-based", ", blocks").replace(" MultiGet, cuckoo table", ", cuckoo")
            .replace("fkv, through the mount", "fkv mount").replace(" MGET", ""))


bench.main(lookup)
