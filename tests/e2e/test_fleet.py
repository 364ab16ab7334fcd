# SPDX-License-Identifier: Apache-2.0
"""The fleet as an operator knows it: rolling out, going back, canaries, pins; every answered batch is checked against the truth."""

import os
import subprocess
from argparse import Namespace

import checker
import fkvtest
import pytest
from fleet import FLIP_S, fleet, pair_lag_s, skew_s, wait_flips  # noqa: F401

BIG_KEYS = 3000  # of 4 KiB: some 12 MB


def test_the_checker_itself_sees_one_wrong_value(fleet):  # noqa: F811
    node = fleet.add("n1")
    rows = checker.rows("ads", 1)
    rows[300] = (rows[300][0], "wrong")
    fleet.store.build("ads", rows)
    fleet.store.fkv("publish", "ads")
    keys = [key for key, _ in rows[295:305]]
    reader = checker.Reader(Namespace(mount=node.mount, keys=checker.N_KEYS, marks=False), "ads", "shared", keys)
    with pytest.raises(AssertionError, match="1 of 10 values are wrong"):
        reader.ask()
    reader.way.close()


# --- all together ---


@pytest.mark.slow
@pytest.mark.kinds
def test_all_nodes_flip_together_and_back(fleet):  # noqa: F811
    fleet.start(4)
    fleet.publish("ads")
    checkers = fleet.watch("ads")
    fleet.publish("ads")
    wait_flips(checkers, "ads", 2)
    assert skew_s(checkers, "ads", 2) < FLIP_S
    out = fleet.store.json("rollback", "ads", "--reason", "at 3 a.m.")
    assert out["live_nodes"] == 4
    wait_flips(checkers, "ads", 1, turn=2)
    assert skew_s(checkers, "ads", 1, turn=2) < FLIP_S
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("ads", [1, 2, 1])


@pytest.mark.kinds
@pytest.mark.concurrent
def test_tables_of_one_record_flip_together_on_every_node(fleet):  # noqa: F811
    """
    A reader asks ads, users, ads, users … Once an answer of either came from the new version, no batch of the other that begins
    later may come from its old one, but for the moment in which a node goes through its tables.
    """
    fleet.start(3)
    fleet.publish("ads", "users")
    checkers = fleet.watch("ads", "users", pause=0.001)
    for _ in range(4):
        version, other = fleet.publish("ads", "users")
        assert version == other
        for table in ("ads", "users"):
            wait_flips(checkers, table, version)
            assert skew_s(checkers, table, version) < FLIP_S
    fleet.store.fkv("rollback", "ads", "users")
    for table in ("ads", "users"):
        wait_flips(checkers, table, 4, turn=2)
    fleet.finish()
    for table in ("ads", "users"):
        fleet.check_order(table, [1, 2, 3, 4, 5, 4])
    for one in checkers.values():
        assert one.seen("ads") == one.seen("users") == [1, 2, 3, 4, 5, 4]
        assert pair_lag_s(one, "ads", "users") < 0.25, f"{one.out}: one table lagged behind the other"


@pytest.mark.slow
def test_one_table_s_trouble_keeps_both_back(fleet):  # noqa: F811
    """Released together means both or none: the one that does not fit holds the other one back too."""
    fleet.start(2, "--memory", "6M")
    fleet.publish("ads", "big", n_keys=50)
    checkers = fleet.watch("ads", "big", n_keys=50)
    items = [f"ads={fleet.build('ads', n_keys=50)}", f"big={fleet.build('big', n_keys=BIG_KEYS)}"]
    done = fleet.store.fkv("publish", *items, "--max-change", "0", check=False)
    assert done.returncode == 3 and "stays a candidate" in done.stderr, done.stdout + done.stderr
    fleet.wait_more()
    fleet.finish()
    for one in checkers.values():
        assert one.seen("ads") == one.seen("big") == [1]


# --- dead, late, failing, returning ---


@pytest.mark.slow
def test_a_late_node_is_waited_for_and_a_quorum_is_not(fleet):  # noqa: F811
    n1, n2, n3 = fleet.start(3)
    fleet.publish("ads")
    fleet.watch("ads", nodes=[n1, n2])
    n3.pause()
    task = fleet.build("ads")
    done = fleet.store.fkv("publish", f"ads={task}", "--timeout", "2s", check=False)
    assert done.returncode == 4 and "2 of 3 live nodes ready" in done.stderr, done.stderr
    fleet.published("ads")
    fleet.publish("ads", args=("--quorum", "2"))
    fleet.wait_serving("ads", 3, nodes=[n1, n2])
    n3.resume()
    n3.wait_serving("ads", 3)
    fleet.finish()
    fleet.check_order("ads", [1, 3])


