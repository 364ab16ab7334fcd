# SPDX-License-Identifier: Apache-2.0
"""kill -9 of nodes in every state and of publishers at any moment: no wrong value, nothing lost, nothing to clean by hand."""

import os
import random
import signal
import time

import fkvtest
import pytest
from fleet import fleet, sleep_until  # noqa: F401

BIG_KEYS = 12000  # of 4 KiB: some 49 MB
ROOM_MIB = 13 if fkvtest.KIND == "mem" else 23  # three versions of 1,000 keys of 4 KiB, which take two blocks each on disk
# Tables on disk load their tails only, too fast to be met.
PREPARING = ["fetching", "loading", "ready"] if fkvtest.KIND == "mem" else ["fetching", "ready"]


def one_mount(node):
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return sum(line.split()[1] == node.mount for line in mounts) == 1


def kill_in(node, table, version, state):
    """Kills the node while it says it is in that state. Returns how far it said it was."""
    def look():
        for one in node.table(table).get("versions", []):
            if one["version"] == version and one["state"] == state and (state != "fetching" or one["done"]):
                return one
        return None

    end = time.monotonic() + fkvtest.PATIENCE_S
    while time.monotonic() < end:
        found = look()
        if found:
            node.kill()
            return found
    raise AssertionError(f"{node.name} was never seen {state}\n{node.log()}")


def restarted(node, table, version):
    node.start()
    assert one_mount(node)
    node.wait_serving(table, version, timeout_s=2 * fkvtest.PATIENCE_S)


@pytest.mark.slow
@pytest.mark.kinds
@pytest.mark.parametrize("state", PREPARING)
def test_a_node_killed_while_it_prepares_a_version(fleet, state):  # noqa: F811
    n1, n2, n3 = fleet.start(3)
    fleet.publish("big", n_keys=BIG_KEYS)
    fleet.watch("big", n_keys=BIG_KEYS, pause=0.01)
    task = fleet.build("big", n_keys=BIG_KEYS)
    publisher = fleet.store.spawn("publish", f"big={task}", "--no-activate")
    kill_in(n3, "big", 2, state)
    _, err = publisher.communicate(timeout=60)
    assert publisher.returncode == 0, err
    fleet.published("big")
    for node in (n1, n2):
        node.wait_state("big", 2, "ready")
    fleet.store.fkv("activate", "big=2", "--no-wait")
    fleet.wait_serving("big", 2, nodes=[n1, n2])
    restarted(n3, "big", 2)
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("big", [1, 2])


@pytest.mark.slow
@pytest.mark.kinds
def test_a_node_killed_about_the_effective_instant(fleet):  # noqa: F811
    """And later: while it serves. It comes back on the old or the new version, and ends on the new one."""
    n1, n2, n3 = fleet.start(3)
    fleet.publish("ads")
    fleet.watch("ads")
    history = [1]
    for late_ms in (-80, -10, -1, 0, 1, 3, 10, 300) if fkvtest.LONG else (-80, -1, 1, 10, 300):
        task = fleet.build("ads")
        fleet.store.fkv("publish", f"ads={task}", "--no-activate")
        version = fleet.published("ads")
        for node in (n1, n2, n3):
            node.wait_state("ads", version, "ready")
        fleet.store.fkv("activate", f"ads={version}", "--no-wait")
        _, effective_ns, _ = fleet.switches("ads")[-1]
        assert effective_ns, "several nodes flip at one instant"
        sleep_until(effective_ns + late_ms * 10**6)
        n3.kill()
        restarted(n3, "ads", version)
        fleet.wait_serving("ads", version)
        history.append(version)
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("ads", history)


@pytest.mark.slow
def test_a_node_killed_during_a_rollback(fleet):  # noqa: F811
    nodes = fleet.start(3)
    fleet.publish("ads")
    fleet.watch("ads")
    rng = random.Random(7)
    history = [1]
    for _ in range(6 if fkvtest.LONG else 3):
        (version,) = fleet.publish("ads")
        fleet.wait_serving("ads", version)
        back = fleet.store.spawn("rollback", "ads", "--no-wait")
        time.sleep(rng.uniform(0, 0.4))
        nodes[2].kill()
        assert back.wait(timeout=30) == 0, back.communicate()
        back.communicate()
        restarted(nodes[2], "ads", 1)
        fleet.wait_serving("ads", 1)
        history += [version, 1]
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("ads", history)


