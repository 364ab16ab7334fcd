# SPDX-License-Identifier: Apache-2.0
"""Tables on disk: reads by batches against fio's and RocksDB's, skewed and absent keys, latency, memory, kinds side by side."""

import os

import bench
import ssd_tools as tools
from ssd_tools import BATCH, VALUE_LEN, Cell, measure

SEVERAL = 4  # clients that keep every disk thread busy
SIZES = (1, 100, 1000, 3900)
PACED = (100, 1000, 3900)
CACHE_SHARE = 10  # the table is so many times the block cache


class Scale:
    """Sizes and times of a run."""

    def __init__(self, quick):
        self.blk, self.idx, self.text, self.small = (
            (1_900_000, 1_000_000, 500_000, 300_000) if quick else (29_500_000, 10_000_000, 4_000_000, 2_000_000))
        self.rounds = 2 if quick else 5
        self.seconds = 1 if quick else 4
        self.short_s = 0.3 if quick else 1
        self.paced_s = 1 if quick else 5
        self.warm_s = 2 if quick else 10
        self.memory_mib = 40 if quick else 384


class Disk(bench.Fleet):
    """The big tables, and the daemon that serves them in a memory budget far below their size."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.tables = {"blk": (scale.blk, "blk", ()), "idx": (scale.idx, "idx", ()),
                       "blk_text": (scale.text, "blk", ("--text-keys",)),
                       "idx_text": (scale.text, "idx", ("--text-keys",))}
        self.made = {}

    def build(self):
        for table, (n_keys, kind, options) in self.tables.items():
            bench.run_json(bench.program("bench_gen"), self.store, table, n_keys, 1, f"--kind={kind}",
                           f"--value-len={VALUE_LEN}", *options)
            self.fkv("publish", table)
            self.made[table] = bench.run_json(bench.program("bench_ssd"), "--files", self.files_dir(table), "--describe")

    def serve(self, cache_mib, *options):
        """(Re)starts the daemon with a block cache; its part files stay."""
        self.node.stop()
        self.node.start(f"{self.scale.memory_mib}M", ("--block-cache", f"{cache_mib}M", *options))
        for table in self.tables:
            self.wait_current(table)

    def cached_files(self, table):
        """The part files that its lookups read."""
        names = os.listdir(os.path.join(self.files_dir(table), "parts"))
        digests = {name.split("-")[2].split(".")[0] for name in names}  # the first 16 of their digits
        parts = os.path.join(self.node.cache, "parts")
        found = [os.path.join(parts, name) for name in sorted(os.listdir(parts)) if name[:16] in digests]
        assert len(found) == len(names)
        return found

    def cache_mib(self):
        return max(1, self.made["blk"]["bytes"] // CACHE_SHARE >> 20)

    def client(self, table, draw="uniform", clients=1, through_mount=True, **options):
        n_keys, _, words = self.tables[table]
        if words:
            options["text_keys"] = True
        if not through_mount:
            options["files"] = self.files_dir(table)
        return tools.client(through_mount and self.table_dir(table), n_keys, draw, clients, **options)


def ssd(quick):
    scale = Scale(quick)
    report = bench.Report("ssd", quick)
    with Disk(scale) as disk:
        bench.say(f"building {scale.blk:,} keys of {VALUE_LEN} B as blk, {scale.idx:,} as idx")
        disk.build()
        bench.say("starting fkvd, which fetches them")
        disk.serve(0)
        uniform = measure_uniform(report, disk)
        measure_absent(report, disk)
        latency = measure_latency(report, disk, uniform["several"])
        skewed = measure_skewed(report, disk)
        report_memory(report, disk)
    kinds = measure_kinds(report, scale)
    report.note(f"{scale.blk:,} u64 keys with {VALUE_LEN} B values that do not compress, in {disk.made['blk']['bytes'] / 2**30:.2f} GiB of "
                f"blk parts, served by a daemon with --memory {scale.memory_mib}M. {BATCH:,} keys a batch, {tools.DEPTH} reads in flight a "
                "thread, two disk threads. Keys are drawn beforehand and each value is compared with its key. CPU is user and system time, of "
                "daemon and client together. What is compared took turns, each on the same disk; no more than one at a time.")
    report.finish(draw(uniform, latency, skewed, kinds), height=900)


# --- Uniform keys, beside fio and RocksDB ---


def measure_uniform(report, disk):
    scale, files = disk.scale, disk.cached_files("blk")
    cells = {"one": Cell("fkv blk, one client"), "several": Cell(f"fkv blk, {SEVERAL} clients"),
             "idx": Cell("fkv idx, one client")}
    fios = {"one": tools.Fio("fio, one job", 1), "several": tools.Fio("fio, two jobs", 2),
            "tuned": tools.Fio("fio, one job, registered buffers and file", 1, ("--fixedbufs", "--registerfiles"))}
    with tools.Workers() as workers:
        bench.say("RocksDB: loading")
        rocks = tools.Rocks(workers, disk.path("rocksdb"), scale.blk, 0)
        one = workers.add(disk.client("blk", clients=SEVERAL))
        idx = workers.add(disk.client("idx"))
        for i in range(scale.rounds):
            bench.say(f"uniform keys, round {i + 1}")
            fios["one"].run(files, scale.seconds)
            measure(cells["one"], disk.node, one, scale.seconds)
            rocks.run(scale.seconds)
            fios["several"].run(files, scale.seconds)
            measure(cells["several"], disk.node, one, scale.seconds, clients=SEVERAL)
            fios["tuned"].run(files, scale.seconds)
            measure(cells["idx"], disk.node, idx, scale.seconds)
    memory = tools.anonymous_mib(disk.node.process.pid)
    report_uniform(report, cells, fios, rocks, disk, memory)
    return {**cells, "rocks": rocks, "fio": fios["one"]}


def report_uniform(report, cells, fios, rocks, disk, memory):
    rows = []
    named = [(f.name, f.rates, f.rates, f.cpu_us) for f in fios.values()]
    named += [(f"{c.name}, through the mount", c.reads, c.rates, c.cpu_us) for c in cells.values()]
    named.append((f"RocksDB {rocks.version} MultiGet, one thread", rocks.rates, rocks.rates, rocks.cpu_us))
    for name, reads, keys, cpu in named:
        report.figure(f"{name}: reads", "reads/s", reads)
        report.figure(f"{name}: keys", "keys/s", keys)
        report.figure(f"{name}: CPU", "us a key", cpu)
        rows.append([name, bench.median(reads), f"{min(reads):,.0f} to {max(reads):,.0f}", bench.median(keys), bench.median(cpu),
                     f"{min(cpu):.3g} to {max(cpu):.3g}"])
    report.table("Uniform keys, no block cache", ["", "reads/s", "min to max", "keys/s", "CPU us", "min to max"], rows)
    for key, what in (("one", "one client, one job"), ("several", f"{SEVERAL} clients, two jobs")):
        ours, theirs = cells[key], fios[key]
        report.at_least(f"reads/s through the mount, of fio's: {what}", ratio(ours.reads, theirs.rates), 0.95)
        report.at_most(f"CPU a key, daemon and client, times fio's a read: {what}", ratio(ours.cpu_us, theirs.cpu_us), 1.3)
    report.at_least("keys/s of one client, times RocksDB's", ratio(cells["one"].rates, rocks.rates), 5)
    daemon = bench.median(cells["one"].daemon_us)
    report.note(f"Of the CPU of a key of one client, {daemon:.3g} us are the daemon's. Its anonymous memory was {memory:.0f} MiB. fio: io_uring, "
                f"O_DIRECT, 4 KiB, depth {tools.DEPTH} a job, on the part files that the lookups read. RocksDB: one table file of the same "
                "keys and values with 4 KiB blocks, no compression, ribbon filter, index and filter in memory, checksums compared, direct reads, no "
                f"block cache, sorted batches of {BATCH:,}; Debian's build has no io_uring, so it reads a block after the other.")


def ratio(ours, theirs):
    return bench.median([a / b for a, b in zip(ours, theirs)])


# --- Absent keys ---


def measure_absent(report, disk):
    cells, rows = {}, []
    with tools.Workers() as workers:
        clients = {(table, way): workers.add(disk.client(table, "absent", through_mount=way == "mount"))
                   for table in disk.tables for way in ("process", "mount")}
        for i in range(disk.scale.rounds):
            bench.say(f"absent keys, round {i + 1}")
            for key, worker in clients.items():
                cell = cells.setdefault(key, Cell(" ".join(key)))
                measure(cell, disk.node if key[1] == "mount" else None, worker, disk.scale.short_s)
    for table in disk.tables:
        n_keys, kind, words = disk.tables[table]
        name = f"{kind}{', filter' if kind == 'blk' else ''}, {'keys of 16 bytes' if words else 'u64 keys'}"
        core = {way: [1 / us for us in cells[table, way].cpu_us] for way in ("process", "mount")}
        wall = [rate / 1e6 for rate in cells[table, "process"].rates]
        for way, what in (("process", "in process"), ("mount", "through the mount")):
            report.figure(f"absent keys, {name}: {what}", "M keys a CPU second", core[way])
        rows.append([f"{n_keys:,} keys, {name}", bench.median(core["process"]), bench.median(wall), bench.median(core["mount"])])
        report.at_least(f"absent keys a second of a core, in process, millions: {name}", bench.median(core["process"]), 5)
    report.table(f"Absent keys, {BATCH:,} a batch, millions",
                 ["", "in process, a CPU second", "in process, a second of one thread", "through the mount, a CPU second"], rows)


# --- Latency ---


def measure_latency(report, disk, uniform):
    scale, half = disk.scale, bench.median(uniform.rates) / 2
    closed = {size: Cell(f"one client, {size:,} keys") for size in SIZES}
    paced = {size: Cell(f"half the rate, {size:,} keys") for size in PACED}
    with tools.Workers() as workers:
        worker = workers.add(disk.client("blk", clients=8, seed=7))
        for i in range(scale.rounds):
            bench.say(f"latency, round {i + 1}")
            for size, cell in closed.items():
                measure(cell, disk.node, worker, scale.short_s * (2 if size > 1000 else 1), batch=size)
            for size, cell in paced.items():
                measure(cell, disk.node, worker, scale.paced_s, batch=size, clients=8, rate=half / size)
    rows = []
    for what, cells in (("one client, one batch after the other", closed), (f"{half:,.0f} keys/s, from when each was due", paced)):
        for size, cell in cells.items():
            quantiles = [cell.quantile_ms(q) for q in (0.5, 0.99, 0.999)]
            for name, value in zip(("p50", "p99", "p99.9"), quantiles):
                report.figure(f"{cell.name}: {name}", "ms", value)
            rows.append([what, size, cell.n_batches, bench.median(cell.rates), *quantiles])
    report.table("Latency of a batch through the mount, uniform keys, no block cache, ms",
                 ["", "keys", "batches", "keys/s", "p50", "p99", "p99.9"], rows)
    return {"closed": closed, "paced": paced}


# --- Skewed keys ---


def measure_skewed(report, disk):
    """Zipf against uniform keys, with the daemon's default division of its cache and, where it can be told, blocks alone."""
    ways = {"default": ()}
    if "--cache-values" in bench.run(bench.FKVD, "--help"):
        ways["blocks alone"] = ("--cache-values", "0")
    rows, found = [], {}
    for way, options in ways.items():
        cells = measure_cache(disk, way, options)
        found.setdefault("default", cells)
        for (draw, n), cell in cells.items():
            report.figure(f"cache of a tenth, {way}, {cell.name}", "keys/s", cell.rates)
            report.figure(f"cache of a tenth, {way}, {cell.name}: reads", "% of keys", cell.read_pct)
            rows.append([way, cell.name, bench.median(cell.rates), f"{min(cell.rates):,.0f} to {max(cell.rates):,.0f}",
                         ratio(cell.rates, cells["uniform", n].rates), 100 - bench.median(cell.read_pct), bench.median(cell.cached_pct),
                         bench.median(cell.cpu_us)])
    report.table(f"Zipf(0.99) and uniform keys, --block-cache of a tenth of the table ({disk.cache_mib()} MiB)",
                 ["cache", "", "keys/s", "min to max", "times uniform", "% of keys without a read", "% from cached values", "CPU us a key"], rows)
    return found["default"]