@pytest.mark.slow
def test_a_node_that_fails_is_named_and_the_others_go_on(fleet):  # noqa: F811
    n1, n2 = fleet.start(2)
    n3 = fleet.add("n3", "--memory", "6M")
    fleet.publish("big", n_keys=100)
    fleet.watch("big", n_keys=100)
    task = fleet.build("big", n_keys=BIG_KEYS)
    done = fleet.store.fkv("publish", f"big={task}", "--max-change", "0", check=False)
    assert done.returncode == 3 and "node n3" in done.stderr and "budget" in done.stderr, done.stderr
    fleet.published("big")
    assert [node.serves("big") for node in (n1, n2, n3)] == [1, 1, 1]

    def is_failing():
        return [i for i in fleet.store.json("status")["issues"]
                if i["node"] == "n3" and i["kind"] == "failing" and "budget" in i["text"]]

    fkvtest.wait_until(is_failing, "the status says who failed to prepare it")
    assert fleet.store.fkv("status", "--check", check=False).returncode == 3
    done = fleet.store.fkv("activate", "big=2", "--no-wait")
    fleet.wait_serving("big", 2, nodes=[n1, n2])
    fkvtest.wait_until(is_failing, "the status says who fails to serve it")
    assert n3.serves("big") == 1
    # Somebody gives it the memory: it comes back, and catches up.
    assert n3.stop() == 0
    n3.args += ["--memory", "1G"]
    n3.start()
    n3.wait_serving("big", 2)
    fleet.wait_more()
    fleet.finish()


def test_a_full_cache_disk_fails_one_node_only(fleet):  # noqa: F811
    n1 = fleet.add("n1")
    n2 = fleet.add("n2", start=False)
    os.makedirs(n2.cache)
    # Of which fkvd leaves 64 MiB free.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=72m", "tmpfs", n2.cache], check=True)
    try:
        n2.start()
        fleet.publish("big", n_keys=100)
        fleet.watch("big", n_keys=100)
        task = fleet.build("big", n_keys=BIG_KEYS)
        done = fleet.store.fkv("publish", f"big={task}", "--max-change", "0", check=False)
        assert done.returncode == 3 and "node n2" in done.stderr, done.stderr
        fleet.published("big")
        fleet.wait_more()
        fleet.finish()
        assert (n1.serves("big"), n2.serves("big")) == (1, 1)
        assert n2.stop() == 0
        n2.start()
        assert n2.serves("big") == 1, "what it has, it serves"
    finally:
        n2.clean()
        fkvtest.unmount(n2.cache)


@pytest.mark.slow
@pytest.mark.kinds
def test_a_node_that_comes_late_catches_up(fleet):  # noqa: F811
    n1, n2 = fleet.start(2)
    for _ in range(2):
        fleet.publish("ads")
    n2.kill()
    fleet.publish("ads", args=("--quorum", "1"))
    fleet.store.fkv("rollback", "ads", "--no-wait")
    n1.wait_serving("ads", 2)
    fleet.publish("ads", args=("--quorum", "1"))
    n2.start()
    fleet.add("n3")
    fleet.wait_serving("ads", 4)
    fleet.watch("ads")
    fleet.wait_more()
    fleet.finish()
    assert all(one.seen("ads") == [4] for one in fleet.checkers)


@pytest.mark.slow
def test_two_hosts_of_one_name_are_told(fleet):  # noqa: F811
    """Nobody can count them; both serve all the same."""
    n1 = fleet.add("n1")
    fleet.publish("ads")
    other = fleet.add("n1-again", "--node", "n1")
    for node in (n1, other):
        node.wait_serving("ads", 1)
    fkvtest.wait_until(lambda: "calls itself node n1 too" in n1.log() + other.log(), "one of them says so")
    watch = fleet.store.spawn("status", "--watch=200ms")
    try:
        fkvtest.wait_until(lambda: "two daemons use this name" in watch.stdout.readline() or None, "status --watch says so")
    finally:
        watch.kill()
        watch.communicate()
    fleet.watch("ads")
    fleet.publish("ads", args=("--no-wait",))
    fleet.wait_serving("ads", 2)
    fleet.finish()


