# SPDX-License-Identifier: Apache-2.0
"""A fleet on one machine: several fkvd on one store, each with its own name, cache and mount, and readers that know the truth.

The `fleet` fixture ends all of it by pid, and fails a test whose checkers saw anything wrong, were it ever so short.
"""

import contextlib
import datetime
import json
import os
import re
import signal
import struct
import subprocess
import time

import pytest

import checker
import fkvtest

WRONG_CLOCK = os.path.join(fkvtest.BUILD, "tests", "e2e", "progs", "wrong_clock.so")
SHAPE = ("--key", "u64", "--value", "bytes")
LIVE_S = 30   # the age at which a heartbeat counts no more
FLIP_S = 2    # all nodes flip within this: lax, the benchmark measures it


class WrongClock:
    """A clock that is `ahead_s` seconds ahead of the true one; step() changes it while programs run."""

    def __init__(self, path, ahead_s):
        self.path = path
        self.step(ahead_s)

    def step(self, ahead_s):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as file:
            file.write(struct.pack("<q", ahead_s * 10**9))

    def env(self):
        """The environment of a program that has this clock."""
        return {"LD_PRELOAD": WRONG_CLOCK, "WRONG_CLOCK": self.path}


def parse_time_ns(text):
    """Nanoseconds of 2026-11-22T14:59:00.843Z, which has as many decimals as it likes."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 10**9 + int((fraction + "000000000")[:9])


class DirectoryStore(fkvtest.Store):
    """A store in a directory, as the fleet tests use one."""

    kind = "dir"

    def __init__(self, directory, path=None, url=None):
        self.scratch = directory
        super().__init__(path or os.path.join(directory, "store"), url)

    def fkv(self, *args, check=True, timeout=180, env=None):
        """Runs fkv; env adds to its environment."""
        env = dict(os.environ, FKV_STORE=self.url, **(env or {}))
        done = subprocess.run([fkvtest.FKV, *map(str, fkvtest.of_kind(args))], env=env, capture_output=True, text=True, timeout=timeout,
                              check=False)
        if check:
            assert done.returncode == 0, f"fkv {args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def spawn(self, *args, env=None):
        return subprocess.Popen([fkvtest.FKV, *map(str, fkvtest.of_kind(args))], env=dict(os.environ, FKV_STORE=self.url, **(env or {})),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)

    def json(self, *args, **how):
        return json.loads(self.fkv(*args, "--json", **how).stdout)

    def records(self):
        return self.json("log")["records"]

    def build(self, table, rows, *args):
        path = os.path.join(self.scratch, f"{table}.tsv")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{key}\t{value}\n" for key, value in rows)
        return self.fkv("build", table, path, *SHAPE, *args)


class Node(fkvtest.Daemon):
    """One fkvd of the fleet."""

    def __init__(self, store, directory, name, *args, env=None):
        super().__init__(store, os.path.join(directory, name), "--node", name, "--poll", "100", *args)
        self.name, self.env, self.paused = name, env or {}, False

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command("--foreground", "--log-level", "debug"), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=dict(os.environ, **self.env))
        if wait:
            fkvtest.wait_until(self.answers, f"the mount of {self.name} answers")
        return self

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def kill(self):
        super().kill()
        self.paused = False

    def table(self, name):
        """What status.json says of a table; {} when it does not know it."""
        return next((t for t in self.status()["node"]["tables"] if t["name"] == name), {})

    def state(self, table, version):
        """"fetching", "ready" …; None: the node does not have it."""
        versions = self.table(table).get("versions", [])
        return next((v["state"] for v in versions if v["version"] == version), None)

    def fetched(self):
        """Bytes from the store since this daemon started."""
        return int(self.metrics()["fkv_fetch_bytes_total"])

    def serves(self, table):
        return self.table(table).get("serving", 0)

    def wait_state(self, table, version, *states, timeout_s=fkvtest.PATIENCE_S):
        return fkvtest.wait_until(lambda: self.state(table, version) in states and self.state(table, version),
                                  f"{self.name}: {table} {version} is {' or '.join(states)}", timeout_s)

    def wait_serving(self, table, version, timeout_s=fkvtest.PATIENCE_S):
        fkvtest.wait_until(lambda: self.serves(table) == version, f"{self.name}: {table} serves {version}", timeout_s)

    def clean(self):
        if self.paused and self.process.poll() is None:
            self.resume()
        super().clean()


class Fleet:
    """Nodes n1, n2 … on one store, and their checkers."""

    def __init__(self, store, directory):
        self.store, self.directory = store, directory
        self.nodes, self.checkers = {}, []
        self.numbers = {}  # table: the highest version published

    # --- nodes and readers ---

    def add(self, name, *args, start=True, env=None):
        node = Node(self.store, self.directory, name, *args, env=env)
        self.nodes[name] = node
        return node.start() if start else node

    def start(self, n, *args):
        """n nodes at once."""
        made = [self.add(f"n{i + 1}", *args, start=False) for i in range(n)]
        for node in made:
            node.start(wait=False)
        for node in made:
            fkvtest.wait_until(node.answers, f"the mount of {node.name} answers")
        return made

    def watch(self, *tables, nodes=None, **how):
        """A checker on every node; returns them by the node's name."""
        made = {}
        for node in nodes or self.nodes.values():
            out = os.path.join(self.directory, f"check-{node.name}-{len(self.checkers)}")
            made[node.name] = checker.Checker(node.mount, tables, out, seed=len(self.checkers), **how)
            self.checkers.append(made[node.name])
        for one in made.values():
            one.wait_more(3)
        return made

    def wait_more(self, n=20):
        """Until every checker was answered rightly n more times."""
        for one in self.checkers:
            one.wait_more(n)

    # --- versions ---

    def build(self, table, *args, n_keys=checker.N_KEYS, mark=None):
        """Builds what the next version, or the mark, is to hold. Returns its task."""
        mark = mark or self.numbers.get(table, 0) + 1
        task = f"{table}-{mark}"
        self.store.build(table, checker.rows(table, mark, n_keys), "--task", task, *args)
        return task

    def published(self, table):
        """The next version got its number: the one it was built for."""
        self.numbers[table] = self.numbers.get(table, 0) + 1
        return self.numbers[table]

    def publish(self, *tables, args=(), n_keys=checker.N_KEYS):
        """Builds the next version of each table and publishes them in one record. Returns their numbers."""
        items = [f"{table}={self.build(table, n_keys=n_keys)}" for table in tables]
        out = self.store.json("publish", *items, "--max-change", "0", *args)
        for table, version in zip(tables, out):
            assert version["version"] == self.published(table)
        return [self.numbers[table] for table in tables]

    def wait_serving(self, table, version, nodes=None, timeout_s=fkvtest.PATIENCE_S):
        for node in nodes or self.nodes.values():
            node.wait_serving(table, version, timeout_s)

    def node_status(self, name, *how):
        """What `fkv status` says of a node."""
        return next((n for n in self.store.json("status", *how)["nodes"] if n["node"] == name), None)

    def switches(self, table):
        """(version, effective_ns or 0, record time) of each switch of a table, in the order of the log."""
        return [(op["version"], parse_time_ns(op["effective"]) if "effective" in op else 0, parse_time_ns(record["time"]))
                for record in self.store.records() for op in record["ops"]
                if op["table"] == table and op["op"] in ("activate", "rollback")]

    # --- the end ---

    def check_order(self, table, history=None):
        """What each checker saw of a table is the fleet's history of it, with gaps at most."""
        history = history or [version for version, _, _ in self.switches(table)]
        for one in self.checkers:
            if table in one.tables:
                assert is_subsequence(one.seen(table), history), f"{one.out}: {one.seen(table)} of {history}"

    def finish(self):
        """Stops the checkers: all they were told was right, and each was told something."""
        for one in self.checkers:
            assert one.stop() > 0, f"{one.out}: nothing was checked"
        for node in self.nodes.values():
            assert not re.search(r"fkv_malformed_total [1-9]", "" if node.process.poll() is not None else
                                 node.read(".fkvd", "metrics").decode())

    def clean(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self.store.end)
            for node in self.nodes.values():
                stack.callback(node.clean)
            for one in self.checkers:
                stack.callback(one.check_events)
                stack.callback(one.clean)
            for node in self.nodes.values():
                if node.paused:
                    stack.callback(node.resume)
        for node in self.nodes.values():
            print(f"--- {node.name}\n{node.log()[-6000:]}")


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(item in rest for item in part)


