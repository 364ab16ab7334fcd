# SPDX-License-Identifier: Apache-2.0
"""Several publishers, switchers and collectors at one store at once, as real processes: nothing is lost, nothing doubled."""

import json
import os
import subprocess
import threading

import fkvtest
import fleet
import fold
import pytest

ROWS = [(i, f"v{i}") for i in range(1, 21)]


def run(store, *args):
    env = dict(os.environ, FKV_STORE=store.url)
    return subprocess.run([fkvtest.FKV, *map(str, args)], env=env, capture_output=True, text=True, check=False, timeout=60)


def as_json(store, *args):
    return json.loads(store.fkv(*args, "--json").stdout)


def at_once(*jobs):
    """Runs the jobs in threads; a failed assertion in one fails the test."""
    failures = []

    def guard(job):
        try:
            job()
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=guard, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def write_rows(work_dir, name, rows):
    path = os.path.join(work_dir, name)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in rows)
    return path


def check_log(store, table):
    """Every publish record's version is there once, in ascending order, whole."""
    published = [op["version"] for r in as_json(store, "log")["records"] for op in r["ops"]
                 if op["op"] == "publish" and op["table"] == table]
    assert published == sorted(set(published))
    assert as_json(store, "verify")["bad"] == 0
    return published


def test_publishers_of_one_table_lose_nothing(store, work_dir):
    rounds, publishers = 12, 3
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    got = {}

    def publisher(who):
        for i in range(rounds):
            mark = 1000 * (who + 1) + i
            path = write_rows(work_dir, f"{who}.tsv", ROWS + [(mark, "mark")])
            task = f"p{who}-{i:03d}"
            done = run(store, "build", "ads", path, "--task", task)
            assert done.returncode == 0, done.stderr
            done = run(store, "publish", f"ads={task}", "--json", "--max-change", "0")
            assert done.returncode == 0, done.stderr
            got[mark] = json.loads(done.stdout)[0]["version"]

    at_once(*(lambda who=who: publisher(who) for who in range(publishers)))
    published = check_log(store, "ads")
    assert len(published) == 1 + rounds * publishers
    assert sorted(got.values()) == published[1:], "everybody's version is there, under the number he was told"
    assert as_json(store, "ls", "ads")["current"] == published[-1], "a slower one does not take the fleet back"
    for mark, version in got.items():
        done = run(store, "get", "ads", mark, "--direct", "--version", version)
        assert done.stdout == f"{mark}\tmark\n", done.stderr


def test_one_build_is_published_once_however_many_try(store, work_dir):
    path = write_rows(work_dir, "in.tsv", ROWS)
    store.fkv("build", "ads", path, "--key", "u64", "--value", "bytes", "--publish")
    for i in range(10):
        task = f"t{i:03d}"
        store.fkv("build", "ads", path, "--task", task)
        results = []
        at_once(*(lambda: results.append(run(store, "publish", f"ads={task}")) for _ in range(3)))
        statuses = sorted(done.returncode for done in results)
        assert statuses[0] == 0 and statuses.count(0) == 1, [done.stderr for done in results]
        for done in results:
            assert done.returncode in (0, 1, 3), done.stderr
    assert len(check_log(store, "ads")) == 11


def test_of_deltas_on_one_base_one_gets_through(store, work_dir):
    path = write_rows(work_dir, "in.tsv", ROWS)
    store.fkv("build", "ads", path, "--key", "u64", "--value", "bytes", "--publish")
    for i in range(8):
        for who in range(3):
            delta = write_rows(work_dir, f"d{who}.tsv", [(500 + who, f"delta {i} {who}")])
            store.fkv("build", "ads", delta, "--delta", "--task", f"d{i:03d}-{who}")
        results = {}
        at_once(*(lambda who=who: results.update({who: run(store, "publish", f"ads=d{i:03d}-{who}", "--max-change", "0")})
                  for who in range(3)))
        winners = [who for who, done in results.items() if done.returncode == 0]
        assert len(winners) == 1, {who: done.stderr for who, done in results.items()}
        for who, done in results.items():
            if who not in winners:
                assert done.returncode == 3 and "lies on version" in done.stderr, done.stderr
        assert store.fkv("get", "ads", 500 + winners[0], "--direct").stdout == f"{500 + winners[0]}\tdelta {i} {winners[0]}\n"
    assert len(check_log(store, "ads")) == 9


@pytest.mark.kinds
@pytest.mark.concurrent
def test_everything_at_once(store, work_dir, daemon):
    """Publishers of two tables, an operator who rolls back, gc, and a node that follows; readers see whole versions."""
    rows = [[(k, f"{v}-{i}") for k, v in ROWS] for i in range(2)]
    for table in ("ads", "users"):
        store.publish(table, rows[0], "--key", "u64", "--value", "bytes")
    over = threading.Event()

    def publisher(table):
        try:
            for i in range(8):
                path = write_rows(work_dir, f"{table}.tsv", rows[i % 2])
                done = run(store, "build", table, path, "--task", f"{table}-{i}", "--publish", "--no-wait")
                # An operator may have rolled back between publish and activate, or made a version former.
                assert done.returncode in (0, 3), done.stderr
        finally:
            over.set()

    def operator():
        while not over.is_set():
            done = run(store, "rollback", "ads", "--no-wait")
            assert done.returncode in (0, 1, 3), done.stderr

    def collector():
        while not over.is_set():
            done = run(store, "gc", "--wait", "100ms")
            assert done.returncode in (0, 3), done.stderr

    def reader():
        seen = 0
        while not over.is_set():
            with fkvtest.Lookup(daemon.path("ads", "batch")) as lookup:
                values = lookup.ask_message([k for k, _ in ROWS]).values()
            tails = {value.rsplit(b"-", 1)[1] for value in values}
            assert len(tails) == 1, f"a batch mixed versions: {tails}"
            seen += 1
        assert seen > 10

    at_once(lambda: publisher("ads"), lambda: publisher("users"), operator, collector, reader)
    check_log(store, "ads")
    check_log(store, "users")
    current = as_json(store, "ls", "ads")["current"]
    daemon.wait_current("ads", current)


