# SPDX-License-Identifier: Apache-2.0
"""Connections that break at any request of a command, before the server has it or after it has done it: what the command was to do
happens exactly once, and it says so."""

import json
import os

import checker
import fkvtest
import pytest
from fleet import fleet  # noqa: F401
from nfs_store import fleet_on
from tcp_proxy import call, cut, lose_reply

BREAKS = {"never-arrives": cut, "reply-lost": lose_reply}


@pytest.fixture
def proxy(fleet):  # noqa: F811
    return fleet.store.open_proxy()


@pytest.fixture
def proxied(fleet, proxy):  # noqa: F811
    """The fleet's store for commands; its nodes go straight to the server."""
    return fleet.store.through(proxy)


def operations(fleet, start):  # noqa: F811
    """(op, table, version) of the records after the first `start`."""
    return [(op["op"], op["table"], op["version"]) for record in fleet.store.records()[start:] for op in record["ops"]]


def clean_store(fleet):  # noqa: F811
    """No temporary file is left in log/, and all that is published is whole."""
    names = os.listdir(os.path.join(fleet.store.path, "log"))
    assert not [name for name in names if name.startswith(".tmp")], names
    assert fleet.store.json("verify")["bad"] == 0


@pytest.mark.slow
@fleet_on("nfs3", "nfs4")
@pytest.mark.parametrize("how", BREAKS)
def test_the_link_of_a_record(fleet, proxy, proxied, how):  # noqa: F811
    """publish appends two records, rollback and pin one each; each of their links in turn meets a break."""
    fleet.start(1)
    fleet.publish("ads")
    fleet.watch("ads")
    seen = len(fleet.store.records())
    for skip in (0, 1):
        task = fleet.build("ads")
        rule = proxy.when("LINK", BREAKS[how](), skip=skip)
        out = json.loads(proxied.fkv("publish", f"ads={task}", "--json").stdout)
        version = fleet.published("ads")
        assert rule.done() == 1 and out[0]["version"] == version
        assert operations(fleet, seen) == [("publish", "ads", version), ("activate", "ads", version)]
        fleet.wait_serving("ads", version)
        seen += 2
    for words, name, version in ((["rollback", "ads", "--to", "1"], "rollback", 1), (["pin", "ads", "1", "--node", "n7"], "pin", 1),
                                 (["tag", "ads", "1", "good"], "tag", 1)):
        rule = proxy.when("LINK", BREAKS[how]())
        proxied.fkv(*words)
        assert rule.done() == 1
        assert [op for op in operations(fleet, seen) if op[0] != "quarantine"] == [(name, "ads", version)]
        seen = len(fleet.store.records())
    fleet.wait_serving("ads", 1)
    fleet.finish()
    clean_store(fleet)


@pytest.mark.slow
@fleet_on("nfs3", "nfs4")
def test_the_server_dies_between_a_link_and_its_reply(fleet, proxy, proxied):  # noqa: F811
    """And comes back at once, or after a while."""
    fleet.start(1)
    fleet.publish("ads")
    fleet.watch("ads")
    server = fleet.store.server
    for turn, words in enumerate((["publish"], ["rollback", "ads", "--to", "1"], ["publish"])):
        seen = len(fleet.store.records())
        if words == ["publish"]:
            words = ["publish", f"ads={fleet.build('ads')}"]
            fleet.published("ads")
        rule = proxy.when("LINK", lose_reply(server.kill9))
        process = proxied.spawn(*words)
        rule.wait()
        fkvtest.wait_until(lambda: not server.alive(), "the server is dead")
        if turn != 1:
            with pytest.raises(Exception):
                process.wait(timeout=1)
        server.restart()
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        done = [op for op in operations(fleet, seen) if op[0] != "quarantine"]
        assert len(done) == len(set(done)) == (1 if words[0] == "rollback" else 2), done
        fleet.wait_serving("ads", done[-1][2])
    fleet.finish()
    clean_store(fleet)


@fleet_on("nfs3", "nfs4")
@pytest.mark.slow
@pytest.mark.parametrize("how", BREAKS)
def test_any_request_of_a_build_and_its_publication(fleet, proxy, proxied, how):  # noqa: F811
    """The first, then about every tenth request meets a break; then the first of each kind that changes something."""
    path = os.path.join(fleet.directory, "in.tsv")

    def publish(mark):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{key}\t{value}\n" for key, value in checker.rows("ads", mark, 200))
        shape = ("--key", "u64", "--value", "bytes")
        proxied.fkv("build", "ads", path, *shape, "--task", f"t{mark:03d}", "--publish", "--max-change", "0")

    publish(1)
    before = proxy.total()
    publish(2)
    n_requests = proxy.total() - before
    assert n_requests > 20
    version, rules = 2, []
    kinds = [kind for kind in ("OPEN", "CREATE", "MKDIR", "WRITE", "COMMIT", "RENAME", "REMOVE", "LINK", "READ", "LOOKUP", "GETATTR")
             if proxy.counts[kind]]
    points = [("*", skip) for skip in range(0, n_requests, max(1, n_requests // 10))] + [(kind, 0) for kind in kinds]
    for kind, skip in points:
        version += 1
        rules.append(proxy.when(kind, BREAKS[how](), skip=skip))
        seen = len(fleet.store.records())
        publish(version)
        assert operations(fleet, seen) == [("publish", "ads", version), ("activate", "ads", version)], (kind, skip)
        rules[-1].times = rules[-1].acted
    assert sum(rule.done() for rule in rules) >= len(rules) - 2, "the breaks took place"
    node = fleet.add("n1")
    node.wait_serving("ads", version)
    fleet.watch("ads", n_keys=200)
    fleet.wait_more()
    fleet.finish()
    clean_store(fleet)


@fleet_on("nfs3", "nfs4")
def test_two_publishers_and_a_lost_link(fleet, proxy, proxied):  # noqa: F811
    """The reply to a link is lost, and before the publisher asks again somebody else appends: nobody's record is lost or doubled."""
    fleet.start(1)
    fleet.publish("ads", "users")
    tasks = {table: fleet.build(table) for table in ("ads", "users")}
    seen = len(fleet.store.records())
    rule = proxy.when("LINK", lose_reply(lambda: fleet.store.fkv("publish", f"users={tasks['users']}", "--no-wait")))
    proxied.fkv("publish", f"ads={tasks['ads']}")
    assert rule.done() == 1
    assert sorted(operations(fleet, seen)) == sorted((op, table, 2) for op in ("publish", "activate") for table in tasks)
    clean_store(fleet)


@fleet_on("nfs3", "nfs4")
def test_a_link_that_finds_another_s_record_takes_the_next_number(fleet, proxy, proxied):  # noqa: F811
    fleet.start(1)
    fleet.publish("ads", "users")
    tasks = {table: fleet.build(table) for table in ("ads", "users")}
    seen = len(fleet.store.records())
    rule = proxy.when("LINK", call(before=lambda: fleet.store.fkv("publish", f"users={tasks['users']}", "--no-wait")))
    proxied.fkv("publish", f"ads={tasks['ads']}")
    assert rule.done() == 1
    assert sorted(operations(fleet, seen)) == sorted((op, table, 2) for op in ("publish", "activate") for table in tasks)
    clean_store(fleet)