def measure_cache(disk, way, options):
    scale = disk.scale
    disk.serve(disk.cache_mib(), *options)
    cells = {(draw, n): Cell(f"{draw}, {n} client{'s' if n > 1 else ''}") for n in (1, SEVERAL) for draw in ("uniform", "zipf")}
    with tools.Workers() as workers:
        clients = {draw: workers.add(disk.client("blk", draw, clients=SEVERAL, seed=3)) for draw in ("uniform", "zipf")}
        bench.say(f"Zipf keys: filling a cache of {disk.cache_mib()} MiB, {way}")
        measure(Cell("warm"), disk.node, clients["zipf"], scale.warm_s, clients=SEVERAL)
        for i in range(scale.rounds):
            bench.say(f"Zipf keys, {way}, round {i + 1}")
            for (draw, n), cell in cells.items():
                measure(cell, disk.node, clients[draw], scale.seconds / 2, clients=n)
    return cells


# --- Memory ---


def report_memory(report, disk):
    rows = []
    for table, made in disk.made.items():
        n_keys, kind, words = disk.tables[table]
        index = made["index_len"] + made["keys_len"] + made["places_len"]
        rows.append([f"{n_keys:,} keys, {kind}, {'keys of 16 bytes' if words else 'u64 keys'}", made["bytes"] / 2**20, made["blocks"],
                     index / made["blocks"], index / n_keys, made["filter_len"] / n_keys])
    report.table("Memory by what the parts hold", ["", "MiB on disk", "blocks", "index B a block", "index B a key", "filter B a key"], rows)
    blk, idx = disk.made["blk"], disk.made["idx"]
    bound = tools.set_bits(idx["keys"]) / 8
    report.at_most("blk: bytes of index a block", blk["index_len"] / blk["blocks"], 4)
    report.at_most("idx: keys and offsets, times the least that its set of keys takes", (idx["keys_len"] + idx["places_len"]) / bound, 1.3)
    report.note(f"{idx['keys']:,} random u64 keys take {8 * bound / idx['keys']:.2f} bits each at least (the logarithm of the number of such sets); "
                f"idx takes {8 * (idx['keys_len'] + idx['places_len']) / idx['keys']:.2f}. Offsets of values of one length take none.")


