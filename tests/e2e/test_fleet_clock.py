# SPDX-License-Identifier: Apache-2.0
"""Hosts whose clocks are apart by seconds: they switch at one true instant, and nobody is taken for dead.

The clocks are made wrong by progs/wrong_clock.c, in some daemons and in some runs of fkv; checkers have the true one.
"""

import os
import time

import fleet as fleet_module
import fkvtest
import pytest
from fleet import FLIP_S, WrongClock, fleet, skew_s, wait_flips  # noqa: F401

# Not under sanitizers: they must be the first library of a process.
pytestmark = pytest.mark.slow

AHEAD_S = {"n1": 0, "n2": 3, "n3": -3, "n4": 40, "n5": -40}


def clock(fleet, ahead_s):  # noqa: F811
    """The environment of a program whose clock is so far ahead."""
    return WrongClock(os.path.join(fleet.directory, f"clock{ahead_s}"), ahead_s).env() if ahead_s else {}


def start(fleet):  # noqa: F811
    for name, ahead_s in AHEAD_S.items():
        fleet.add(name, env=clock(fleet, ahead_s), start=False).start(wait=False)
    for node in fleet.nodes.values():
        fkvtest.wait_until(node.answers, f"the mount of {node.name} answers")


def test_the_clocks_are_wrong_indeed(fleet):  # noqa: F811
    """Else the tests below prove nothing."""
    node = fleet.add("n1", env=clock(fleet, -40))
    line = fkvtest.wait_until(lambda: "serves" in node.log() and node.log().splitlines()[0], "it logs")
    assert 35 < time.time() - fleet_module.parse_time_ns(line.split(" ")[0]) / 1e9 < 60, line


def test_nodes_of_different_clocks_flip_at_one_instant(fleet):  # noqa: F811
    start(fleet)
    fleet.publish("ads")
    checkers = fleet.watch("ads")
    for ahead_s in (0, 40, -40):  # of whoever publishes
        task = fleet.build("ads")
        fleet.store.fkv("publish", f"ads={task}", env=clock(fleet, ahead_s))
        ended = time.time_ns()
        version = fleet.published("ads")
        times = wait_flips(checkers, "ads", version)
        assert skew_s(checkers, "ads", version) < FLIP_S
        assert all(low < ended for low, _ in times.values()), "publish returns when all have flipped"
        _, effective_ns, _ = fleet.switches("ads")[-1]
        assert effective_ns, "several nodes flip at one instant"
        # By the store's clock, which is this machine's here: the effective instant is the true one.
        assert all(abs(high - effective_ns) < FLIP_S * 1e9 for _, high in times.values()), (effective_ns, times)
    fleet.store.fkv("rollback", "ads", env=clock(fleet, 40))
    wait_flips(checkers, "ads", 3, turn=2)
    assert skew_s(checkers, "ads", 3, turn=2) < FLIP_S
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("ads", [1, 2, 3, 4, 3])


@pytest.mark.parametrize("ahead_s", [0, 40, -40])
def test_nobody_is_taken_for_dead(fleet, ahead_s):  # noqa: F811
    start(fleet)
    fleet.publish("ads")
    nodes = fleet.store.json("status", env=clock(fleet, ahead_s))["nodes"]
    assert sorted((n["node"], n["live"]) for n in nodes) == [(name, True) for name in AHEAD_S]
    assert all(-2 < n["age_s"] < 15 for n in nodes), [(n["node"], n["age_s"]) for n in nodes]
    said = fleet.store.fkv("status").stdout
    assert said.count("its clock is") == 4 and "s behind the store's" in said, "those that are wrong are named"
    records = fleet.store.records()
    assert all(abs(time.time_ns() - fleet_module.parse_time_ns(r["time"])) < 30e9 for r in records)


def test_a_clock_that_is_stepped_changes_nothing(fleet):  # noqa: F811
    """As when NTP sets a clock that was wrong."""
    wrong = WrongClock(os.path.join(fleet.directory, "clock"), -20)
    fleet.add("n1")
    fleet.add("n2", env=wrong.env())
    fleet.publish("ads")
    checkers = fleet.watch("ads")
    for ahead_s in (15, -15, 0):
        wrong.step(ahead_s)
        (version,) = fleet.publish("ads")
        wait_flips(checkers, "ads", version)
        assert skew_s(checkers, "ads", version) < FLIP_S
        assert all(n["live"] for n in fleet.store.json("status")["nodes"])
    fleet.finish()
    fleet.check_order("ads", [1, 2, 3, 4])
