# SPDX-License-Identifier: Apache-2.0
"""Readers that know the truth: they ask without end, check every answer, and write down when versions changed.

What a table holds is a function of table, version and key (rows(), expected()), so every batch that is answered can be
checked whole, whichever version answered it. Where a build's number is not known beforehand, it is made for a mark instead,
and the log says which version showed which mark. One process a node: `checker.py --mount … --table …`; Checker starts and judges it.

Each batch is asked in turn of each table, by each carrier: shared memory, write and read, and libfkv. Its log is JSON lines:
  flip    a table answered with another version than before: when the last old and the first new batch began and ended
  lost    the mount went away; back: it answers again
  bad     a wrong value, a mixed batch, an error that must not be. The process ends with status 1.
Times are nanoseconds of this machine's real clock, which all checkers of a test share.
"""

import argparse
import ctypes
import errno
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
import traceback

import fkvtest

# Keys are 1 to N_KEYS but for those that a version leaves out, and one that only this version has.
N_KEYS = 600
OWN_KEY = 10**9
ASKED, ASKED_BIG = 150, 20
GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV, errno.ENOENT, errno.EIO)


def is_sanitized():
    """A libfkv with a sanitizer in it cannot be loaded into Python."""
    path = os.path.join(fkvtest.BUILD, "meson-info", "intro-buildoptions.json")
    if not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as file:
        return any(option["name"] == "b_sanitize" and option["value"] != "none" for option in json.load(file))


CARRIERS = ("shared", "message") if is_sanitized() else ("shared", "message", "library")