# --- Kinds side by side ---


def measure_kinds(report, scale):
    kinds = ("mem", "blk", "idx")
    cells, memory = {}, {}
    with bench.Fleet() as fleet:
        bench.say(f"{scale.small:,} keys as each kind")
        for kind in kinds:
            bench.run(bench.program("bench_gen"), fleet.store, kind, scale.small, 1, f"--kind={kind}", f"--value-len={VALUE_LEN}")
            fleet.fkv("publish", kind)
        for cache in ("0", "2G"):
            fleet.node.stop()
            fleet.node.start("2G", ("--block-cache", cache))
            for kind in kinds:
                fleet.wait_current(kind)
            measure_small(fleet, scale, [k for k in kinds if cache != "0" or k != "mem"], cache != "0", cells)
        memory = {kind: small_memory(fleet, kind) for kind in kinds}
    rows = []
    for (kind, is_warm), cell in sorted(cells.items(), key=lambda item: -bench.median(item[1].rates)):
        what = kind + ("" if kind == "mem" else ", all blocks in the block cache" if is_warm else ", no block cache")
        report.figure(f"table that fits memory: {what}", "keys/s", cell.rates)
        rows.append([what, bench.median(cell.rates), bench.median(cell.cpu_us), cell.quantile_ms(0.5), cell.quantile_ms(0.99),
                     memory[kind][0] / scale.small, memory[kind][1] / scale.small])
    report.table(f"{scale.small:,} u64 keys with {VALUE_LEN} B values as each kind, one client, {BATCH:,} keys a batch",
                 ["", "keys/s", "CPU us a key", "p50 ms", "p99 ms", "B a key in memory", "B a key on disk"], rows)
    return cells


