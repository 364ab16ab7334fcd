# SPDX-License-Identifier: Apache-2.0
"""Publishing with nodes about: waiting, quorum, failures; kill -9 of builder and publisher; full disks."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

import fkvtest

ROWS = [(i, f"v{i}") for i in range(1, 101)]


def spawn(store, *args):
    env = dict(os.environ, FKV_STORE=store.url)
    return subprocess.Popen([fkvtest.FKV, *map(str, args)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def as_json(store, *args):
    return json.loads(store.fkv(*args, "--json").stdout)


# --- with nodes ---


@pytest.mark.kinds
def test_publish_waits_until_the_node_serves(store, daemon):
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    assert daemon.link("ads") == "v/1"
    store.build("ads", ROWS)
    done = store.fkv("publish", "ads")
    assert "activated: serving on 1 of 1 live node after" in done.stdout
    assert daemon.link("ads") == "v/2"
    done = store.fkv("rollback", "ads")
    assert "serving on 1 of 1 live node after" in done.stdout
    assert daemon.link("ads") == "v/1"


@pytest.mark.kinds
def test_two_nodes_switch_together(store, make_daemon):
    one, two = make_daemon("n1"), make_daemon("n2")
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    assert one.link("ads") == two.link("ads") == "v/1"
    record = as_json(store, "log", "--limit", "1")["records"][0]
    assert "effective" in record["ops"][0], "several nodes flip at one instant a moment ahead"
    done = as_json(store, "status")
    assert [(n["node"], n["tables"][0]["serving"], n["tables"][0]["settled"]) for n in done["nodes"]] == [
        ("n1", 1, True), ("n2", 1, True)]


def test_a_pinned_node_is_not_waited_for(store, make_daemon):
    one, two = make_daemon("n1"), make_daemon("n2", "--label", "canary")
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    store.fkv("pin", "ads", "1", "--label", "canary")
    store.publish("ads", ROWS)
    assert one.link("ads") == "v/2"
    assert two.link("ads") == "v/1"
    store.fkv("unpin", "ads", "--label", "canary")
    two.wait_current("ads", 2)


def test_a_node_that_cannot_take_the_version_blocks_and_says_why(store, make_daemon):
    small = make_daemon("small", "--memory", "1M")
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    rows = [(i, "x" * 1000) for i in range(10000)]
    store.build("ads", rows)
    done = store.fkv("publish", "ads", "--max-change", "0", check=False)
    assert done.returncode == 3, done.stderr
    assert "stays a candidate" in done.stderr and "node small" in done.stderr, done.stderr
    assert "memory" in done.stderr.lower() or "budget" in done.stderr, done.stderr
    assert small.link("ads") == "v/1"
    assert [v["state"] for v in as_json(store, "ls", "ads")["versions"]] == ["current", "candidate"]
    status = store.fkv("status").stdout
    assert "2 failed" in status, status
    # A second node that can take it makes a quorum of one.
    big = make_daemon("big")
    fkvtest.wait_until(lambda: big.link("ads") == "v/1", "the second node follows")
    store.build("ads", rows)
    done = store.fkv("publish", "ads", "--max-change", "0", "--quorum", "1", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert big.link("ads") == "v/3" and small.link("ads") == "v/1"
    assert small.read("ads", "current", "key", "7") == b"v7"


def test_a_dead_node_does_not_hold_anything_up(store, make_daemon):
    make_daemon("n1")
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    node = os.path.join(store.path, "nodes", "n1.json")
    with open(node, encoding="utf-8") as file:
        text = file.read()
    heartbeat_of_dead = json.loads(text)
    old = heartbeat_of_dead["node"]
    heartbeat_of_dead["node"] = "dead"
    for member, value in heartbeat_of_dead.items():
        if isinstance(value, int) and value > 10**18:
            heartbeat_of_dead[member] = value - 3600 * 10**9
    assert old == "n1"
    with open(os.path.join(store.path, "nodes", "dead.json"), "w", encoding="utf-8") as file:
        json.dump(heartbeat_of_dead, file)
    store.build("ads", ROWS)
    started = time.monotonic()
    done = store.fkv("publish", "ads", check=False)
    assert done.returncode == 0, done.stderr
    assert "serving on 1 of 1 live node" in done.stdout
    assert time.monotonic() - started < 15
    assert "gone" in store.fkv("status").stdout


def test_waiting_ends_with_the_timeout_and_the_candidate_can_be_activated_later(store, make_daemon):
    daemon = make_daemon("n1")
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        store.build("ads", ROWS)
        done = store.fkv("publish", "ads", "--timeout", "700ms", check=False)
        assert done.returncode == 4, done.stderr
        assert "0 of 1 live node ready" in done.stderr and "fkv activate ads=2" in done.stderr
        assert as_json(store, "ls", "ads")["current"] == 1
        # Taking over waits for the node too; only --no-wait does not.
        done = store.fkv("activate", "ads", "--timeout", "300ms", check=False)
        assert done.returncode == 4 and "not switched" in done.stderr and "--no-wait" in done.stderr, done.stderr
        assert as_json(store, "ls", "ads")["current"] == 1
        done = store.fkv("activate", "ads=2", "--no-wait")
        assert as_json(store, "ls", "ads")["current"] == 2
        done = store.fkv("activate", "ads", "--timeout", "300ms", check=False)
        assert done.returncode == 4 and "0 of 1 live node serving" in done.stderr, done.stderr
        store.fkv("activate", "ads=1", "--no-wait")
        done = store.fkv("rollback", "ads", "--to", "2", "--timeout", "300ms", check=False)
        assert done.returncode == 4 and "nodes follow when they can" in done.stderr, done.stderr
        assert as_json(store, "ls", "ads")["current"] == 2
        store.build("ads", ROWS)
        done = store.fkv("publish", "ads", "--no-wait")
        assert "without waiting for 1 live node" in done.stdout
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    daemon.wait_current("ads", 3)


def test_a_slow_publisher_does_not_take_the_fleet_back(store, make_daemon):
    daemon = make_daemon("n1")
    for table in ("ads", "users"):
        store.publish(table, ROWS, "--key", "u64", "--value", "bytes")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        store.build("ads", ROWS, "--task", "slow")
        store.build("users", ROWS, "--task", "slow")
        one = spawn(store, "publish", "ads=slow")
        fkvtest.wait_until(lambda: len(as_json(store, "ls", "ads")["versions"]) == 2, "the slow one has published")
        store.build("ads", ROWS, "--task", "fast")
        store.fkv("publish", "ads=fast", "--no-wait")
        out, err = one.communicate(timeout=20)
        assert one.returncode == 0, err
        assert "not activated: ads has a later version than 2 as its current one, 3" in out
        # Of two tables that were published together, none is switched to alone.
        store.build("ads", ROWS, "--task", "slow2")
        two = spawn(store, "publish", "ads=slow2", "users=slow")
        fkvtest.wait_until(lambda: len(as_json(store, "ls", "users")["versions"]) == 2, "both are published")
        store.build("ads", ROWS, "--task", "fast2")
        store.fkv("publish", "ads=fast2", "--no-wait")
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    out, err = two.communicate(timeout=20)
    assert two.returncode == 3 and "not activated" in err, err
    assert (as_json(store, "ls", "ads")["current"], as_json(store, "ls", "users")["current"]) == (5, 1)


def test_a_local_pin_is_shown_and_taken_off(store, daemon):
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    store.publish("ads", ROWS)
    subprocess.run(["ln", "-sfn", "v/1", daemon.path("ads", "current")], check=True)
    fkvtest.wait_until(lambda: "pinned on its host" in store.fkv("status").stdout, "the pin is shown")
    store.publish("ads", ROWS)
    assert daemon.link("ads") == "v/1"
    store.fkv("unpin", "ads", "--local", "--mount", daemon.mount)
    daemon.wait_current("ads", 3)


@pytest.mark.kinds
def test_get_and_bench_read_through_the_mount(store, daemon):
    store.publish("vecs", [(i, f"{i},0.5,-1") for i in range(1000)], "--key", "u64", "--value", "f16[3]")
    store.publish("vecs", [(i, f"{i},0.25,-1") for i in range(1000)])
    store.publish("words", [(f"w{i}", f"text {i}") for i in range(1000)], "--key", "bytes", "--value", "bytes")
    args = ["--mount", daemon.mount]
    assert store.fkv("get", "vecs", "7", *args).stdout == "7\t7,0.25,-1\n"
    assert store.fkv("get", "vecs", "7", *args, "--version", "1").stdout == "7\t7,0.5,-1\n"
    assert store.fkv("get", "vecs", "7", *args, "--version", "previous").stdout == "7\t7,0.5,-1\n"
    assert store.fkv("get", "words", "w3", *args).stdout == "w3\ttext 3\n"
    done = store.fkv("get", "words", "w3", "none", *args, "--json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"table": "words", "version": 1, "keys": [
        {"key": "w3", "found": True, "value": "text 3"}, {"key": "none", "found": False}]}
    for table in ("vecs", "words"):
        out = json.loads(store.fkv("bench", table, *args, "--time", "100ms", "--batch", "1,500", "--threads", "2",
                                   "--json").stdout)
        assert [r["batch"] for r in out["results"]] == [1, 500]
        assert all(r["hit_rate"] == 1 and r["keys_per_s"] > 0 and 0 < r["p50_us"] <= r["p999_us"] for r in out["results"])
    keys = os.path.join(os.path.dirname(store.path), "keys")
    with open(keys, "w", encoding="utf-8") as file:
        file.write("".join(f"{i}\n" for i in range(500, 1500)))
    out = json.loads(store.fkv("bench", "vecs", *args, "--time", "50ms", "--batch", "1000", "--keys", keys, "--json").stdout)
    assert out["results"][0]["hit_rate"] == 0.5


def wait_for_record(store, op, table, n):
    """Until the log has n records with that op on that table."""
    def count():
        return sum(o["op"] == op and o["table"] == table for r in as_json(store, "log")["records"] for o in r["ops"])
    fkvtest.wait_until(lambda: count() >= n, f"{n} x {op} {table}")


def test_a_publisher_that_waits_does_not_undo_a_rollback(store, daemon):
    for _ in range(2):
        store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    store.build("ads", ROWS)
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        process = spawn(store, "publish", "ads")
        wait_for_record(store, "publish", "ads", 3)
        store.fkv("rollback", "ads", "--no-wait")
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3, out + err
    assert "back to version 1 meanwhile" in err and "fkv activate ads=3" in err, err
    assert as_json(store, "ls", "ads")["current"] == 1
    store.fkv("activate", "ads=3")
    assert daemon.link("ads") == "v/3"


def test_one_who_waits_for_nodes_is_told_when_another_switches(store, daemon):
    for _ in range(3):
        store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        process = spawn(store, "activate", "ads=1")
        wait_for_record(store, "activate", "ads", 4)
        store.fkv("activate", "ads=2", "--no-wait")
        out, err = process.communicate(timeout=20)
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    assert process.returncode == 3, out + err
    assert "superseded by record" in err and "version 2 current" in err, err
    daemon.wait_current("ads", 2)


# --- kill -9 ---


def check_whole(store, table):
    """Everything published is whole, and numbers ascend without gaps in what they name."""
    assert as_json(store, "verify")["bad"] == 0
    listing = as_json(store, "ls", table)
    numbers = [v["version"] for v in listing["versions"]]
    assert numbers == sorted(set(numbers))
    return listing


def test_a_publisher_killed_at_any_moment_harms_nothing(store):
    """At random moments here; tests/unit/test_publish.c goes through every step."""
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    rng = random.Random(4711)
    killed = published = 0
    for i in range(200):  # 40 rounds, and on a slow machine more, until some were killed
        if i >= 40 and killed > 5:
            break
        last = 10**6 + i
        task = f"task{i:03d}"
        store.build("ads", ROWS + [(last, "mark")], "--task", task)
        process = spawn(store, "publish", f"ads={task}")
        time.sleep(rng.uniform(0, 0.025))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        done = store.fkv("publish", f"ads={task}", check=False)
        assert done.returncode == 0 or (done.returncode == 3 and "published already" in done.stderr), done.stderr
        published += 1
        listing = as_json(store, "ls", "ads")
        assert len(listing["versions"]) == 1 + published
    assert killed > 5, "the rounds were too slow to kill anything"
    listing = check_whole(store, "ads")
    newest = listing["versions"][-1]["version"]
    assert store.fkv("get", "ads", last, "--direct", "--version", newest).stdout.endswith("mark\n")
    gone = as_json(store, "gc", "--staging-age", "0")
    assert gone["builds"] == 0
    check_whole(store, "ads")


def log_length(store):
    """Records there are, without a process: quick enough to kill somebody right behind one."""
    return sum(name[0] != "s" and name.endswith(".json") for name in os.listdir(os.path.join(store.path, "log")))


@pytest.mark.parametrize("step", ["before its record", "while nodes prepare", "behind its activation", "on canary"])
def test_whoever_comes_next_finishes_what_a_killed_publisher_began(store, make_daemon, step):
    one, two = make_daemon("n1"), make_daemon("n2")
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    store.build("ads", ROWS + [(1000, "new")])
    records = log_length(store)
    args = ["publish", "ads"] + (["--canary", "n1"] if step == "on canary" else [])
    if step in ("while nodes prepare", "on canary"):
        one.process.send_signal(signal.SIGSTOP)
    try:
        process = spawn(store, *args)
        wanted = {"before its record": records, "behind its activation": records + 2}.get(step, records + 1)
        fkvtest.wait_until(lambda: log_length(store) >= wanted, "it has come that far")
        process.kill()
        process.communicate()
    finally:
        one.process.send_signal(signal.SIGCONT)
    if log_length(store) == records:
        store.fkv("publish", "ads")
    else:
        done = store.fkv("publish", "ads", check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        if step != "behind its activation":
            assert "version 2 is published and not activated" in done.stderr, done.stderr
        done = store.fkv("promote" if step == "on canary" else "activate", "ads")
        assert "serving on 2 of 2 live nodes" in done.stdout, done.stdout
    for node in (one, two):
        assert node.link("ads") == "v/2" and node.read("ads", "current", "key", "1000") == b"new"
    listing = as_json(store, "ls", "ads")
    assert [v["version"] for v in listing["versions"]] == [1, 2] and listing["current"] == 2


# --- going back ---


@pytest.mark.slow
@pytest.mark.kinds
def test_a_rollback_of_several_tables_is_one_record_and_takes_less_than_a_second(store, make_daemon):
    nodes = [make_daemon(f"n{i}", "--poll", "250") for i in range(4)]
    for _ in range(2):
        for table in ("ads", "users"):
            store.build(table, ROWS, "--key", "u64", "--value", "bytes")
        store.fkv("publish", "ads", "users")
    took = []
    for _ in range(5):
        started = time.monotonic()
        done = as_json(store, "rollback", "ads", "users")
        took.append(time.monotonic() - started)
        assert done["serving_nodes"] == 4 and len(done["tables"]) == 2 and done["waited"]
        assert all(node.link(table) == "v/1" for node in nodes for table in ("ads", "users"))
        assert done["skew_ms"] is not None and done["seconds"]["switch"] <= done["seconds"]["total"]
        store.fkv("activate", "ads=2", "users=2", "--force")
    assert sorted(took)[2] < 1, took
    ops = as_json(store, "log", "--limit", "2")["records"][0]["ops"]
    assert [op["op"] for op in ops] == ["rollback", "rollback"] and ops[0]["effective"] == ops[1]["effective"]


@pytest.mark.kinds
def test_a_rollback_loads_what_is_cached_and_fetches_what_is_not(store, make_daemon):
    nodes = [make_daemon("n1", "--keep", "1"), make_daemon("n2", "--keep", "4")]
    for i in range(5):
        store.publish("ads", [(k, f"{v}-{i + 1}") for k, v in ROWS], "--key", "u64", "--value", "bytes")
    for version in (2, 4, 1):
        done = store.fkv("rollback", "ads", "--to", str(version), "--force")
        assert "serving on 2 of 2 live nodes" in done.stdout, done.stdout
        for node in nodes:
            assert node.link("ads") == f"v/{version}"
            assert node.read("ads", "current", "key", "7") == f"v7-{version}".encode()
    # 3 is the last one that nobody has rolled back from.
    store.fkv("rollback", "ads")
    assert [node.link("ads") for node in nodes] == ["v/3"] * 2
    done = store.fkv("rollback", "ads", check=False)
    assert done.returncode == 1 and "no previous version" in done.stderr, done.stderr


@pytest.mark.kinds
def test_a_rollback_that_a_node_cannot_follow_names_it(store, make_daemon):
    """The parts of the older version are gone from the store; one node has them still."""
    keeps, lost = make_daemon("keeps", "--keep", "4"), make_daemon("lost", "--keep", "1")
    for i in range(4):
        store.publish("ads", [(k, f"{v}-{i + 1}") for k, v in ROWS], "--key", "u64", "--value", "bytes")
    parts = os.path.join(store.path, "tables", "ads", "v", "1", "parts")
    fkvtest.wait_until(lambda: not os.path.exists(lost.path("ads", "v", "1")), "the node has dropped version 1")
    for name in os.listdir(parts):
        os.unlink(os.path.join(parts, name))
    done = store.fkv("rollback", "ads", "--to", "1", check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "node lost" in done.stderr and "nodes follow when they can" in done.stderr, done.stderr
    assert keeps.link("ads") == "v/1" and lost.link("ads") == "v/4"
    issues = as_json(store, "status")["issues"]
    assert [(i["node"], i["kind"], i["problem"]) for i in issues if i["problem"]] == [("lost", "failing", True)]
    assert store.fkv("status", "--check", check=False).returncode == 3


def test_a_builder_killed_at_any_moment_leaves_nothing_visible(store, work_dir):
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    path = os.path.join(work_dir, "big.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{i}\tvalue-{i}-{'x' * (i % 50)}\n" for i in range(60000))
    rng = random.Random(1)
    for i in range(15):
        process = spawn(store, "build", "ads", path, "--memory", "64M", "--scratch", work_dir, "--task", f"k{i:02d}")
        time.sleep(rng.uniform(0.005, 0.12))
        process.kill()
        process.communicate()
        assert as_json(store, "ls", "ads")["current"] == 1
    # The same task again: what the dead one left is in nobody's way.
    if not os.path.exists(os.path.join(store.path, "tables/ads/staging/k00/version.json")):
        store.fkv("build", "ads", path, "--task", "k00")
    store.fkv("publish", "ads=k00", "--max-change", "0")
    check_whole(store, "ads")
    store.fkv("gc", "--staging-age", "0", "--sealed-age", "0")
    assert os.listdir(os.path.join(store.path, "tables/ads/staging")) == []
    assert not [name for name in os.listdir(work_dir) if "scratch" in name or name.startswith(".tmp")]
    check_whole(store, "ads")


def test_a_build_that_is_interrupted_cleans_up(store, work_dir):
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    fifo = os.path.join(work_dir, "slow.tsv")
    staging = os.path.join(store.path, "tables/ads/staging")
    os.mkfifo(fifo)
    process = spawn(store, "build", "ads", fifo, "--task", "slow")
    with open(fifo, "w", encoding="utf-8") as file:
        file.write("1\tx\n" * 10)
        file.flush()
        fkvtest.wait_until(lambda: any(name.startswith(".work-slow-") for name in os.listdir(staging)), "the build began")
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, err = process.communicate(timeout=20)
    assert process.returncode != 0
    assert os.listdir(staging) == [], err


# --- full disks ---


@pytest.fixture
def small_store(work_dir):
    """A store on a file system of 2 MiB."""
    path = os.path.join(work_dir, "small")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], check=True)
    try:
        yield fkvtest.Store(os.path.join(path, "store"))
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def fill(directory, leave=0):
    path = os.path.join(directory, "ballast")
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    if leave:
        os.truncate(path, max(0, os.path.getsize(path) - leave))
    return path


def test_a_full_store_refuses_and_stays_whole(small_store, work_dir):
    store = small_store
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{i}\t{i}\n" for i in range(100))
    store.fkv("build", "ads", path, "--key", "u64", "--value", "bytes", "--publish")
    big = os.path.join(work_dir, "big.tsv")
    with open(big, "w", encoding="utf-8") as file:
        file.writelines(f"{i}\t{'x' * 100}\n" for i in range(30000))
    done = store.fkv("build", "ads", big, check=False)
    assert done.returncode == 3 and "No space left" in done.stderr, done.stderr
    store.fkv("gc", "--staging-age", "0")
    store.fkv("build", "ads", path, "--task", "good")
    ballast = fill(store.path)
    for args in (["publish", "ads=good"], ["tag", "ads", "1", "golden"], ["rollback", "ads", "--to", "1"]):
        done = store.fkv(*args, check=False)
        assert done.returncode == 3, f"{args} {done.stderr}"
    assert as_json(store, "verify")["bad"] == 0
    os.unlink(ballast)
    store.fkv("publish", "ads=good")
    assert check_whole(store, "ads")["current"] == 2


def test_a_full_scratch_directory_names_itself(store, small_store, work_dir):
    scratch = os.path.join(work_dir, "small")
    fill(scratch)
    big = os.path.join(work_dir, "big.tsv")
    with open(big, "w", encoding="utf-8") as file:
        file.writelines(f"{i}\t{'x' * 200}\n" for i in range(600000))
    done = store.fkv("build", "ads", big, "--key", "u64", "--value", "bytes", "--memory", "64M", "--scratch", scratch, check=False)
    assert done.returncode == 3 and "No space left" in done.stderr, done.stderr
    assert "small" in done.stderr or "--scratch" in done.stderr, done.stderr
    assert not os.path.exists(os.path.join(store.path, "tables/ads/v"))