def flip_times(checkers, table, version, turn=1):
    """When each node flipped to a version for the turn-th time: (not before, not after), by its checker's log."""
    times = {}
    for name, one in checkers.items():
        found = [flip for flip in one.flips(table) if flip["new"] == version]
        if len(found) >= turn:
            times[name] = (found[turn - 1]["old_began"], found[turn - 1]["new_ended"])
    return times


def wait_flips(checkers, table, version, turn=1):
    fkvtest.wait_until(lambda: len(flip_times(checkers, table, version, turn)) == len(checkers),
                       f"every checker sees {table} {version}")
    return flip_times(checkers, table, version, turn)


def skew_s(checkers, table, version, turn=1):
    """Seconds between the first and the last node's flip, as far as the checkers can tell: at least so much passed."""
    times = flip_times(checkers, table, version, turn)
    assert set(times) == set(checkers), f"flips to {table} {version}: {times}"
    return max(0, max(low for low, _ in times.values()) - min(high for _, high in times.values())) / 1e9


def pair_lag_s(one, table, other):
    """Of two tables that always flip together: for how long one still began old batches after the other had answered a new one."""
    worst = 0
    for first, second in zip(one.flips(table)[1:], one.flips(other)[1:]):
        worst = max(worst, first["old_began"] - second["new_ended"], second["old_began"] - first["new_ended"])
    return worst / 1e9


# nfs_store.py adds nfs3 and nfs4.
STORES = {"dir": DirectoryStore}
DEFAULT_STORE = os.environ.get("FKV_TEST_STORE", "nfs4")


def make_store(kind, directory):
    return STORES[kind](directory)


@pytest.fixture
def fleet(work_dir, request):
    """A Fleet without nodes yet, on a store of the kind the test is parametrised with."""
    made = Fleet(make_store(getattr(request, "param", DEFAULT_STORE), work_dir), work_dir)
    try:
        yield made
    finally:
        made.clean()


def sleep_until(realtime_ns):
    left = realtime_ns - time.time_ns()
    if left > 0:
        time.sleep(left / 1e9)
