# SPDX-License-Identifier: Apache-2.0
"""The whole story on a real NFS server, as issue and operators tell it: publish, lose a node, go on, get it back, roll back."""

import time

import fkvtest
import fold
import pytest
from fleet import FLIP_S, LIVE_S, fleet, skew_s, wait_flips  # noqa: F401


def kill_mid_fetch(node, table, version):
    """Kills the node when it has fetched half. Returns the bytes it had, and those there are."""
    def half():
        for one in node.table(table).get("versions", []):
            if one["version"] == version and one["state"] == "fetching" and one["done"] > one["total"] / 2:
                return one
        return None

    found = fkvtest.wait_until(half, f"{node.name} has half of {table} {version}", 60)
    node.kill()
    return found["done"], found["total"]


@pytest.mark.slow
@pytest.mark.parametrize("fleet,n_keys,quorum", [("nfs4", 51000, ()), ("nfs3", 15000, ("--quorum", "3"))], indirect=["fleet"])
def test_a_node_lost_in_mid_fetch_and_a_rollback(fleet, n_keys, quorum):  # noqa: F811
    """
    A version of some 200 MB. Without a quorum the publisher waits until the dead node's heartbeat is old: it counts no more.
    """
    nodes = fleet.start(3)
    n4 = fleet.add("n4", "--fetch-limit", f"{n_keys // 1000}M")  # of 4 KiB a key: some four seconds
    fleet.publish("big", n_keys=1000)
    checkers = fleet.watch("big", n_keys=1000, pause=0.01)
    others = {node.name: checkers[node.name] for node in nodes}
    task = fleet.build("big", n_keys=n_keys)
    publisher = fleet.store.spawn("publish", f"big={task}", "--max-change", "0", *quorum)
    had, total = kill_mid_fetch(n4, "big", 2)
    died = time.monotonic()
    out, err = publisher.communicate(timeout=LIVE_S + 60)
    assert publisher.returncode == 0, out + err
    fleet.published("big")
    if not quorum:
        assert time.monotonic() - died < LIVE_S + 15
        done = fleet.store.fkv("status", "--check", check=False)
        assert done.returncode == 3 and "gone: silent for" in done.stdout, done.stdout
    wait_flips(others, "big", 2)
    assert skew_s(others, "big", 2) < FLIP_S
    fleet.wait_serving("big", 2, nodes=nodes)
    # It comes back, fetches what it did not have, and serves what the others serve.
    n4.start()
    n4.wait_serving("big", 2, timeout_s=60)
    # Progress counts the chunks under way too, eight of 4 MiB at most: a kill loses those.
    assert n4.fetched() < total - had + 9 * (4 << 20), f"had {had} of {total}, fetched {n4.fetched()} again"
    for one in checkers.values():
        one.wait_more()
    began = time.monotonic()
    done = fleet.store.json("rollback", "big", "--reason", "worse than before")
    assert done["live_nodes"] == 4 and time.monotonic() - began < 10
    wait_flips(others, "big", 1, turn=2)
    for one in checkers.values():
        one.wait_more()
    assert [node.serves("big") for node in fleet.nodes.values()] == [1] * 4
    fleet.finish()
    fleet.check_order("big", [1, 2, 1])
    assert all(one.seen("big") == [1, 2, 1] for one in others.values())
    assert checkers["n4"].seen("big")[-2:] == [2, 1]
    assert any(event["kind"] == "lost" for event in checkers["n4"].events())
    assert fold.Fold(fleet.store.path).run().tables["big"].current == 1