@pytest.mark.slow
def test_status_finds_trouble_for_whoever_asks(fleet):  # noqa: F811
    _, n2 = fleet.start(2)
    fleet.publish("ads")
    fleet.publish("ads")
    fkvtest.wait_until(lambda: fleet.store.fkv("status", "--check", check=False).returncode == 0, "all is well")
    n2.pause()
    fleet.publish("ads", args=("--no-wait",))
    fkvtest.wait_until(lambda: [i for i in fleet.store.json("status")["issues"] if (i["node"], i["kind"]) == ("n2", "behind")],
                       "the one that is behind is named")
    n2.resume()
    n2.wait_serving("ads", 3)
    fkvtest.wait_until(lambda: all(t["settled"] for n in ("n1", "n2") for t in fleet.node_status(n)["tables"]),
                       "all is well again")
    assert fleet.store.fkv("status", "--check", check=False).returncode == 0


# --- going back ---


@pytest.mark.slow
@pytest.mark.kinds
def test_rollback_to_a_cached_and_to_a_fetched_version(fleet):  # noqa: F811
    """Previous at once; an older one out of the cache; one that no node has any more from the store."""
    fleet.start(2, "--keep", "1")
    for _ in range(5):
        fleet.publish("ads")
    checkers = fleet.watch("ads")
    fleet.store.fkv("rollback", "ads")
    fleet.wait_serving("ads", 4)
    before = {node.name: node.fetched() for node in fleet.nodes.values()}
    fleet.store.fkv("rollback", "ads", "--to", "1")
    fleet.wait_serving("ads", 1)
    for node in fleet.nodes.values():
        assert node.fetched() > before[node.name], "version 1 had left the cache"
    fleet.wait_more()
    fleet.finish()
    assert all(one.seen("ads") == [5, 4, 1] for one in checkers.values())


@pytest.mark.slow
def test_quarantine_is_sticky(fleet):  # noqa: F811
    fleet.start(2)
    for _ in range(3):
        fleet.publish("ads")
    fleet.watch("ads")
    fleet.store.fkv("rollback", "ads")
    done = fleet.store.fkv("activate", "ads=3", check=False)
    assert done.returncode == 3 and "quarantine" in done.stderr, done.stderr
    fleet.publish("ads")
    fleet.store.fkv("rollback", "ads")
    fleet.wait_serving("ads", 2)
    fleet.store.fkv("activate", "ads=3", "--force")
    fleet.wait_serving("ads", 3)
    fleet.store.fkv("rollback", "ads", "--to", "1")
    done = fleet.store.fkv("activate", "ads=3", check=False)
    assert done.returncode == 3, "a forced activation does not end a quarantine"
    fleet.store.fkv("quarantine", "ads", "3", "--release")
    fleet.store.fkv("activate", "ads=3")
    fleet.wait_serving("ads", 3)
    fleet.finish()
    fleet.check_order("ads", [3, 2, 4, 2, 3, 1, 3])


# --- pins ---


@pytest.mark.slow
def test_pins_by_node_and_by_label(fleet):  # noqa: F811
    n1 = fleet.add("n1")
    n2 = fleet.add("n2", "--label", "control")
    n3 = fleet.add("n3", "--label", "control", "--label", "eu")
    fleet.publish("ads")
    fleet.publish("ads")
    checkers = fleet.watch("ads")
    fleet.store.fkv("pin", "ads", "1", "--label", "control")
    for node in (n2, n3):
        node.wait_serving("ads", 1)
    fleet.publish("ads")
    fleet.store.fkv("pin", "ads", "3", "--node", "n3")
    n3.wait_serving("ads", 3)
    assert [node.serves("ads") for node in (n1, n2, n3)] == [3, 1, 3]
    fleet.store.fkv("rollback", "ads")
    n1.wait_serving("ads", 2)
    assert [node.serves("ads") for node in (n2, n3)] == [1, 3], "pins stay"
    fkvtest.wait_until(lambda: all(t["settled"] for n in fleet.nodes for t in fleet.node_status(n)["tables"]),
                       "all are where they should be")
    fleet.store.fkv("unpin", "ads", "--node", "n3")
    n3.wait_serving("ads", 1)
    fleet.store.fkv("unpin", "ads", "--label", "control")
    for node in (n2, n3):
        node.wait_serving("ads", 2)
    fleet.finish()
    seen = {name: one.seen("ads") for name, one in checkers.items()}
    assert seen == {"n1": [2, 3, 2], "n2": [2, 1, 2], "n3": [2, 1, 3, 1, 2]}