def measure_small(fleet, scale, kinds, is_warm, cells):
    with tools.Workers() as workers:
        clients = {kind: workers.add(tools.client(fleet.table_dir(kind), scale.small)) for kind in kinds}
        for kind, worker in clients.items():
            measure(Cell("warm"), fleet.node, worker, scale.warm_s / 2 if is_warm and kind != "mem" else scale.short_s)
        for i in range(scale.rounds):
            bench.say(f"kinds side by side, round {i + 1}{', blocks cached' if is_warm else ''}")
            for kind, worker in clients.items():
                measure(cells.setdefault((kind, is_warm), Cell(kind)), fleet.node, worker, scale.short_s)


def small_memory(fleet, kind):
    """Bytes in memory without the block cache, and of part files."""
    parts = os.path.join(fleet.files_dir(kind), "parts")
    disk = sum(os.path.getsize(os.path.join(parts, name)) for name in os.listdir(parts))
    if kind == "mem":
        return disk, disk
    made = bench.run_json(bench.program("bench_ssd"), "--files", fleet.files_dir(kind), "--describe")
    return disk - 4096 * made["pages"], disk


# --- The plot ---


def draw(uniform, latency, skewed, kinds):
    bars = [("fio", uniform["fio"].rates), ("blk, one client", uniform["one"].rates), (f"blk, {SEVERAL} clients", uniform["several"].rates),
            ("idx, one client", uniform["idx"].rates), ("RocksDB", uniform["rocks"].rates)]
    bars += [(f"{name}, cache 10 %", cell.rates) for (name, n), cell in skewed.items() if n == SEVERAL]
    rows = [(i, bench.median(rates) / 1e3, f'"{name}"', min(rates) / 1e3, max(rates) / 1e3) for i, (name, rates) in enumerate(reversed(bars))]
    script = bench.block("rates", rows)
    for name, cells in latency.items():
        script += bench.block(name, [(size, *(cell.quantile_ms(q) / 1e3 for q in (0.5, 0.99, 0.999))) for size, cell in cells.items()])
    small = sorted(((bench.median(cell.rates) / 1e3, kind + ("" if kind == "mem" else ", cached" if is_warm else ", from disk"))
                    for (kind, is_warm), cell in kinds.items()))
    script += bench.block("kinds", [(i, rate, f'"{name}"') for i, (rate, name) in enumerate(small)])
    return script + f"""
set multiplot layout 2,2
set style fill solid 0.85 noborder
set title 'Uniform and Zipf(0.99) keys, {BATCH:,} a batch'
set xlabel 'thousand keys/s (min to max)'
set grid x noytics
set yrange [-0.6:{len(bars) - 0.4}]
set xrange [0:{max(row[4] for row in rows) * 1.2:.3g}]
unset key
plot $rates using (0):1:(0):2:($1-0.3):($1+0.3):ytic(3) with boxxyerror lc rgb '#1f5fa8', \\
     $rates using 2:1:4:5 with xerrorbars lc rgb '#222222' pt 0, \\
     $rates using 5:1:(sprintf(' %.3g', $2)) with labels left offset 0.3,0
set title 'A table that fits memory, one client'
set logscale x
set xrange [{small[0][0] / 3:.3g}:{small[-1][0] * 6:.3g}]
set yrange [-0.6:{len(small) - 0.4}]
set xlabel 'thousand keys/s'
plot $kinds using ({small[0][0] / 3:.3g}):1:({small[0][0] / 3:.3g}):2:($1-0.3):($1+0.3):ytic(3) with boxxyerror lc rgb '#2e8b57', \\
     $kinds using 2:1:(sprintf(' %.0f', $2)) with labels left offset 0.3,0
set grid noxtics y
set key bottom right
set logscale xy
set format x '%.0s%c'
set format y '%.0s %cs'
set ytics auto
set xlabel 'keys a batch'
set xrange [0.8:6000]
set yrange [5e-5:*]
set title 'Latency, one client'
plot $closed using 1:4 with linespoints ls 4 title 'p99.9', $closed using 1:3 with linespoints ls 2 title 'p99', \\
     $closed using 1:2 with linespoints ls 1 title 'p50'
set title 'Latency at half the maximum rate, from when due'
plot $paced using 1:4 with linespoints ls 4 title 'p99.9', $paced using 1:3 with linespoints ls 2 title 'p99', \\
     $paced using 1:2 with linespoints ls 1 title 'p50'
unset multiplot
"""


bench.main(ssd)
