# SPDX-License-Identifier: Apache-2.0
"""The store goes away: the fleet serves on, restarts, switches by hand, and catches up when it is back."""

import os
import subprocess
import time

import fkvtest
import pytest
from fleet import fleet  # noqa: F401


def reachable(node):
    return node.status()["node"]["store"]["reachable"]


def ln(node, table, version):
    return subprocess.run(["ln", "-sfn", f"v/{version}", node.path(table, "current")], capture_output=True, text=True,
                          timeout=90, check=False)


@pytest.fixture
def served(fleet):  # noqa: F811
    """Three nodes that serve version 3 of ads, all checked; the fleet."""
    fleet.start(3)
    for _ in range(3):
        fleet.publish("ads")
    fleet.watch("ads")
    return fleet


@pytest.mark.slow
def test_an_outage_is_served_through_and_caught_up_with(served):
    n1, n2, n3 = served.nodes.values()
    served.store.go_away()
    away = True
    try:
        for node in (n1, n2, n3):
            fkvtest.wait_until(lambda node=node: not reachable(node), "it notices")
        served.wait_more(50)
        age = n1.status()["node"]["store"]["last_contact_seconds"]
        fkvtest.wait_until(lambda: n1.status()["node"]["store"]["last_contact_seconds"] > age, "the age grows")
        # Commands say so, and do not hang.
        began = time.monotonic()
        done = served.store.fkv("status", check=False, timeout=90)
        assert done.returncode != 0 and done.stderr, done.stdout
        assert time.monotonic() - began < 60
        # A node is killed and one is stopped in good order; both come back from their caches.
        n1.kill()
        n1.start()
        assert n1.serves("ads") == 3
        assert n2.stop() == 0
        n2.start()
        assert n2.serves("ads") == 3
        # The emergency brake needs no store: to what is loaded, and to what is only cached.
        for version in (2, 1):
            done = ln(n3, "ads", version)
            assert (done.returncode, done.stderr) == (0, "")
            assert n3.serves("ads") == version
        served.wait_more(50)
        served.store.come_back()
        away = False
        for node in (n1, n2, n3):
            fkvtest.wait_until(lambda node=node: reachable(node), "it is in contact again", 2 * fkvtest.PATIENCE_S)
        task = served.build("ads")
        done = served.store.fkv("publish", f"ads={task}", "--max-change", "0", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        served.published("ads")
        for node in (n1, n2):
            node.wait_serving("ads", 4)
        assert n3.serves("ads") == 1, "what was pinned by hand stays"
        os.unlink(n3.path("ads", "current"))
        n3.wait_serving("ads", 4)
        served.wait_more()
        served.finish()
        assert [one.seen("ads") for one in served.checkers] == [[3, 4], [3, 4], [3, 2, 1, 4]]
    finally:
        if away:
            served.store.come_back()


@pytest.mark.slow
def test_what_was_switched_in_a_node_s_absence_of_the_store_is_caught_up_with(served):
    """The store is gone for the nodes while records are written: as when a network is cut. They meet again."""
    n1, n2, n3 = served.nodes.values()
    served.store.go_away()
    time.sleep(1)  # of polls that fail
    for node in (n1, n2, n3):
        node.pause()
    served.store.come_back()
    task = served.build("ads")
    served.store.fkv("publish", f"ads={task}", "--max-change", "0", "--no-wait")
    served.published("ads")
    served.store.fkv("rollback", "ads", "--no-wait")
    served.store.fkv("rollback", "ads", "--to", "1", "--no-wait")
    for node in (n1, n2, n3):
        node.resume()
    served.wait_serving("ads", 1, timeout_s=2 * fkvtest.PATIENCE_S)
    served.wait_more()
    served.finish()
    served.check_order("ads", [3, 4, 3, 1])


@pytest.mark.parametrize("fleet", [pytest.param("nfs4", marks=pytest.mark.concurrent), "nfs3"], indirect=True)
def test_the_store_goes_away_while_a_version_is_fetched(fleet):  # noqa: F811
    n1, n2 = fleet.start(2, "--fetch-limit", "30M")
    fleet.publish("big", n_keys=100)
    fleet.watch("big", n_keys=100, pause=0.01)
    task = fleet.build("big", n_keys=10000)
    done = fleet.store.fkv("publish", f"big={task}", "--max-change", "0", "--no-activate")
    assert done.returncode == 0
    fleet.published("big")
    fkvtest.wait_until(lambda: n1.state("big", 2) == "fetching" or n2.state("big", 2) == "fetching", "it is being fetched")
    fleet.store.go_away()
    try:
        time.sleep(1)
        fleet.wait_more()
    finally:
        fleet.store.come_back()
    for node in (n1, n2):
        node.wait_state("big", 2, "ready", timeout_s=3 * fkvtest.PATIENCE_S)
    fleet.store.fkv("activate", "big=2")
    fleet.wait_serving("big", 2)
    fleet.wait_more()
    fleet.finish()
    fleet.check_order("big", [1, 2])


def test_nodes_that_start_without_the_store_wait_for_it(fleet):  # noqa: F811
    """One that has nothing yet, too: it serves as soon as there is something to serve."""
    n1 = fleet.add("n1")
    fleet.publish("ads")
    fleet.store.go_away()
    try:
        n2 = fleet.add("n2", start=False)
        n2.start(wait=False)
        time.sleep(2)
        assert n2.process.poll() is None or n2.process.returncode != 0
        assert n1.serves("ads") == 1
    finally:
        fleet.store.come_back()
    if n2.process.poll() is not None:
        n2.start(wait=False)
    fkvtest.wait_until(n2.answers, "it answers", 2 * fkvtest.PATIENCE_S)
    n2.wait_serving("ads", 1, timeout_s=2 * fkvtest.PATIENCE_S)


@pytest.mark.slow
@pytest.mark.parametrize("fleet", ["nfs4"], indirect=True)
def test_a_publisher_waits_for_nodes_that_an_outage_silenced(fleet):  # noqa: F811
    """For as long as every heartbeat is stale it knows nothing, and it does not switch to what nobody has."""
    nodes = fleet.start(3, "--fetch-limit", "300K")
    fleet.publish("ads")
    task = fleet.build("big", n_keys=6000)  # 24 MB: more than a minute
    process = fleet.store.spawn("publish", f"big={task}")
    server = fleet.store.server
    try:
        for node in nodes:
            node.wait_state("big", 1, "fetching")
        server.pause()
        try:
            time.sleep(35)
        finally:
            server.resume()
        back = time.monotonic()
        while time.monotonic() - back < 10:
            assert process.poll() is None, process.communicate()
            assert not fleet.switches("big"), "activated over nodes that are not ready"
            time.sleep(0.5)
        # Nor does a command that knows nothing of the outage itself.
        done = fleet.store.fkv("activate", "big", "--timeout", "1s", check=False)
        assert done.returncode != 0 and not fleet.switches("big"), done.stdout + done.stderr
        process.kill()
        # In good order: nobody is waited for.
        for node in nodes:
            assert node.stop() == 0
        assert fleet.store.json("status")["stopped_nodes"] == 3
        began = time.monotonic()
        assert fleet.store.fkv("activate", "big").returncode == 0
        assert time.monotonic() - began < 20
    finally:
        process.kill()
        process.communicate()
