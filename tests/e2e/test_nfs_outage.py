# SPDX-License-Identifier: Apache-2.0
"""The NFS server is killed, paused or gone for good while a fleet reads: everybody is answered, rightly, and all catches up by itself."""

import os
import subprocess
import time

import fkvtest
import pytest
from fleet import Node, fleet  # noqa: F401
from nfs_store import fleet_on
from tcp_proxy import call, delay

BIG_KEYS = 6000  # of 4 KiB


@pytest.fixture
def proxy(fleet):  # noqa: F811
    return fleet.store.open_proxy()


def add_through(fleet, proxy, name, *args):  # noqa: F811
    """A node that reaches the store through the proxy."""
    fleet.nodes[name] = Node(fleet.store.through(proxy), fleet.directory, name, *args)
    return fleet.nodes[name].start()


def once(fleet, table, version):  # noqa: F811
    """The records that publish and activate a version are there once."""
    ops = [op["op"] for record in fleet.store.records() for op in record["ops"]
           if op["table"] == table and op.get("version") == version]
    assert sorted(ops) == ["activate", "publish"], ops


@fleet_on("nfs3", "nfs4")
@pytest.mark.concurrent
def test_killed_and_restarted_during_a_publication(fleet, proxy):  # noqa: F811
    """At several moments of it. The publisher waits for the server and goes on, or says what failed and is run again."""
    fleet.start(2)
    fleet.publish("ads")
    fleet.watch("ads")
    server = fleet.store.server
    for after in (2, 12, 25, 40):
        task = fleet.build("ads")
        rule = proxy.when("*", call(before=server.kill9), skip=after)
        process = fleet.store.through(proxy).spawn("publish", f"ads={task}")
        try:
            fkvtest.wait_until(lambda: rule.done() and not server.alive(), "the server is dead")
            server.restart()
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
        version = fleet.published("ads")
        if process.returncode:
            assert process.returncode in (4, 6), err
            seen = [op["version"] for record in fleet.store.records() for op in record["ops"] if op["op"] == "publish"]
            fleet.store.fkv(*(["activate", f"ads={version}"] if version in seen else ["publish", f"ads={task}"]))
        fleet.wait_serving("ads", version)
        once(fleet, "ads", version)
    fleet.finish()


@fleet_on("nfs4")
@pytest.mark.slow
def test_killed_and_restarted_during_a_fetch(fleet, proxy):  # noqa: F811
    """The node serves the old version meanwhile, and does not fetch again what it has."""
    node = add_through(fleet, proxy, "n1")
    fleet.publish("big", n_keys=BIG_KEYS)
    node.wait_serving("big", 1)
    fleet.watch("big", n_keys=BIG_KEYS, pause=0.01)
    server = fleet.store.server
    before = node.fetched()
    slow = proxy.when("READ", delay(0.05), times=None, min_reply=65536)
    rule = proxy.when("READ", call(after=server.kill9), skip=4)
    fleet.store.fkv("publish", f"big={fleet.build('big', n_keys=BIG_KEYS)}", "--no-wait")
    fleet.published("big")
    fkvtest.wait_until(lambda: rule.done() and not server.alive(), "the server is dead")
    fkvtest.wait_until(lambda: not node.status()["node"]["store"]["reachable"], "the node has noticed", 60)
    fleet.wait_more()
    assert node.serves("big") == 1
    server.restart()
    slow.times = 0
    node.wait_serving("big", 2, timeout_s=3 * fkvtest.PATIENCE_S)
    size = sum(os.path.getsize(os.path.join(fleet.store.path, "tables/big/v/2/parts", name))
               for name in os.listdir(os.path.join(fleet.store.path, "tables/big/v/2/parts")))
    assert node.fetched() - before < 2 * size, "it went on where it was"
    fleet.finish()
    fleet.check_order("big", [1, 2])


