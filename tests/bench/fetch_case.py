# SPDX-License-Identifier: Apache-2.0
"""Fetching a version over NFS: fkvd beside nfs-cp, which asks for one piece at a time and checks nothing."""

import os
import resource
import shutil
import subprocess
import time

import bench
import nfs_server
import polls

SHARDS = 8
MIB = 1 << 20
VERSIONS = (3, 4)
GOAL = 1.5
LIMIT_SECONDS = 6


class Case:
    """The store with its one version, where copies go, and the server's process."""

    def __init__(self, place, n_keys):
        self.place = place
        self.store = place.path("export", "store")
        bench.say(f"building a version of {n_keys:,} keys in {SHARDS} parts")
        os.makedirs(self.store)
        env = dict(os.environ, FKV_STORE=self.store)
        bench.run(bench.FKV, "init", env=env)
        bench.run(bench.program("bench_gen"), self.store, "t", n_keys, 1, f"--shards={SHARDS}")
        bench.run(bench.FKV, "publish", "t", env=env)
        self.parts_dir = os.path.join(self.store, "tables", "t", "v", "1", "parts")
        self.parts = sorted(os.listdir(self.parts_dir))
        self.bytes = sum(os.path.getsize(os.path.join(self.parts_dir, name)) for name in self.parts)
        self.server = None

    def warm(self):
        """The parts are in the page cache: the server reads no disk."""
        for name in self.parts:
            with open(os.path.join(self.parts_dir, name), "rb") as part:
                while part.read(4 * MIB):
                    pass

    def out(self):
        """An empty directory, and nothing dirty on its disk."""
        path = self.place.path("out")
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        os.sync()
        return path

    def timed(self, work):
        """Runs work(out): seconds, seconds until it is on the disk too, CPU seconds of clients and of the server."""
        self.warm()
        out = self.out()
        cpu, server_cpu = children_cpu(), self.server.cpu_seconds()
        begin = time.monotonic()
        told = work(out)
        end = time.monotonic()
        subprocess.run(["sync", "-f", out], check=True)
        synced = time.monotonic()
        return {"seconds": end - begin, "synced": synced - begin, "cpu": children_cpu() - cpu,
                "server_cpu": self.server.cpu_seconds() - server_cpu, "told": told}

    # --- What is compared ---

    def nfs_cp(self, version, out):
        for name in self.parts:
            self.nfs_cp_one(version, name, out).check_returncode()

    def nfs_cp_one(self, version, name, out):
        url = self.server.url(version, f"store/tables/t/v/1/parts/{name}")
        return subprocess.run(["nfs-cp", url, os.path.join(out, name)], stdout=subprocess.DEVNULL, check=False)

    def nfs_cp_pairs(self, version, out):
        """Two at a time, as a script with & would."""
        for i in range(0, len(self.parts), 2):
            pair = [subprocess.Popen(["nfs-cp", self.server.url(version, f"store/tables/t/v/1/parts/{name}"),
                                      os.path.join(out, name)], stdout=subprocess.DEVNULL)
                    for name in self.parts[i:i + 2]]
            assert not any(process.wait() for process in pair), "nfs-cp failed"

    def fetch(self, version, out):
        told = bench.run_json(bench.program("bench_fetch"), self.server.url(version, "store"), out, "t", 1)
        assert told["bytes"] == self.bytes and told["bad_chunks"] == 0, told
        return told

    def cp(self, out):
        subprocess.run(["cp", "-r", self.parts_dir, out], check=True)

    def dd(self, out):
        """The disk's own pace: 4 MiB a write, around the page cache, as fkvd writes."""
        for name in self.parts:
            subprocess.run(["dd", f"if={self.parts_dir}/{name}", f"of={out}/{name}", "bs=4M", "oflag=direct",
                            "conv=fsync", "status=none"], check=True)

    def check_copies(self, out):
        for name in self.parts:
            subprocess.run(["cmp", os.path.join(self.parts_dir, name), os.path.join(out, name)], check=True)


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- The daemon itself ---


