# SPDX-License-Identifier: Apache-2.0
"""What the ssd case measures with: clients that stay, fio, RocksDB, and what disk and processes say meanwhile."""

import json
import math
import os
import subprocess
import sys
import time

import bench

BATCH = 3900
DEPTH = 128  # of fkv's disk threads, and of fio's jobs
VALUE_LEN = 100


def process_clock(pid):
    """CPU seconds of all threads of a process, to the nanosecond (CPUCLOCK_SCHED of its pid)."""
    return time.clock_gettime((~pid << 3) | 2)


def disk_reads(path):
    """Reads that the device under path was asked for: those completed, and those of neighbours that were merged into them."""
    device = os.stat(path).st_dev
    with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat", encoding="utf-8") as stat:
        completed, merged = stat.read().split()[:2]
    return int(completed) + int(merged)


def anonymous_mib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


class Worker:
    """A program that says "ready" and then answers lines with lines of JSON."""

    def __init__(self, *command):
        self.name = os.path.basename(str(command[0]))
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.greeting = self.line()

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            sys.exit(f"{self.name} ended with status {self.process.wait()}")
        return text.strip()

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return json.loads(self.line())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Workers(list):
    """Closes them all."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self:
            if worker.process.poll() is None:
                worker.close()

    def add(self, worker):
        self.append(worker)
        return worker


class Cell:
    """One way of looking up; what each round gave."""

    def __init__(self, name):
        self.name = name
        self.rates, self.reads, self.cpu_us, self.daemon_us = [], [], [], []
        self.cached_pct, self.read_pct = [], []  # keys answered from the cache of values; reads, of keys
        self.latency, self.n_batches = {}, 0

    def quantile_ms(self, quantile):
        rank, seen = quantile * self.n_batches, 0
        for ns in sorted(self.latency):
            seen += self.latency[ns]
            if seen > rank:
                return ns / 1e6
        return max(self.latency) / 1e6


def value_hits(node):
    return node.metric("fkv_value_cache_hits_total") or 0


def measure(cell, node, worker, seconds, batch=BATCH, clients=1, rate=0.0):
    """One run of a client through node's mount, or in process when node is None."""
    before = node and (value_hits(node), disk_reads(node.cache), process_clock(node.process.pid))
    answer = worker.ask(seconds, batch, clients, rate)
    keys, cpu = answer["keys"], answer["cpu_s"]
    if node:
        daemon = process_clock(node.process.pid) - before[2]
        # No key takes two reads but a few absent ones; what is beyond was somebody else's.
        reads = min(disk_reads(node.cache) - before[1], keys)
        cpu += daemon
        cell.daemon_us.append(1e6 * daemon / keys)
        cell.reads.append(reads / answer["seconds"])
        cell.read_pct.append(100 * reads / keys)
        cell.cached_pct.append(100 * (value_hits(node) - before[0]) / keys)
    cell.rates.append(keys / answer["seconds"])
    cell.cpu_us.append(1e6 * cpu / keys)
    cell.n_batches += answer["batches"]
    for ns, count in answer["latency"]:
        cell.latency[ns] = cell.latency.get(ns, 0) + count


def client(table_dir, n_keys, draw="uniform", clients=1, **options):
    """bench_ssd through a mount (table_dir) or in process (files=DIR)."""
    where = ["--table", table_dir] if table_dir else []
    words = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in options.items()]
    return Worker(bench.program("bench_ssd"), *where, "--keys", n_keys, "--draw", draw, "--clients", clients, *words)


class Fio:
    """fio's random reads of the files that a table's lookups read, one cell for each way."""

    def __init__(self, name, n_jobs, options=()):
        self.name, self.n_jobs, self.options = name, n_jobs, options
        self.rates, self.cpu_us = [], []

    def run(self, files, seconds):
        out = bench.run("fio", "--name=reads", "--filename=" + ":".join(files), "--readonly", "--rw=randread", "--bs=4k",
                        "--direct=1", "--ioengine=io_uring", f"--iodepth={DEPTH}", f"--numjobs={self.n_jobs}",
                        "--group_reporting", "--thread", "--time_based", f"--runtime={seconds}", "--norandommap",
                        "--randrepeat=0", "--output-format=json", *self.options)
        job = json.loads(out[out.index("{"):])["jobs"][0]
        read = job["read"]
        cpu_s = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
        self.rates.append(read["iops"])
        self.cpu_us.append(1e6 * cpu_s / read["total_ios"])


class Rocks:
    """RocksDB beside it: a file of its own on the same disk, direct reads, one thread."""

    def __init__(self, workers, directory, n_keys, cache_bytes):
        os.makedirs(directory)
        self.worker = workers.add(Worker(bench.program("bench_rocksdb_disk"), directory, n_keys, VALUE_LEN, BATCH, cache_bytes))
        self.version = self.worker.greeting.split()[1]
        self.rates, self.cpu_us = [], []

    def run(self, seconds):
        answer = self.worker.ask(seconds)
        self.rates.append(answer["keys"] / answer["seconds"])
        self.cpu_us.append(1e6 * answer["cpu_s"] / answer["keys"])


def set_bits(n):
    """Bits that n distinct u64 take at least: log2 of the number of such sets."""
    # Stirling, n being small beside 2^64.
    return n * (64 - math.log2(n) + math.log2(math.e)) - 0.5 * math.log2(2 * math.pi * n)