# --- two publishers and a rollback, a thousand times ---


class Race:
    """Publishers and an operator who go on without pause; what each command was told is held against the log afterwards."""

    def __init__(self, store, work_dir, rounds):
        self.store, self.work_dir, self.rounds = store, work_dir, rounds
        self.told = {}  # reason: (exit status, its JSON or None, what it said)
        self.over = threading.Event()

    def command(self, reason, *args):
        done = run(self.store, *args, "--reason", reason, "--json")
        assert done.returncode in (0, 1, 3), f"{args}: {done.returncode} {done.stderr}"
        self.told[reason] = (done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr)

    def publisher(self, who):
        try:
            for i in range(self.rounds):
                reason = f"p{who}-{i:04d}"
                path = write_rows(self.work_dir, f"p{who}.tsv", ROWS + [(1000 + i, reason)])
                self.command(reason, "build", "ads", path, "--task", reason, "--publish", "--no-wait", "--max-change", "0")
        finally:
            self.over.set()

    def operator(self):
        for i in range(self.rounds):
            self.command(f"r-{i:04d}", "rollback", "ads", "--no-wait")

    def collector(self):
        """So that the state stays small and a version that somebody wants to go back to may just be going."""
        while not self.over.wait(2):
            done = run(self.store, "gc", "--wait", "100ms")
            assert done.returncode in (0, 3), done.stderr

    def run(self):
        at_once(lambda: self.publisher(0), lambda: self.publisher(1), self.operator, self.collector)
        return self

    def check_publisher(self, fold, reason, status, document, text):
        """Published once, whatever became of it; made current at most once, and just when it said so."""
        ops = [(op, record) for record in fold.by_reason(reason) for op in record["ops"]]
        published = [op for op, _ in ops if op["op"] == "publish"]
        activated = [op for op, _ in ops if op["op"] == "activate"]
        assert len(published) == 1 and len(activated) <= 1 and len(ops) == len(published) + len(activated), (reason, ops)
        said = document["published"][0] if document else {}
        if status == 0:
            assert (said["version"], said["activated"]) == (published[0]["version"], bool(activated)), (reason, said, ops)
        else:
            assert not activated and text, (reason, ops, text)
        return published[0]["version"]

    def check_operator(self, fold, reason, status, document, text):
        records = fold.by_reason(reason)
        assert len(records) == (status == 0), (reason, status, records, text)
        if status == 0:
            assert document["record"] == records[0]["seq"], (document, records)
            (op,), (said,) = records[0]["ops"], document["tables"]
            assert (op["op"], op["version"], op["from"]) == ("rollback", said["version"], said["from"])

    def check(self):
        folded = fold.Fold(self.store.path).run()
        versions = []
        for reason, (status, document, text) in self.told.items():
            if reason.startswith("p"):
                versions.append(self.check_publisher(folded, reason, status, document, text))
            else:
                self.check_operator(folded, reason, status, document, text)
        assert len(versions) == len(set(versions)) == 2 * self.rounds
        others = {r["reason"] for r in folded.records} - {"", *self.told}
        assert all(reason.startswith("gc: ") for reason in others), others
        self.check_commands_agree(folded)
        return folded

    def check_commands_agree(self, folded):
        """What fkv says is what an independent fold of the files says."""
        records = as_json(self.store, "log")["records"]
        assert [(r["seq"], r["reason"]) for r in records] == [(r["seq"], r["reason"]) for r in folded.records]
        listing, table = as_json(self.store, "ls", "ads", "--all"), folded.tables["ads"]
        assert (listing["current"], listing["previous"]) == (table.current, table.previous)
        said = {v["version"]: (v["state"].replace("previous", "former"), v["quarantined"]) for v in listing["versions"]}
        assert said == {n: (v["state"], v["quarantined"]) for n, v in table.versions.items()}
        assert as_json(self.store, "verify")["bad"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind,rounds", [("dir", 60), ("nfs4", 1000 if fkvtest.LONG else 60), ("nfs3", 1000 if fkvtest.LONG else 30)])
def test_two_publishers_and_a_rollback_lose_nothing_and_double_nothing(work_dir, kind, rounds):
    """The whole thousand rounds with FKV_LONG=1."""
    store = fleet.make_store(kind, work_dir)
    try:
        race = Race(store, work_dir, rounds)
        store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
        folded = race.run().check()
        statuses = [status for status, _, _ in race.told.values()]
        # There was a race: somebody was refused because another came first, and much went through.
        assert statuses.count(0) > rounds and folded.n_snapshots > 0
        print(f"{kind}: {len(folded.records)} records, {statuses.count(3)} refused, {folded.n_snapshots} snapshots compared")
    finally:
        store.end()