def run_daemon(case, version, name, options):
    """From the start of fkvd with an empty cache until it serves: all is fetched, synced, and loaded into memory."""
    case.warm()
    os.sync()
    server_cpu = case.server.cpu_seconds()
    daemon = case.place.daemon(name, case.server.url(version, "store"))
    begin = time.monotonic()
    daemon.start(options=options)
    daemon.wait("serving", lambda: daemon.version_state("t", 1) == "serving", pause_s=0.01)
    served = time.monotonic() - begin
    fetched_bytes = daemon.metric("fkv_fetch_bytes_total")
    assert fetched_bytes == case.bytes, f"{fetched_bytes} bytes fetched of {case.bytes}"
    cpu = daemon.cpu_seconds()
    daemon.stop()
    shutil.rmtree(daemon.cache)
    return {"seconds": served, "synced": served, "cpu": cpu, "server_cpu": case.server.cpu_seconds() - server_cpu}


def run_limited(case, version, limit, name):
    """Samples of (seconds, bytes received) of fkvd while it fetches under a limit, by the kernel's count."""
    daemon = case.place.daemon(name, case.server.url(version, "store"))
    daemon.start(options=["--fetch-limit", str(limit)])
    samples, received = [], {}
    end = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < end and sum(received.values()) < 0.9 * case.bytes:
        now = time.monotonic()
        sockets = polls.sockets(daemon.process.pid, case.server.port)
        received.update((local, counts[2]) for local, counts in sockets.items())
        if sum(received.values()) > MIB:  # more than the manifest
            samples.append((now, sum(received.values())))
        time.sleep(0.05)
    daemon.stop()
    shutil.rmtree(daemon.cache)
    return samples


def worst_second(samples):
    """The most bytes a second in any window of at least one second."""
    worst = 0
    for i, (begin, first) in enumerate(samples):
        later = next(((at, n) for at, n in samples[i + 1:] if at - begin >= 1), None)
        if later:
            worst = max(worst, (later[1] - first) / (later[0] - begin))
    return worst


# --- The case ---


def measure_version(case, report, version, rounds, rows, bars):
    """nfs-cp and fkv in turn. Returns the ratios of each round: both on the disk, and nfs-cp as it leaves its copy."""
    ways = {
        "nfs-cp": lambda out: case.nfs_cp(version, out),
        "nfs-cp, two at a time": lambda out: case.nfs_cp_pairs(version, out),
        "fkv's fetch": lambda out: case.fetch(version, out),
    }
    made = {name: [] for name in ways}
    made["fkvd, until it serves"] = []
    for i in range(rounds):
        bench.say(f"NFSv{version}: round {i + 1} of {rounds}")
        for name, work in ways.items():
            made[name].append(case.timed(work))
            if i == 0 and name.startswith("nfs-cp"):
                case.check_copies(case.place.path("out"))
        made["fkvd, until it serves"].append(run_daemon(case, version, f"v{version}-{i}", ["--fetch-limit", "0"]))
    for name, runs in made.items():
        add_way(case, report, f"NFSv{version}: {name}", runs, rows)
        bars.append((f'"{name}\\nNFSv{version}"', *(case.bytes / MIB / bench.median([r[key] for r in runs])
                                                    for key in ("seconds", "synced"))))
    copies, fetches = made["nfs-cp"], made["fkv's fetch"]
    return ([a["synced"] / b["synced"] for a, b in zip(copies, fetches)],
            [a["seconds"] / b["seconds"] for a, b in zip(copies, fetches)])


def add_way(case, report, name, runs, rows):
    for key, what in (("seconds", "as it ends"), ("synced", "on the disk")):
        report.figure(f"{name}, {what}", "MiB/s", [case.bytes / MIB / run[key] for run in runs])
    report.figure(f"{name}, CPU", "s/GiB", [run["cpu"] * 1024 * MIB / case.bytes for run in runs])
    pace = sorted(case.bytes / MIB / run["synced"] for run in runs)
    cpus = [bench.median([run.get(key, 0) for run in runs]) * 1024 * MIB / case.bytes for key in ("cpu", "server_cpu")]
    rows.append([name, case.bytes / MIB / bench.median([run["seconds"] for run in runs]), bench.median(pace),
                 f"{pace[0]:.0f} to {pace[-1]:.0f}", cpus[0], cpus[1] or "-"])


