# SPDX-License-Identifier: Apache-2.0
"""Building tables: how fast a core parses, sorts and writes, and how much of the disk's pace a build reaches."""

import os
import shutil
import tempfile

import bench
import build_scale

STAGES = ("map", "reduce", "seal", "verify")
TABLES = (("u64", "u64 keys, 64 bytes each"), ("words", "bytes keys, 100 floats as f16"))
MIB = 1 << 20


def bench_build(*args):
    return bench.run_json(bench.program("bench_build"), *args)


def drop_cache(path):
    """The input's pages leave the page cache, as far as they are clean."""
    with open(path, "rb") as data:
        os.posix_fadvise(data.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Place:
    """A directory with an input and a store; gone at the end."""

    def __enter__(self):
        os.makedirs(bench.OUT, exist_ok=True)
        self.dir = tempfile.mkdtemp(prefix="work-", dir=bench.OUT)
        os.mkdir(self.path("store"))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def disk(self, len_bytes):
        return bench_build("disk", self.path("disk"), len_bytes)

    def build(self, kind, data, memory_mib, threads):
        """One build and the disk's pace right after it; cold input."""
        drop_cache(data)
        made = bench_build("build", kind, data, self.path("store"), self.dir, memory_mib, threads)
        pace = self.disk(min(made["disk_written"] + 4 * MIB, 1024 * MIB))
        made["total"] = sum(made["seconds"])
        disk_s = (made["disk_written"] / pace["write_mb_s"] + made["disk_read"] / pace["read_mb_s"]) / 1e6
        made["share"] = disk_s / made["total"]
        made["pace"] = pace
        return made


def build(quick):
    rounds = 1 if quick else 3
    n_rows = {"u64": 1_500_000 if quick else 20_000_000, "words": 120_000 if quick else 1_500_000}
    memories = ((64, "spilled to disk"), (2048, "in memory")) if quick else ((256, "spilled to disk"), (8192, "in memory"))
    threads = os.cpu_count()
    report = bench.Report("build", quick)
    bars, parse_rows, build_rows, cpu_rows = [], [], [], []
    with Place() as place:
        for kind, what in TABLES:
            data = place.path(kind + ".tsv")
            bench.say(f"{n_rows[kind]:,} rows of {what}")
            bench_build("input", kind, n_rows[kind], data)
            parsed = [bench_build("parse", kind, data) for _ in range(max(rounds, 3))]
            pace = [p["bytes"] / p["cpu"] / 1e6 for p in parsed]
            report.figure(f"{kind}: parsing alone, a CPU second", "MB/s", pace)
            report.figure(f"{kind}: parsing alone, a CPU second, rows", "M/s", [p["rows"] / p["cpu"] / 1e6 for p in parsed])
            parse_rows.append([what, bench.median(pace), parsed[0]["rows"] / parsed[0]["bytes"] * bench.median(pace)])
            if kind == "words":
                report.at_least("parsing TSV of 100 floats a row, MB a CPU second", bench.median(pace), 300)
            for memory, where in memories:
                bench.say(f"building, {memory} MiB of memory ({where})")
                made = [place.build(kind, data, memory, threads) for _ in range(rounds)]
                name = f"{kind}, {where}"
                measure(report, name, made, threads)
                first = sorted(made, key=lambda m: m["total"])[len(made) // 2]
                build_rows.append([what, where, first["keys"] / first["total"] / 1e6,
                                   first["input_bytes"] / first["total"] / 1e6, first["anon_max"] / MIB,
                                   100 * first["share"]])
                cpu_rows.append([what, where] + [per_core(first, i) for i in (0, 1, 3)])
                bars.append((f'"{kind}\\n{where}"', *first["seconds"]))
                if memory < 1024:
                    report.at_most(f"{kind}: memory of a build allowed {memory} MiB, in MiB",
                                   max(m["anon_max"] for m in made) / MIB, memory)
            os.remove(data)
        build_scale.time_of(report, place, quick)
        build_scale.memory_of(report, place, quick)
    report.table("Parsing alone, from the page cache, by CPU time", ["", "MB/s", "M rows/s"], parse_rows)
    report.table(f"Whole builds, {threads} threads, cold input, every key verified",
                 ["", "", "M keys/s", "MB/s of input", "peak MiB", "% of disk"], build_rows)
    report.table("Thousand keys a CPU second, by stage", ["", "", "map", "reduce", "verify"], cpu_rows)
    report.note("% of disk: the time that the bytes which the build really read and wrote would take, in order and around the "
                "page cache, measured right after it, as a share of the build's time. Peak: anonymous memory.")
    report.finish(draw(bars))


def per_core(made, stage):
    return made["keys"] / max(made["cpu"][stage], 1e-6) / 1e3


def measure(report, name, made, threads):
    report.figure(f"{name}: keys", "M/s", [m["keys"] / m["total"] / 1e6 for m in made])
    report.figure(f"{name}: input", "MB/s", [m["input_bytes"] / m["total"] / 1e6 for m in made])
    report.figure(f"{name}: input a core", "MB/s", [m["input_bytes"] / m["total"] / threads / 1e6 for m in made])
    for i in (0, 1, 3):
        report.figure(f"{name}: {STAGES[i]}, keys a CPU second", "K/s", [per_core(m, i) for m in made])
        report.figure(f"{name}: {STAGES[i]}", "s", [m["seconds"][i] for m in made])
    report.figure(f"{name}: share of the disk's sequential pace", "", [m["share"] for m in made])
    report.figure(f"{name}: bytes read and written, of the input's", "",
                  [(m["disk_read"] + m["disk_written"]) / m["input_bytes"] for m in made])
    report.figure(f"{name}: peak anonymous memory", "MiB", [m["anon_max"] / MIB for m in made])


def draw(bars):
    return bench.block("b", bars) + """
set style data histogram
set style histogram rowstacked
set style fill solid 0.85 noborder
set boxwidth 0.6
set title 'Where the time of a build goes' font ',15'
set ylabel 'seconds'
set yrange [0:*]
set key outside right top
plot $b using 2:xtic(1) lc rgb '#1f5fa8' title 'map (read, parse, sort)', \\
     '' using 3 lc rgb '#d9742b' title 'reduce (merge, write)', \\
     '' using 4 lc rgb '#888888' title 'seal', \\
     '' using 5 lc rgb '#2e8b57' title 'verify (read back, look up)'
"""


if __name__ == "__main__":
    bench.main(build)