def expected(table, version, key, n_keys=N_KEYS):
    """The value as bytes; None: that version does not have the key."""
    if key == OWN_KEY + version:
        return f"{table} own {version}".encode()
    if not 1 <= key <= n_keys or key % 11 == version % 11:
        return None
    text = f"{table}/{version}/{key}/"
    if table.startswith("big"):
        return (text * (4096 // len(text) + 1))[:4096].encode()
    return (text * 3)[: len(text) + key % 19].encode()


def rows(table, version, n_keys=N_KEYS):
    """What to build so that expected() is the truth."""
    keys = [*range(1, n_keys + 1), OWN_KEY + version]
    values = ((key, expected(table, version, key, n_keys)) for key in keys)
    return [(key, value.decode()) for key, value in values if value is not None]


class Library:
    """libfkv, as a program uses it."""

    class Options(ctypes.Structure):
        _fields_ = [("transport", ctypes.c_int), ("timeout_ns", ctypes.c_uint64)]

    class Result(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint64), ("n_keys", ctypes.c_uint32), ("n_found", ctypes.c_uint32),
                    ("status", ctypes.c_void_p), ("values", ctypes.c_void_p), ("locs", ctypes.c_void_p),
                    ("values_len", ctypes.c_uint64), ("stride", ctypes.c_uint32), ("value_len", ctypes.c_uint32)]

    def __init__(self, path, keys):
        self.lib = ctypes.CDLL(os.path.join(fkvtest.BUILD, "src", "client", "libfkv.so"))
        self.keys = (ctypes.c_uint64 * len(keys))(*keys)
        self.table, self.batch = ctypes.c_void_p(), ctypes.c_void_p()
        options = self.Options(0, 200_000_000)
        self.must(self.lib.fkv_open(path.encode(), ctypes.byref(options), ctypes.byref(self.table)))
        self.must(self.lib.fkv_batch_new(self.table, ctypes.byref(self.batch)))

    @staticmethod
    def must(code):
        if code:
            raise OSError(-code, os.strerror(-code))

    def ask(self):
        """(version, values); OSError."""
        result = self.Result()
        self.must(self.lib.fkv_get_u64(self.batch, self.keys, len(self.keys), None, ctypes.byref(result)))
        status = ctypes.string_at(result.status, len(self.keys))
        values = []
        for i, found in enumerate(status):
            if found == fkvtest.FAILED:
                raise AssertionError(f"key {self.keys[i]} could not be read")
            at, length = result.values + i * result.stride, result.value_len
            if not result.stride:
                off8, length = struct.unpack("<II", ctypes.string_at(result.locs + 8 * i, 8))
                at = result.values + 8 * off8
            values.append(ctypes.string_at(at, length) if found == fkvtest.FOUND else None)
        return result.version, values

    def close(self):
        self.lib.fkv_batch_free(self.batch)
        self.lib.fkv_close(self.table)


class Protocol:
    """The protocol spoken with bare system calls."""

    def __init__(self, path, keys, how):
        self.lookup, self.keys, self.how = fkvtest.Lookup(os.path.join(path, "batch")), keys, how
        if how == "shared":
            try:
                self.lookup.attach()
            except OSError:
                self.lookup.close()
                raise

    def ask(self):
        reply = self.lookup.ask(self.how, self.keys)
        if reply.error == -errno.ENOENT:  # no current version yet
            raise OSError(errno.ENOENT, "no version")
        assert not reply.error, f"a batch ended with {errno.errorcode[-reply.error]}"
        failed = [self.keys[i] for i in range(len(self.keys)) if reply.status(i) == fkvtest.FAILED]
        assert not failed, f"keys that could not be read: {failed}"
        return reply.served, reply.values()

    def close(self):
        self.lookup.close()


class Reader:
    """One table by one carrier: opens, asks, checks, opens again after the daemon went away."""

    def __init__(self, args, table, carrier, keys):
        self.path, self.table, self.carrier = os.path.join(args.mount, table), table, carrier
        self.n_keys, self.keys, self.way = args.keys, keys, None
        self.by_mark, self.mark = args.marks, 0
        self.truth = {}

    def ask(self):
        """The version that answered, or None when nobody does."""
        try:
            if self.way is None:
                self.way = Library(self.path, self.keys) if self.carrier == "library" else Protocol(
                    self.path, self.keys, self.carrier)
            version, values = self.way.ask()
        except OSError as error:
            if error.errno not in GONE and not (self.carrier == "library" and error.errno == errno.ETIMEDOUT):
                raise
            if self.way:
                self.way.close()
                self.way = None
            return None
        self.check(version, values)
        return version

    def check(self, version, values):
        """All values are of one mark; and it is the version's number, unless the test compares them itself."""
        self.mark = int(next(filter(None, values)).split(b"/")[1]) if self.by_mark else version
        truth = self.truth.get(self.mark)
        if truth is None:
            truth = self.truth[self.mark] = [expected(self.table, self.mark, key, self.n_keys) for key in self.keys]
        if values != truth:
            wrong = [(k, v, t) for k, v, t in zip(self.keys, values, truth) if v != t]
            raise AssertionError(f"{self.table} version {version} by {self.carrier}: {len(wrong)} of {len(values)} values "
                                 f"are wrong; key, found, expected: {[(k, v and v[:40], t and t[:40]) for k, v, t in wrong[:3]]}")


class Log:
    """JSON lines of what happened to each table, and counters that another process may look at."""

    def __init__(self, path):
        self.file = open(path + ".log", "a", buffering=1, encoding="utf-8")
        with open(path + ".counts", "r+b") as counts:
            self.counts = mmap.mmap(counts.fileno(), 64)
        self.last = {}  # table: (version, began, ended) of its last answer
        self.lost = {}

    def write(self, kind, **fields):
        self.file.write(json.dumps({"kind": kind, **fields}) + "\n")

    def count(self, index):
        struct.pack_into("<Q", self.counts, 8 * index, struct.unpack_from("<Q", self.counts, 8 * index)[0] + 1)

    def answered(self, table, version, mark, began, ended):
        self.count(0)
        if self.lost.pop(table, None):
            self.write("back", table=table, at=ended)
        last = self.last.get(table)
        if last is None or last[0] != version:
            old = last or (0, 0, 0)
            self.write("flip", table=table, old=old[0], new=version, mark=mark, old_began=old[1], old_ended=old[2],
                       new_began=began, new_ended=ended)
        self.last[table] = (version, began, ended)

    def unanswered(self, table, at):
        self.count(1)
        if table in self.last and table not in self.lost:
            self.lost[table] = True
            self.write("lost", table=table, at=at)


def run(args, log):
    rng = random.Random(args.seed)
    readers = []
    for carrier in args.carriers.split(","):
        for table in args.table:
            n = ASKED_BIG if table.startswith("big") else ASKED
            asked = sorted(rng.sample(range(1, args.keys + 1), min(n, args.keys)))
            keys = [*asked, 0, 10**8 + 7, *(OWN_KEY + version for version in range(1, 9))]
            readers.append(Reader(args, table, carrier, keys))
    while True:
        for reader in readers:
            began = time.time_ns()
            version = reader.ask()
            ended = time.time_ns()
            if version is None:
                log.unanswered(reader.table, ended)
                time.sleep(0.005)
            else:
                log.answered(reader.table, version, reader.mark, began, ended)
        time.sleep(args.pause)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mount", required=True)
    parser.add_argument("--table", action="append", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--keys", type=int, default=N_KEYS)
    parser.add_argument("--carriers", default=",".join(CARRIERS))
    parser.add_argument("--marks", action="store_true")
    parser.add_argument("--pause", type=float, default=0.004)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log = Log(args.out)
    try:
        run(args, log)
    except Exception:  # noqa: BLE001
        log.write("bad", at=time.time_ns(), text=traceback.format_exc())
        sys.exit(1)


class Checker:
    """A checker process, as a test sees it."""

    def __init__(self, mount, tables, out, n_keys=N_KEYS, pause=0.004, carriers=CARRIERS, seed=1, marks=False):
        self.out, self.tables = out, list(tables)
        with open(out + ".counts", "wb") as file:
            file.write(bytes(64))
        with open(out + ".counts", "r+b") as file:
            self.counts = mmap.mmap(file.fileno(), 64)
        command = [sys.executable, os.path.abspath(__file__), "--mount", mount, "--out", out, "--keys", str(n_keys),
                   "--pause", str(pause), "--carriers", ",".join(carriers), "--seed", str(seed)]
        for table in self.tables:
            command += ["--table", table]
        if marks:
            command.append("--marks")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def answered(self):
        """Batches that were answered and found right."""
        return struct.unpack_from("<Q", self.counts, 0)[0]

    def unanswered(self):
        return struct.unpack_from("<Q", self.counts, 8)[0]

    def events(self):
        if not os.path.exists(self.out + ".log"):
            return []
        with open(self.out + ".log", encoding="utf-8") as file:
            return [json.loads(line) for line in file.read().splitlines() if line.endswith("}")]

    def check(self):
        """Nothing was wrong so far, and it is at work."""
        bad = [event["text"] for event in self.events() if event["kind"] == "bad"]
        assert not bad, f"{self.out}: {bad[0]}"
        assert self.process.poll() is None, f"{self.out}: the checker ended with {self.process.returncode}"

    def wait_more(self, n=20, timeout_s=fkvtest.PATIENCE_S):
        """Until n more batches were answered rightly."""
        goal = self.answered() + n

        def enough():
            if self.process.poll() is not None:
                self.check()
            return self.answered() >= goal

        fkvtest.wait_until(enough, f"{self.out}: {n} more batches are answered", timeout_s)

    def flips(self, table):
        return [event for event in self.events() if event["kind"] == "flip" and event["table"] == table]

    def seen(self, table):
        """The versions that answered, in their order."""
        return [flip["new"] for flip in self.flips(table)]

    def stop(self):
        """Ends it; everything it was told must have been right."""
        self.check()
        self.clean()
        assert self.process.returncode == 0, f"{self.out}: the checker ended with {self.process.returncode}"
        self.check_events()
        return self.answered()

    def check_events(self):
        bad = [event["text"] for event in self.events() if event["kind"] == "bad"]
        assert not bad, f"{self.out}: {bad[0]}"

    def clean(self):
        """For fixtures: it is gone, whatever happened. A checker may hang in a mount whose daemon is stopped."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


if __name__ == "__main__":
    main()