def measure_disk(case, report, rounds, rows, bars):
    for name, work in (("cp, local", case.cp), ("dd, local, direct", case.dd)):
        runs = [case.timed(work) for _ in range(rounds)]
        add_way(case, report, name, runs, rows)
        bars.append((f'"{name}"', *(case.bytes / MIB / bench.median([r[key] for r in runs])
                                    for key in ("seconds", "synced"))))


def measure_limits(case, report, limits):
    rows = []
    for limit in limits:
        bench.say(f"a limit of {limit // MIB} MiB/s")
        samples = run_limited(case, 4, limit, f"limit-{limit}")
        mean = (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0]) / limit
        worst = worst_second(samples) / limit
        rows.append([f"{limit // MIB} MiB/s", mean * limit / MIB, worst * limit / MIB])
        report.figure(f"limit of {limit // MIB} MiB/s: mean", "of it", mean)
        report.figure(f"limit of {limit // MIB} MiB/s: fastest second", "of it", worst)
        report.at_least(f"fetch limit of {limit // MIB} MiB/s: mean pace, of it", mean, 0.93)
        report.at_most(f"fetch limit of {limit // MIB} MiB/s: fastest second, of it", worst, 1.05)
    report.table("A limit on fetching (--fetch-limit), NFSv4, MiB/s", ["", "mean", "fastest second"], rows)


def fetch(quick):
    n_keys = 1_500_000 if quick else 15_000_000
    rounds = 2 if quick else 5
    limits = (16 * MIB, 64 * MIB) if quick else (32 * MIB, 128 * MIB)
    report = bench.Report("fetch", quick)
    rows, bars = [], []
    with bench.Place() as place:
        case = Case(place, n_keys)
        with nfs_server.Server(place.path("nfs"), place.path("export")) as case.server:
            for version in VERSIONS:
                synced, plain = measure_version(case, report, version, rounds, rows, bars)
                report.figure(f"NFSv{version}: fetch, times nfs-cp, both on the disk", "", synced)
                report.figure(f"NFSv{version}: fetch, times nfs-cp as it leaves its copy", "", plain)
                report.at_least(f"fetch over NFSv{version}, times nfs-cp, both on the disk", bench.median(synced), GOAL)
                report.at_least(f"fetch over NFSv{version}, times nfs-cp, whose copy may not be on the disk yet",
                                bench.median(plain), GOAL)
            measure_disk(case, report, rounds, rows, bars)
            report.table(f"{case.bytes / MIB:,.0f} MiB in {SHARDS} parts, MiB/s; CPU seconds a GiB",
                         ["", "as it ends", "on the disk", "min to max", "CPU", "CPU of the server"], rows)
            measure_limits(case, report, limits)
    report.note("As it ends: until the program returned. On the disk: and until syncfs() returned. nfs-cp and cp leave their "
                "copies in the page cache and check nothing; fkv's fetch checks each chunk and each part, writes around the "
                "page cache and returns when all is synced. fkv's fetch: the daemon's code in a program of its own, from the "
                "connection to the version in the cache. fkvd: from the start of the daemon with an empty cache, "
                "--fetch-limit 0, until the version is loaded and served.")
    report.note(f"{nfs_server.about()}; the server has the parts in its page cache, and runs on the same {os.cpu_count()} "
                f"CPUs as its clients and the disk's file system. Ratios are medians of {rounds} rounds, in which all take "
                "turns.")
    report.finish(draw(bars))


def draw(bars):
    return bench.block("b", bars) + """
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.85 noborder
set boxwidth 0.9
set title 'The same bytes from an NFS server on the same machine to the disk' font ',15'
set ylabel 'MiB/s'
set yrange [0:*]
set xtics font ',9'
set key outside top right horizontal
plot $b using 2:xtic(1) lc rgb '#9fc0e0' title 'until the program ends', \\
     '' using 3 lc rgb '#1f5fa8' title 'until it is on the disk'
"""


if __name__ == "__main__":
    bench.main(fetch)
