# SPDX-License-Identifier: Apache-2.0
"""Building a large record file: beside what the disk alone takes for the same bytes, beside an external sort into RocksDB's files,
and within how much memory."""

import json
import os
import subprocess
import time

import bench

VALUE_LEN = 64
KIND = f"records:{VALUE_LEN}"
PASSES = ("map", "reduce", "verify")
STAGE_OF_PASS = (0, 1, 3)  # of bench_build's; sealing only writes a few names
CGROUPS = "/sys/fs/cgroup/memory"
MIB = 1 << 20


def drop_cache(path):
    """The input's pages leave the page cache."""
    with open(path, "rb") as data:
        os.fsync(data.fileno())
        os.posix_fadvise(data.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def make_input(place, n_rows, name="records.bin"):
    path = place.path(name)
    bench.run(bench.program("bench_build"), "input", KIND, n_rows, path)
    return path


def build_command(place, data, memory_mib):
    return [str(word) for word in (bench.program("bench_build"), "build", KIND, data, place.path("store"), place.dir,
                                   memory_mib, os.cpu_count())]


# ---- time ----


def one_round(place, data, memory_mib, n_rows):
    """The build, the disk alone, the peer; each with a cold input."""
    drop_cache(data)
    made = bench.run_json(*build_command(place, data, memory_mib))
    made["total"] = sum(made["seconds"])
    made["run_bytes"] = made["disk_written"] - made["part_bytes"]
    drop_cache(data)
    limit = bench.run_json(bench.program("build_limit"), data, place.dir, made["run_bytes"], made["part_bytes"])
    peers = []
    for merge_threads in (1, 2):
        drop_cache(data)
        peers.append(bench.run_json(bench.program("build_peer"), data, place.dir, memory_mib, VALUE_LEN, merge_threads))
    for keys in (made["keys"], *(peer["keys"] for peer in peers)):
        if keys != n_rows:
            raise SystemExit(f"expected {n_rows} keys, found {keys}")
    return made, limit, peers


def time_of(report, place, quick):
    n_rows = 2_000_000 if quick else 100_000_000
    memory_mib = 64 if quick else 2048
    bench.say(f"{n_rows:,} records of u64 keys with {VALUE_LEN} bytes, {memory_mib} MiB of memory")
    data = make_input(place, n_rows)
    rounds = []
    for i in range(1 if quick else 2):  # a round takes about ten minutes
        bench.say(f"building, the disk alone, external sort and SstFileWriter: round {i + 1}")
        rounds.append(one_round(place, data, memory_mib, n_rows))
    os.remove(data)
    name = f"{n_rows:,} records"
    tell_stages(report, name, rounds)
    tell_ratios(report, name, rounds)


def tell_stages(report, name, rounds):
    rows = []
    for i, stage in enumerate(PASSES):
        s = STAGE_OF_PASS[i]
        moved = [(m["input_bytes"] + m["run_bytes"], m["run_bytes"] + m["part_bytes"], m["part_bytes"])[i] for m, _, _ in rounds]
        seconds = [m["seconds"][s] for m, _, _ in rounds]
        keys = [m["keys"] / t / 1e6 for (m, _, _), t in zip(rounds, seconds)]
        pace = [b / t / 1e6 for b, t in zip(moved, seconds)]
        cpu = [m["cpu"][s] / m["keys"] * 1e9 for m, _, _ in rounds]
        alone = [limit["seconds"][i] for _, limit, _ in rounds]
        report.figure(f"{name}: {stage}, keys", "M/s", keys)
        report.figure(f"{name}: {stage}, read and written", "MB/s", pace)
        report.figure(f"{name}: {stage}, CPU a key", "ns", cpu)
        report.figure(f"{name}: {stage}", "s", seconds)
        report.figure(f"{name}: {stage}, the disk alone", "s", alone)
        rows.append([stage, *map(bench.median, (keys, pace, cpu, seconds, alone))])
    total = [m["total"] for m, _, _ in rounds]
    moved = [m["input_bytes"] + 2 * m["run_bytes"] + 2 * m["part_bytes"] for m, _, _ in rounds]
    rows.append(["in all", *map(bench.median, (
        [m["keys"] / m["total"] / 1e6 for m, _, _ in rounds],
        [b / t / 1e6 for b, t in zip(moved, total)],
        [sum(m["cpu"]) / m["keys"] * 1e9 for m, _, _ in rounds], total,
        [sum(limit["seconds"]) for _, limit, _ in rounds]))])
    report.table(f"{name} of u64 keys with {VALUE_LEN} B, cold input",
                 ["", "M keys/s", "MB/s read and written", "CPU ns a key", "s", "s, the disk alone"], rows)


def tell_ratios(report, name, rounds):
    times_limit = [m["total"] / sum(limit["seconds"]) for m, limit, _ in rounds]
    times_peer = [sum(peers[0]["seconds"]) / m["total"] for m, _, peers in rounds]
    report.figure(f"{name}: time, of plain reads and writes", "", times_limit)
    report.figure(f"{name}: keys/s, of external sort and SstFileWriter", "", times_peer)
    report.table(f"{name}: fkv and an external sort into RocksDB's files", ["", "M keys/s", "s", "CPU s"], [
        ["fkv", *map(bench.median, ([m["keys"] / m["total"] / 1e6 for m, _, _ in rounds], [m["total"] for m, _, _ in rounds],
                                    [sum(m["cpu"]) for m, _, _ in rounds]))],
        *[[what, *map(bench.median, (
            [p[i]["keys"] / sum(p[i]["seconds"]) / 1e6 for _, _, p in rounds], [sum(p[i]["seconds"]) for _, _, p in rounds],
            [p[i]["cpu"] for _, _, p in rounds]))]
          for i, what in enumerate(("external sort, SstFileWriter", "the same, two threads merging halves of the keys"))]])
    report.at_most(f"{name}: time of a build, times plain reads and writes of the same bytes", bench.median(times_limit), 1.5)
    report.at_least(f"{name}: keys/s, times external sort and SstFileWriter", bench.median(times_peer), 2)
    report.note("The disk alone: reading the input while as many bytes as the runs took are written, reading them while the parts' bytes "
                "are written, reading those; direct I/O of 8 MiB at a time on two threads, nothing done with the bytes, writes synced. "
                "External sort: two threads sort pieces within the same memory and write them as runs, which are merged "
                "into SST files (no compression, bloom filter of 10 bits a key), all with direct I/O; it does not read back "
                f"what it wrote, fkv does. RocksDB {bench.package_version('librocksdb-dev')}.")


# ---- memory ----


class Cgroup:
    """A memory cgroup with a limit, where one can be made: page cache counts in it too, so it must be given back in time."""

    def __init__(self, limit):
        self.path = os.path.join(CGROUPS, f"fkv-bench-{os.getpid()}")
        try:
            os.mkdir(self.path)
            with open(os.path.join(self.path, "memory.limit_in_bytes"), "w", encoding="ascii") as out:
                out.write(str(limit))
        except OSError:
            self.path = None

    def wrap(self, command):
        if not self.path:
            return command
        return ["sh", "-c", f'echo $$ >{self.path}/tasks && exec "$@"', "sh", *command]

    def remove(self):
        if self.path:
            os.rmdir(self.path)


def run_watched(command):
    """Runs a build and looks at its anonymous memory a hundred times a second."""
    anon_max = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
                    found = [line.split()[1] for line in status if line.startswith("RssAnon:")]
                anon_max = max([anon_max, *(int(kib) * 1024 for kib in found)])
            except OSError:
                pass
            time.sleep(0.01)
        text = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"a build failed with status {process.returncode}: out of memory?\n{text}")
    made = json.loads(text)
    made["anon_max"] = max(anon_max, made["anon_max"])
    return made


