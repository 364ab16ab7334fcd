# SPDX-License-Identifier: Apache-2.0
"""The fleet as an operator knows it: rolling out, going back, canaries, pins; every answered batch is checked against the truth."""

from argparse import Namespace

import checker
import pytest
from fleet import fleet, skew_s, wait_flips  # noqa: F401


def test_all_nodes_flip_together_and_back(fleet):  # noqa: F811
    fleet.start(3)
    fleet.publish("ads")
    checkers = fleet.watch("ads")
    fleet.publish("ads")
    wait_flips(checkers, "ads", 2)
    assert skew_s(checkers, "ads", 2) < 2
    out = fleet.store.json("rollback", "ads")
    assert out["live_nodes"] == 3
    wait_flips(checkers, "ads", 1)
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("ads", [1, 2, 1])
    print(skew_s(checkers, "ads", 2), skew_s(checkers, "ads", 1, checkers["n1"].flips("ads")[1]["new_ended"]))


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
