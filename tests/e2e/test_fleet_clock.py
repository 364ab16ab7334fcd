# SPDX-License-Identifier: Apache-2.0
"""Hosts whose clocks are apart by seconds: they switch at one true instant, and nobody is taken for dead.

The clocks are made wrong by libfaketime (package faketime), in some daemons and in some runs of fkv; checkers have the true one.
"""

import os
import time

import fleet as fleet_module
import fkvtest
import pytest
from fleet import FLIP_S, faketime, fleet, skew_s, wait_flips  # noqa: F401

# A sanitizer must be the first library of a process, and so must libfaketime.
pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not os.path.exists(fleet_module.FAKETIME), reason="needs the package faketime")]

OFFSETS = {"n1": None, "n2": "+3s", "n3": "-3s", "n4": "+40s", "n5": "-40s"}


def start(fleet, offsets):  # noqa: F811
    for name, offset in offsets.items():
        fleet.add(name, env=faketime(offset) if offset else {}, start=False).start(wait=False)
    for node in fleet.nodes.values():
        fkvtest.wait_until(node.answers, f"the mount of {node.name} answers")


def test_the_clocks_are_wrong_indeed(fleet):  # noqa: F811
    """Else the tests below prove nothing."""
    node = fleet.add("n1", env=faketime("-40s"))
    line = fkvtest.wait_until(lambda: "serves" in node.log() and node.log().splitlines()[0], "it logs")
    assert 35 < time.time() - fleet_module.parse_time_ns(line.split(" ")[0]) / 1e9 < 60, line


def test_nodes_of_different_clocks_flip_at_one_instant(fleet):  # noqa: F811
    start(fleet, OFFSETS)
    fleet.publish("ads")
    checkers = fleet.watch("ads")
    for offset in (None, "+40s", "-40s"):  # of whoever publishes
        task = fleet.build("ads")
        fleet.store.fkv("publish", f"ads={task}", env=faketime(offset) if offset else {})
        ended = time.time_ns()
        version = fleet.published("ads")
        times = wait_flips(checkers, "ads", version)
        assert skew_s(checkers, "ads", version) < FLIP_S
        assert all(low < ended for low, _ in times.values()), "publish returns when all have flipped"
        _, effective_ns, _ = fleet.switches("ads")[-1]
        assert effective_ns, "several nodes flip at one instant"
        # By the store's clock, which is this machine's here: the effective instant is the true one.
        assert all(abs(high - effective_ns) < FLIP_S * 1e9 for _, high in times.values()), (effective_ns, times)
    fleet.store.fkv("rollback", "ads", env=faketime("+40s"))
    wait_flips(checkers, "ads", 3, turn=2)
    assert skew_s(checkers, "ads", 3, turn=2) < FLIP_S
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("ads", [1, 2, 3, 4, 3])


@pytest.mark.parametrize("offset", [None, "+40s", "-40s"])
def test_nobody_is_taken_for_dead(fleet, offset):  # noqa: F811
    start(fleet, OFFSETS)
    fleet.publish("ads")
    nodes = fleet.store.json("status", env=faketime(offset) if offset else {})["nodes"]
    assert sorted((n["node"], n["live"]) for n in nodes) == [(name, True) for name in OFFSETS]
    assert all(-2 < n["age_s"] < 15 for n in nodes), [(n["node"], n["age_s"]) for n in nodes]
    said = fleet.store.fkv("status").stdout
    assert said.count("its clock is") == 4 and "s behind the store's" in said, "those that are wrong are named"
    records = fleet.store.records()
    assert all(abs(time.time_ns() - fleet_module.parse_time_ns(r["time"])) < 30e9 for r in records)


def test_a_clock_that_is_stepped_changes_nothing(fleet):  # noqa: F811
    """As when NTP sets a clock that was wrong; libfaketime reads its file again."""
    path = os.path.join(fleet.directory, "faketime")
    with open(path, "w", encoding="utf-8") as file:
        file.write("-20s\n")
    env = faketime("-20s")
    del env["FAKETIME"]
    env.update(FAKETIME_TIMESTAMP_FILE=path, FAKETIME_NO_CACHE="1")
    fleet.add("n1")
    fleet.add("n2", env=env)
    fleet.publish("ads")
    checkers = fleet.watch("ads")
    for offset in ("+15s", "-15s", "+0s"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(offset + "\n")
        (version,) = fleet.publish("ads")
        wait_flips(checkers, "ads", version)
        assert skew_s(checkers, "ads", version) < FLIP_S
        assert all(n["live"] for n in fleet.store.json("status")["nodes"])
    fleet.finish()
    fleet.check_order("ads", [1, 2, 3, 4])
