# SPDX-License-Identifier: Apache-2.0
"""Deltas found by comparing with the base, and chains merged into full versions, as a fleet sees them."""

import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest

import fkvtest
from fkvtest import Lookup

KINDS = ("mem", "blk", "idx")
N = 3000


def as_json(store, *args):
    return json.loads(store.fkv(*args, "--json").stdout)


def first_rows():
    return {key: f"one-{key}" for key in range(1, N + 1)}


def next_rows(rows, rng):
    """A tenth changed, some gone, some new."""
    out = dict(rows)
    for key in rng.sample(sorted(rows), len(rows) // 10):
        out[key] = f"changed-{rng.random()}"
    for key in rng.sample(sorted(rows), len(rows) // 20):
        del out[key]
    for _ in range(len(rows) // 20):
        out[rng.randrange(N, 10 * N)] = f"new-{rng.random()}"
    return out


def build_whole(store, table, rows, *args):
    return store.build(table, sorted(rows.items()), *args)


def served(daemon, table, keys):
    """What batch lookups through the mount answer."""
    with Lookup(daemon.path(table, "batch")) as lookup:
        values = {}
        for i in range(0, len(keys), 1000):
            some = keys[i:i + 1000]
            reply = lookup.ask("message", some)
            assert reply.error == 0
            values.update(zip(some, reply.values()))
        return values


def check_served(daemon, table, rows, known):
    """Each key ever known: its value, or that it is gone."""
    answers = served(daemon, table, sorted(known | set(rows)))
    for key, value in answers.items():
        want = rows.get(key)
        assert (None if value is None else bytes(value).decode()) == want, (key, value, want)


def content(store, table, version="current"):
    return as_json(store, "verify", table, version, "--content")["versions"][0]["content"]


@pytest.mark.parametrize("kind", KINDS)
def test_computed_deltas_are_served_and_a_checkpoint_changes_nothing(store, daemon, kind):
    rng = random.Random(kind)
    rows = first_rows()
    known = set(rows)
    build_whole(store, "ads", rows, "--key", "u64", "--value", "bytes", "--kind", kind, "--shards", "3", "--publish")
    for version in (2, 3, 4):
        before, rows = rows, next_rows(rows, rng)
        known |= set(rows)
        done = as_json(store, "build", "ads", write(store, rows), "--diff-base", "--publish", "--max-change", "0")
        assert done["base"] == version - 1
        found = done["compared"]
        assert found["removed"] == len(before.keys() - rows.keys()) == done["n_tombstones"]
        assert found["added"] == len(rows.keys() - before.keys())
        assert found["unchanged"] + found["changed"] + found["added"] == len(rows)
        assert done["n_keys"] == found["changed"] + found["added"]
        daemon.wait_current("ads", version)
        check_served(daemon, "ads", rows, known)
    chain = content(store, "ads")
    done = as_json(store, "checkpoint", "ads", "--publish")
    assert done["checkpoint_of"] == 4 and done["content"] == chain and not done["full_already"]
    daemon.wait_current("ads", 5)
    check_served(daemon, "ads", rows, known)
    assert content(store, "ads") == chain
    listed = json.loads(daemon.read("ads", "current", "version.json"))
    assert (listed["checkpoint_of"], listed["base"], listed["levels"]) == (4, 0, 1)
    assert as_json(store, "diff", "ads", "4", "5")["same"] == len(rows)
    assert "full already" in store.fkv("checkpoint", "ads").stdout
    # The chain goes on from there.
    rows = next_rows(rows, rng)
    known |= set(rows)
    store.fkv("build", "ads", write(store, rows), "--diff-base", "--publish", "--max-change", "0")
    daemon.wait_current("ads", 6)
    check_served(daemon, "ads", rows, known)


def write(store, rows):
    path = os.path.join(os.path.dirname(store.path), "whole.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{key}\t{value}\n" for key, value in sorted(rows.items()))
    return path


def test_an_input_that_changes_nothing_gives_an_empty_delta(store, daemon):
    rows = first_rows()
    build_whole(store, "ads", rows, "--key", "u64", "--value", "bytes", "--publish")
    done = store.fkv("build", "ads", write(store, rows), "--diff-base")
    assert "nothing changed since version 1" in done.stdout
    store.fkv("publish", "ads")
    daemon.wait_current("ads", 2)
    check_served(daemon, "ads", rows, set(rows))
    assert content(store, "ads", "1") == content(store, "ads", "2")


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_that_hardly_move_are_not_sent(store, daemon, kind):
    def rows(moved):
        return [(key, f"{1 + moved(key)},0,0,0") for key in range(1000)]

    store.build("vecs", rows(lambda key: 0), "--key", "u64", "--value", "f16[4]", "--kind", kind, "--publish")
    path = os.path.join(os.path.dirname(store.path), "vecs.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{key}\t{value}\n" for key, value in rows(lambda key: 0.5 if key < 10 else 0.01 if key < 200 else 0))
    done = as_json(store, "build", "vecs", path, "--diff-base", "--min-distance", "0.1", "--publish")
    assert done["compared"] == {"unchanged": 800, "within_distance": 190, "changed": 10, "added": 0, "removed": 0}
    daemon.wait_current("vecs", 2)
    assert daemon.read("vecs", "current", "key", "3") == daemon.read("vecs", "current", "key", "9")
    assert daemon.read("vecs", "current", "key", "100") == daemon.read("vecs", "current", "key", "900")
    assert store.fkv("build", "vecs", path, "--min-distance", "1", check=False).returncode == 2


def test_readers_notice_nothing_of_a_checkpoint(store, daemon):
    """One that asks all the while: each batch is whole, and says the same before and after."""
    rng = random.Random(7)
    rows = first_rows()
    build_whole(store, "ads", rows, "--key", "u64", "--value", "bytes", "--publish")
    for _ in range(3):
        rows = next_rows(rows, rng)
        store.fkv("build", "ads", write(store, rows), "--diff-base", "--publish", "--max-change", "0")
    daemon.wait_current("ads", 4)
    keys = sorted(rows)[:500]
    versions, wrong, stop = set(), [], threading.Event()

    def read():
        with Lookup(daemon.path("ads", "batch")) as lookup:
            while not stop.is_set():
                reply = lookup.ask("message", keys)
                versions.add(reply.served)
                if [bytes(value).decode() for value in reply.values()] != [rows[key] for key in keys]:
                    wrong.append(reply.served)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        store.fkv("checkpoint", "ads", "--publish")
        daemon.wait_current("ads", 5)
        fkvtest.wait_until(lambda: 5 in versions, "the reader has been answered by the checkpoint")
    finally:
        stop.set()
        reader.join()
    assert not wrong and versions == {4, 5}


def test_a_checkpoint_does_not_undo_what_came_after_it(store):
    build_whole(store, "ads", {1: "one", 2: "two"}, "--key", "u64", "--value", "bytes", "--publish")
    store.build("ads", ["1\tuno"], "--delta", "--publish")
    store.fkv("checkpoint", "ads", "--task", "merged")
    store.build("ads", ["2\tdos"], "--delta", "--publish")
    done = store.fkv("publish", "ads=merged", check=False)
    assert done.returncode == 3 and "checkpoint of version 2, but the table moved on to 3" in done.stderr, done.stderr
    assert "fkv checkpoint ads" in done.stderr
    done = store.fkv("checkpoint", "ads", "2", check=False)
    assert done.returncode == 3 and "expected the newest, 3" in done.stderr, done.stderr
    store.fkv("checkpoint", "ads", "--publish")
    assert store.fkv("get", "ads", "2", "--direct").stdout == "2\tdos\n"
    # When the version that came after was a bad one and was rolled back, the chain's is the newest again.
    store.build("ads", ["2\tbad"], "--delta", "--publish")
    store.fkv("rollback", "ads")
    assert as_json(store, "checkpoint", "ads")["full_already"]


@pytest.mark.slow
def test_a_checkpoint_killed_at_any_moment_leaves_nothing_to_be_seen(store):
    rng = random.Random(11)
    rows = {key: "x" * 300 + str(key) for key in range(60000)}
    store.fkv("build", "ads", write(store, rows), "--key", "u64", "--value", "bytes", "--kind", "blk", "--publish")
    for key in range(0, 60000, 7):
        rows[key] = "changed" * 30
    store.fkv("build", "ads", write(store, rows), "--diff-base", "--publish", "--max-change", "0")
    env = dict(os.environ, FKV_STORE=store.url)
    killed = 0
    for i in range(60):
        if i >= 8 and killed > 3:
            break
        process = subprocess.Popen([fkvtest.FKV, "checkpoint", "ads", "--task", f"t{i}"], env=env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.01, 0.5))
        process.kill()
        if process.wait() != -signal.SIGKILL:
            continue
        killed += 1
        done = store.fkv("publish", f"ads=t{i}", check=False)
        assert done.returncode in (0, 1), done.stderr
        if done.returncode == 0:  # sealed just before it died
            return
    assert killed > 3
    assert [version["version"] for version in as_json(store, "ls", "ads")["versions"]] == [1, 2]
    store.fkv("gc", "--staging-age", "0")
    assert not [name for name in os.listdir(os.path.join(store.path, "tables", "ads", "staging")) if name.startswith(".work")]
    done = as_json(store, "checkpoint", "ads", "--publish")
    assert content(store, "ads") == done["content"] == content(store, "ads", "2")
