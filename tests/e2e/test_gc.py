# SPDX-License-Identifier: Apache-2.0
"""fkv gc with real nodes: what they use stays, also while readers hold it; what nobody names goes."""

import json
import os
import random
import signal
import subprocess
import time

import fkvtest
import pytest

ROWS = [(i, f"v{i}") for i in range(1, 101)]


def as_json(store, *args):
    return json.loads(store.fkv(*args, "--json").stdout)


def versions_on_disk(store, table):
    return sorted(int(name) for name in os.listdir(os.path.join(store.path, "tables", table, "v")))


def publish_many(store, table, n, first=1):
    for i in range(first, first + n):
        store.publish(table, [(k, f"{v}-{i}") for k, v in ROWS], "--key", "u64", "--value", "bytes")


def test_gc_keeps_by_rule_tag_and_pin(store):
    publish_many(store, "ads", 8)
    store.fkv("tag", "ads", "1", "golden")
    store.fkv("pin", "ads", "2", "--node", "n9")
    plan = store.fkv("gc", "--dry-run").stdout
    assert "would remove ads/v/3" in plan and "would remove ads/v/4" in plan and "ads/v/5" not in plan
    assert versions_on_disk(store, "ads") == list(range(1, 9))
    done = as_json(store, "gc")
    assert (done["versions"], done["held"], done["dry_run"]) == (2, 0, False) and done["bytes"] > 0
    assert versions_on_disk(store, "ads") == [1, 2, 5, 6, 7, 8]
    assert as_json(store, "verify")["bad"] == 0
    assert [v["version"] for v in as_json(store, "ls", "ads")["versions"]] == [1, 2, 5, 6, 7, 8]
    assert len(as_json(store, "ls", "ads", "--all")["versions"]) == 8
    done = store.fkv("activate", "ads=3", check=False)
    assert done.returncode == 3 and "gone" in done.stderr
    done = store.fkv("dump", "ads", "3", check=False)
    assert done.returncode == 1 and "gc has removed" in done.stderr
    assert {op["op"] for r in as_json(store, "log", "--limit", "2")["records"] for op in r["ops"]} == {"retire", "forget"}
    store.fkv("keep", "ads", "1")
    store.fkv("untag", "ads", "golden")
    store.fkv("unpin", "ads", "--node", "n9")
    store.fkv("gc")
    assert versions_on_disk(store, "ads") == [7, 8]
    assert as_json(store, "gc")["versions"] == 0
    # Numbers are never used again.
    publish_many(store, "ads", 1)
    assert as_json(store, "ls", "ads")["current"] == 9


@pytest.mark.kinds
def test_gc_of_a_delta_chain_keeps_what_the_chain_needs(store):
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    for i in range(6):
        store.build("ads", [f"1\tdelta{i}", f"{i + 10}"], "--delta")
        store.fkv("publish", "ads")
    store.fkv("keep", "ads", "0")
    store.fkv("gc")
    assert as_json(store, "verify")["bad"] == 0
    assert store.fkv("get", "ads", "1", "2", "--direct").stdout == "1\tdelta5\n2\tv2\n"
    done = store.fkv("get", "ads", "15", "--direct", check=False)
    assert done.returncode == 1
    store.build("ads", ["2\tstill growing"], "--delta")
    store.fkv("publish", "ads")
    assert store.fkv("get", "ads", "2", "--direct").stdout == "2\tstill growing\n"


@pytest.mark.kinds
def test_gc_leaves_a_version_that_a_reader_holds(store, daemon):
    publish_many(store, "ads", 2)
    store.fkv("keep", "ads", "0")
    held = open(daemon.path("ads", "v", "1", "batch"), "rb")
    try:
        publish_many(store, "ads", 2, first=3)
        done = as_json(store, "gc", "--wait", "1s")
        assert 1 in versions_on_disk(store, "ads"), "a lease holds version 1"
        assert done["held"] >= 1
        assert "still uses it" in store.fkv("gc", "--wait", "1s").stdout
        assert 2 not in versions_on_disk(store, "ads")
    finally:
        held.close()
    fkvtest.wait_until(lambda: as_json(store, "gc", "--wait", "1s") and 1 not in versions_on_disk(store, "ads"),
                       "gc has version 1 when the reader is gone")
    assert daemon.read("ads", "current", "key", "7") == b"v7-4"


def test_gc_waits_for_a_node_that_does_not_answer_only_while_it_counts(store, daemon):
    publish_many(store, "ads", 5)
    store.fkv("keep", "ads", "0")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        done = store.fkv("gc", "--wait", "300ms")
        assert "has not read that yet" in done.stdout
        assert versions_on_disk(store, "ads") == [1, 2, 3, 4, 5]
        node = os.path.join(store.path, "nodes", "n1.json")
        with open(node, encoding="utf-8") as file:
            beat = json.load(file)
        with open(node, "w", encoding="utf-8") as file:
            json.dump({name: value - 60 * 10**9 if name in ("time_ns", "time") and isinstance(value, int) else value
                       for name, value in beat.items()}, file)
        if as_json(store, "status")["nodes"] and not as_json(store, "status")["nodes"][0]["live"]:
            store.fkv("gc", "--wait", "300ms")
            assert versions_on_disk(store, "ads") == [4, 5]
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    # It comes back, finds its version current still, and serves on.
    fkvtest.wait_until(lambda: as_json(store, "status")["nodes"][0]["live"], "the node is back")
    assert daemon.read("ads", "current", "key", "7") == b"v7-5"


def test_gc_collects_what_killed_programs_left(store):
    publish_many(store, "ads", 1)
    tables = os.path.join(store.path, "tables", "ads")
    os.makedirs(os.path.join(tables, "staging", "dead", "parts"))
    os.makedirs(os.path.join(tables, "v", "7", "parts"))
    for path in (tables + "/v/1", store.path + "/log", store.path + "/nodes", tables + "/staging/dead"):
        with open(path + "/.tmp-123-0123456789abcdef", "w", encoding="utf-8") as file:
            file.write("left")
    store.build("ads", ROWS, "--task", "sealed")
    untouched = as_json(store, "gc")
    assert (untouched["orphans"], untouched["builds"], untouched["temporaries"]) == (0, 0, 0), "they are young"
    done = as_json(store, "gc", "--staging-age", "0")
    assert (done["orphans"], done["builds"], done["temporaries"]) == (1, 1, 3)
    assert os.listdir(os.path.join(tables, "staging")) == ["sealed"]
    old = time.time() - 8 * 86400
    for path, _, files in os.walk(os.path.join(tables, "staging")):
        for name in files:
            os.utime(os.path.join(path, name), (old, old))
        os.utime(path, (old, old))
    assert as_json(store, "gc")["builds"] == 1
    assert versions_on_disk(store, "ads") == [1]
    assert as_json(store, "verify")["bad"] == 0


@pytest.mark.slow
def test_gc_killed_at_any_moment_goes_on_next_time(store):
    publish_many(store, "ads", 3)
    store.fkv("keep", "ads", "1")
    rng = random.Random(7)
    env = dict(os.environ, FKV_STORE=store.url)
    for i in range(12):
        publish_many(store, "ads", 2, first=4 + 2 * i)
        process = subprocess.Popen([fkvtest.FKV, "gc", "--staging-age", "0"], env=env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.012))
        process.kill()
        process.wait()
        assert as_json(store, "verify", "ads", "current")["bad"] == 0
        assert as_json(store, "verify", "ads", "previous")["bad"] == 0
    store.fkv("gc", "--staging-age", "0")
    assert versions_on_disk(store, "ads") == [26, 27]
    assert as_json(store, "verify")["bad"] == 0