def look_about(node, table):
    """What an operator's shell does in the mount; none of it may wait for the store."""
    began = time.monotonic()
    for command in (["ls", "-lR", "--ignore=key", node.path(table, "current/")], ["stat", node.path(table, "current", "batch")],
                    ["cat", node.path(".fkvd", "status.json")], ["readlink", node.path(table, "current")]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, done.stderr
    return time.monotonic() - began


@fleet_on("nfs4")
@pytest.mark.slow
def test_paused_for_a_while(fleet):  # noqa: F811
    n1, n2 = fleet.start(2)
    fleet.publish("ads")
    fleet.publish("ads")
    checkers = fleet.watch("ads")
    server = fleet.store.server
    task = fleet.build("ads")
    fleet.wait_more(100)
    began = time.monotonic()
    fleet.wait_more(300)
    steady = time.monotonic() - began
    server.pause()
    try:
        paused = time.monotonic()
        fleet.wait_more(300)
        assert time.monotonic() - paused < 3 * steady + 1, "lookups go on at full speed"
        commands = {name: fleet.store.spawn(*words) for name, words in
                    (("publish", ["publish", f"ads={task}"]), ("rollback", ["rollback", "ads"]), ("status", ["status"]))}
        for node in (n1, n2):
            assert look_about(node, "ads") < 5
        # The emergency brake needs no server.
        done = subprocess.run(["ln", "-sfn", "v/1", n1.path("ads", "current")], capture_output=True, text=True, check=False,
                              timeout=20)
        assert done.returncode == 0, done.stderr
        n1.wait_serving("ads", 1)
        fkvtest.wait_until(lambda: n2.status()["node"]["store"]["last_contact_seconds"] > 3, "the age of the contact grows")
        for name, process in commands.items():
            out, err = process.communicate(timeout=100)
            assert process.returncode in (4, 6), f"{name}: {process.returncode} {out}{err}"
            assert err.startswith("fkv: ") and "127.0.0.1" in err, f"{name}: {err}"
        assert not n2.status()["node"]["store"]["reachable"]
        while fkvtest.LONG and time.monotonic() < paused + 60:
            fleet.wait_more()
    finally:
        server.resume()
    # What was cut short is run again, and everything catches up by itself.
    fkvtest.wait_until(lambda: n2.status()["node"]["store"]["reachable"], "the node is in contact again")
    ops = [(op["op"], op["version"]) for record in fleet.store.records()[4:] for op in record["ops"]]
    if ("publish", 3) not in ops:
        fleet.store.fkv("publish", f"ads={task}", "--no-wait")
    else:
        fleet.store.fkv("activate", "ads=3", "--no-wait", "--force")
    n2.wait_serving("ads", 3)
    assert n1.serves("ads") == 1
    os.unlink(n1.path("ads", "current"))
    n1.wait_serving("ads", 3)
    for one in checkers.values():
        one.wait_more(5)
    fleet.finish()


@fleet_on("nfs3")
@pytest.mark.slow
def test_a_node_restarts_and_switches_with_the_server_gone(fleet):  # noqa: F811
    n1, n2 = fleet.start(2)
    for _ in range(3):
        fleet.publish("ads")
    fleet.watch("ads")
    fleet.store.go_away()
    assert n1.stop() == 0
    n2.kill()
    for node in (n1, n2):
        node.start()
        node.wait_serving("ads", 3)
    for node in (n1, n2):
        assert not node.status()["node"]["store"]["reachable"]
        fkvtest.wait_until(lambda node=node: "Connection refused" in node.status()["node"]["store"].get("error", ""), "the node says why", 60)
    for version in (1, 2):
        done = subprocess.run(["ln", "-sfn", f"v/{version}", n1.path("ads", "current")], capture_output=True, text=True,
                              check=False, timeout=70)
        assert done.returncode == 0, done.stderr
        assert n1.link("ads") == f"v/{version}"
    fleet.wait_more()
    fleet.store.come_back()
    fleet.publish("ads", args=["--no-wait"])
    n2.wait_serving("ads", 4, timeout_s=2 * fkvtest.PATIENCE_S)
    assert n1.serves("ads") == 2, "a switch by hand stands until it is taken off"
    fkvtest.wait_until(lambda: fleet.node_status("n1") and fleet.node_status("n1")["live"], "n1 is in contact again")
    os.unlink(n1.path("ads", "current"))
    n1.wait_serving("ads", 4)
    fleet.finish()


@pytest.mark.slow
@fleet_on("nfs3", "nfs4")
def test_a_poll_that_finds_nothing_is_one_request(fleet, proxy):  # noqa: F811
    """Whatever the number of tables. Heartbeats, every few seconds, are a handful more."""
    for i in range(4):
        fleet.publish(f"t{i}")
    node = add_through(fleet, proxy, "n1", "--poll", "50")
    for i in range(4):
        node.wait_serving(f"t{i}", 1)
    time.sleep(1)  # until nothing is new
    begin, began = proxy.total(), time.monotonic()
    time.sleep(4)
    polls = (time.monotonic() - began) / 0.05
    requests = proxy.total() - begin
    assert requests < polls + 40, f"{requests} requests in {polls:.0f} polls: {proxy.counts}"
    # Polls wait for what is synced between them, a heartbeat on the server and the state in the cache: on a busy disk, seconds.
    fkvtest.wait_until(lambda: proxy.total() - begin > polls / 3, f"it goes on polling: {requests} in {polls:.0f} polls")


@fleet_on("nfs3")
@pytest.mark.slow
def test_a_server_that_accepts_and_never_answers(fleet, proxy):  # noqa: F811
    """A black hole on the way: the node serves, a command gives up, and both go on when the way is free."""
    node = add_through(fleet, proxy, "n1")
    fleet.publish("ads")
    node.wait_serving("ads", 1)
    fleet.watch("ads")
    proxy.hold()
    fkvtest.wait_until(lambda: not node.status()["node"]["store"]["reachable"], "the node has noticed", 100)
    fleet.wait_more()
    assert look_about(node, "ads") < 5
    fleet.publish("ads", args=["--no-wait"])
    assert node.serves("ads") == 1
    proxy.release()
    node.wait_serving("ads", 2, timeout_s=2 * fkvtest.PATIENCE_S)
    fleet.finish()