def memory_of(report, place, quick):
    limit_mib = 64
    rows = []
    for times in (1, 4) if quick else (1, 10, 100):
        n_rows = times * limit_mib * MIB // (VALUE_LEN + 15)
        bench.say(f"{limit_mib} MiB of memory, input of {times} times that")
        data = make_input(place, n_rows)
        cgroup = Cgroup(limit_mib * MIB * 11 // 10)
        try:
            made = run_watched(cgroup.wrap(build_command(place, data, limit_mib)))
        finally:
            cgroup.remove()
        os.remove(data)
        rows.append([f"{times} times", n_rows, made["anon_max"] / MIB, made["rss_max"] / MIB, sum(made["seconds"]),
                     "held" if cgroup.path else "no cgroup"])
        report.at_most(f"memory of a build allowed {limit_mib} MiB, input of {times} times that: anonymous, times the limit",
                       made["anon_max"] / MIB / limit_mib, 1.1)
        report.figure(f"input of {times} times the limit of {limit_mib} MiB: peak anonymous memory", "MiB", made["anon_max"] / MIB)
        report.figure(f"input of {times} times the limit of {limit_mib} MiB: peak RSS", "MiB", made["rss_max"] / MIB)
    report.table(f"Memory of builds allowed {limit_mib} MiB",
                 ["input, of the limit", "keys", "anonymous MiB", "RSS MiB", "s", "in a cgroup of the limit + 10 %"], rows)
    report.note("RSS counts pages of files too: the program, and parts beyond the limit, which are checked where they are mapped from a "
                "scratch file and which the kernel takes back when memory is short. In a cgroup the page cache counts as well.")