@pytest.mark.kinds
@pytest.mark.concurrent
@pytest.mark.parametrize("option", [("--keep", "0"), ("--cache-limit", f"{ROOM_MIB}M")])
def test_a_node_killed_while_it_evicts(fleet, option):  # noqa: F811
    """It keeps no former version, or has room for three versions: every one drives another out."""
    nodes = [fleet.add("n1"), fleet.add("n2", *option)]
    fleet.publish("big", n_keys=1000)
    fleet.watch("big", n_keys=1000, pause=0.01)
    rng = random.Random(3)
    for _ in range(6 if fkvtest.LONG else 4):
        (version,) = fleet.publish("big", n_keys=1000, args=("--no-wait",))
        time.sleep(rng.uniform(0, 0.6))
        nodes[1].kill()
        restarted(nodes[1], "big", version)
        fleet.wait_serving("big", version)
    assert len(os.listdir(os.path.join(nodes[0].cache, "parts"))) > 3, "the other one keeps some"
    used = os.path.join(nodes[1].cache, "parts")
    fkvtest.wait_until(lambda: sum(os.path.getsize(os.path.join(used, name)) for name in os.listdir(used)) <= ROOM_MIB << 20,
                       "what is not kept has left the cache")
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("big")


@pytest.mark.kinds
@pytest.mark.concurrent
def test_all_nodes_killed_at_once(fleet):  # noqa: F811
    nodes = fleet.start(3)
    fleet.publish("ads")
    fleet.publish("ads")
    fleet.watch("ads")
    for node in nodes:
        node.kill()
    task = fleet.build("ads")
    fleet.store.fkv("publish", f"ads={task}", "--no-wait")
    for node in nodes:
        node.start(wait=False)
    for node in nodes:
        fkvtest.wait_until(node.answers, "the mount answers")
        assert one_mount(node)
    fleet.wait_serving("ads", 3)
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("ads", [2, 3])


# --- publishers ---


def find_mark(store, table, version, marks):
    """What a version holds, by the key that only its mark has."""
    done = store.fkv("get", table, *(10**9 + mark for mark in marks), "--direct", "--version", version, check=False)
    found = [line for line in done.stdout.splitlines() if " own " in line]
    assert len(found) == 1, done.stdout + done.stderr
    return int(found[0].rsplit(" ", 1)[1])


def take_over(store, task, known):
    """What the next run of a pipeline does after a publisher died: publishes what is not published, activates what is not current."""
    versions = [v["version"] for v in store.json("ls", "ads")["versions"]]
    new = [version for version in versions if version not in known]
    assert len(new) <= 1, "one build is one version"
    if not new:
        return store.json("publish", f"ads={task}", "--max-change", "0")[0]["version"]
    done = store.fkv("publish", f"ads={task}", check=False)
    assert done.returncode == 3 and "published already" in done.stderr, done.stderr
    done = store.fkv("activate", f"ads={new[0]}", check=False)
    assert done.returncode == 0 or store.json("ls", "ads")["current"] == new[0], done.stderr
    return new[0]


@pytest.mark.slow
def test_a_publisher_killed_at_any_moment_is_taken_over(fleet):  # noqa: F811
    fleet.start(2)
    fleet.publish("ads")
    checkers = fleet.watch("ads", marks=True)
    rng = random.Random(11)
    known, marks = [1], {1: 1}
    killed = published_first = 0
    for mark in range(2, 18 if fkvtest.LONG else 11):
        task = fleet.build("ads", mark=mark)
        process = fleet.store.spawn("publish", f"ads={task}", "--max-change", "0")
        time.sleep(rng.uniform(0, 0.7))
        process.kill()
        killed += process.wait(timeout=30) == -signal.SIGKILL
        process.communicate()
        published_first += len(fleet.store.json("ls", "ads")["versions"]) > len(known)
        version = take_over(fleet.store, task, known)
        known.append(version)
        marks[version] = mark
        fleet.wait_serving("ads", version)
    assert killed >= 2 and published_first >= 1, f"killed {killed}, after it had published {published_first}"
    assert [v["version"] for v in fleet.store.json("ls", "ads")["versions"]] == known
    assert fleet.store.json("verify")["bad"] == 0
    for version in known:
        assert find_mark(fleet.store, "ads", version, marks.values()) == marks[version]
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("ads", known)
    for one in checkers.values():
        assert all(marks[flip["new"]] == flip["mark"] for flip in one.flips("ads"))


@pytest.mark.slow
def test_a_publisher_that_is_stopped_is_taken_over_and_does_no_harm_when_it_goes_on(fleet):  # noqa: F811
    n1, _ = fleet.start(2)
    fleet.publish("ads")
    fleet.watch("ads")
    n1.pause()  # so that it waits
    task = fleet.build("ads")
    publisher = fleet.store.spawn("publish", f"ads={task}", "--max-change", "0")
    fkvtest.wait_until(lambda: len(fleet.store.json("ls", "ads")["versions"]) == 2, "it has published")
    publisher.send_signal(signal.SIGSTOP)
    try:
        n1.resume()
        n1.wait_state("ads", 2, "ready")
        fleet.store.fkv("activate", "ads=2")
        fleet.published("ads")
        fleet.wait_serving("ads", 2)
        fleet.publish("ads")
    finally:
        publisher.send_signal(signal.SIGCONT)
    out, err = publisher.communicate(timeout=60)
    assert publisher.returncode in (0, 3), out + err
    fleet.wait_more()
    assert fleet.store.json("ls", "ads")["current"] == 3
    fleet.finish()
    fleet.check_order("ads", [1, 2, 3])