@pytest.mark.slow
def test_a_pin_is_kept_over_a_restart(fleet):  # noqa: F811
    n1, n2 = fleet.start(2)
    fleet.publish("ads")
    fleet.publish("ads")
    fleet.watch("ads")
    fleet.store.fkv("pin", "ads", "1", "--node", "n2")
    n2.wait_serving("ads", 1)
    fleet.publish("ads")
    n2.kill()
    n2.start()
    assert n2.serves("ads") == 1
    fleet.wait_more()
    assert (n1.serves("ads"), n2.serves("ads")) == (3, 1)
    fleet.finish()
    assert fleet.checkers[1].seen("ads") == [2, 1]


# --- canaries ---


@pytest.fixture
def canaries(fleet):  # noqa: F811
    """n1 and n2, and n3 with the label canary; all on version 1, all watched."""
    fleet.start(2)
    fleet.add("n3", "--label", "canary")
    fleet.publish("ads")
    fleet.watch("ads")
    return fleet


@pytest.mark.slow
@pytest.mark.parametrize("whom,promote", [("n3", ("promote", "ads")), ("label:canary", ("activate", "ads=2"))])
def test_a_canary_tries_a_candidate_and_is_promoted(canaries, whom, promote):
    n1, n2, n3 = canaries.nodes.values()
    canaries.publish("ads", args=("--canary", whom))
    n3.wait_serving("ads", 2)
    assert [node.serves("ads") for node in (n1, n2)] == [1, 1]
    for node in (n1, n2):
        node.wait_state("ads", 2, "ready")
    assert canaries.store.json("ls", "ads")["current"] == 1
    canaries.wait_more()
    canaries.store.fkv(*promote)
    canaries.wait_serving("ads", 2)
    canaries.publish("ads")
    canaries.wait_serving("ads", 3)
    canaries.finish()
    assert [one.seen("ads") for one in canaries.checkers] == [[1, 2, 3]] * 3, "promoting ends the canary's pin"


@pytest.mark.slow
@pytest.mark.parametrize("abort", [("abort", "ads"), ("quarantine", "ads", "2")])
def test_a_canary_that_is_aborted_goes_back(canaries, abort):
    n1, n2, n3 = canaries.nodes.values()
    canaries.publish("ads", args=("--canary", "label:canary"))
    n3.wait_serving("ads", 2)
    canaries.store.fkv(*abort, "--reason", "the canary fell off its perch")
    n3.wait_serving("ads", 1)
    done = canaries.store.fkv("activate", "ads=2", check=False)
    assert done.returncode == 3, done.stderr
    canaries.publish("ads")
    canaries.wait_serving("ads", 3)
    canaries.finish()
    assert [one.seen("ads") for one in canaries.checkers] == [[1, 3], [1, 3], [1, 2, 1, 3]]


@pytest.mark.slow
@pytest.mark.kinds
def test_a_canary_killed_on_its_candidate_comes_back_to_it(canaries):
    n3 = canaries.nodes["n3"]
    canaries.publish("ads", args=("--canary", "n3"))
    n3.wait_serving("ads", 2)
    n3.kill()
    n3.start()
    n3.wait_serving("ads", 2)
    canaries.wait_more()
    canaries.store.fkv("promote", "ads")
    canaries.wait_serving("ads", 2)
    canaries.store.fkv("rollback", "ads")
    canaries.wait_serving("ads", 1)
    canaries.wait_more()
    canaries.finish()
    assert [one.seen("ads") for one in canaries.checkers] == [[1, 2, 1]] * 3


@pytest.mark.slow
def test_two_tables_on_canary_are_promoted_together(fleet):  # noqa: F811
    fleet.start(3)
    fleet.publish("ads", "users")
    checkers = fleet.watch("ads", "users", pause=0.001)
    fleet.publish("ads", "users", args=("--canary", "n1"))
    for table in ("ads", "users"):
        fleet.nodes["n1"].wait_serving(table, 2)
    fleet.store.fkv("promote", "ads", "users")
    for table in ("ads", "users"):
        fleet.wait_serving(table, 2)
    fleet.finish()
    for name, one in checkers.items():
        assert one.seen("ads") == one.seen("users") == [1, 2]
        # The canary took each table up as soon as it had it ready.
        if name != "n1":
            assert pair_lag_s(one, "ads", "users") < 0.25, f"{one.out}: one table lagged behind the other"
