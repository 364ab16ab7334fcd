# SPDX-License-Identifier: Apache-2.0
"""Trying a version out on some nodes: publish --canary, promote, abort; what nodes answer meanwhile; refusals."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

import fkvtest
from fkvtest import FOUND, Lookup

ROWS = 200


def rows(tag):
    return [(i, f"{tag}-{i}") for i in range(1, ROWS + 1)]


def as_json(store, *args):
    return json.loads(store.fkv(*args, "--json").stdout)


def refused(store, *args):
    done = store.fkv(*args, check=False)
    assert done.returncode == 3, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stderr


def publish_canary(store, table, tag, *args):
    store.build(table, rows(tag))
    return store.fkv("publish", table, *args)


def answers(daemon, table):
    """The version that answers a batch, after every value was checked against the tag that version has."""
    with Lookup(daemon.path(table, "batch")) as lookup:
        reply = lookup.ask_message(list(range(1, ROWS + 1)))
        values = reply.values()
    tags = {value.decode().rsplit("-", 1)[0] for value in values}
    assert len(tags) == 1, f"a batch of {len(tags)} versions: {tags}"
    assert values == [f"{next(iter(tags))}-{i}".encode() for i in range(1, ROWS + 1)]
    assert all(reply.status(i) == FOUND for i in range(ROWS))
    return reply.served, next(iter(tags))


class Reader(threading.Thread):
    """Asks a node again and again, and checks that each version gives its own values only."""

    def __init__(self, daemon, table, truth):
        super().__init__(daemon=True)
        self.daemon_, self.table, self.truth = daemon, table, truth
        self.served, self.error, self.ends = [], None, threading.Event()

    def run(self):
        try:
            while not self.ends.is_set():
                version, tag = answers(self.daemon_, self.table)
                assert self.truth[version] == tag, (version, tag)
                if not self.served or self.served[-1] != version:
                    self.served.append(version)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def stop(self):
        self.ends.set()
        self.join(timeout=fkvtest.PATIENCE_S)
        assert not self.error, self.error
        return self.served


@pytest.fixture
def fleet(store, make_daemon):
    """Three nodes, the third labelled; ads and users at version 1."""
    nodes = [make_daemon("n1"), make_daemon("n2"), make_daemon("n3", "--label", "try")]
    store.build("ads", rows("a1"), "--key", "u64", "--value", "bytes")
    store.build("users", rows("u1"), "--key", "u64", "--value", "bytes")
    store.fkv("publish", "ads", "users")
    return nodes


def test_a_canary_is_tried_then_promoted_and_readers_see_whole_versions(store, fleet):
    truth = {1: "a1", 2: "a2"}
    readers = [Reader(node, "ads", truth) for node in fleet]
    for reader in readers:
        reader.start()
    done = publish_canary(store, "ads", "a2", "--canary", "n2", "--canary", "label:try")
    assert "canary: serving on 2 of 3 live nodes" in done.stdout and "n2, n3" in done.stdout
    assert "fkv promote ads" in done.stdout and "fkv abort ads --reason" in done.stdout
    assert [node.link("ads") for node in fleet] == ["v/1", "v/2", "v/2"]
    # Publish and pins are one record.
    record = as_json(store, "log", "--limit", "1")["records"][0]
    assert [(op["op"], op.get("canary", False)) for op in record["ops"]] == [
        ("publish", False), ("pin", True), ("pin", True)]
    listed = as_json(store, "ls", "ads")
    assert listed["canary"] == 2 and listed["current"] == 1
    assert {v["version"]: v["canary"] for v in listed["versions"]} == {1: False, 2: True}
    assert "(canary)" in store.fkv("log").stdout and "(canary)" in store.fkv("ls", "ads").stdout
    status = as_json(store, "status", "ads")
    assert status["problems"] == 0, status["issues"]
    assert (status["tables"][0]["canary"], status["tables"][0]["serving_canary"]) == (2, 2)
    assert {(i["node"], i["kind"]) for i in status["issues"]} == {("n2", "canary"), ("n3", "canary")}
    done = as_json(store, "promote", "ads", "--reason", "better")
    assert done["waited"] and done["serving_nodes"] == 3 and done["tables"][0]["version"] == 2
    assert [node.link("ads") for node in fleet] == ["v/2"] * 3
    assert [reader.stop() for reader in readers] == [[1, 2]] * 3
    listed = as_json(store, "ls", "ads")
    assert (listed["current"], listed["canary"], listed["previous"]) == (2, 0, 1)
    # The pins are over: nodes follow what comes.
    publish_canary(store, "ads", "a3")
    assert [node.link("ads") for node in fleet] == ["v/3"] * 3


def test_an_aborted_canary_is_quarantined_and_its_nodes_return(store, fleet):
    publish_canary(store, "ads", "a2", "--canary", "label:try")
    assert answers(fleet[2], "ads") == (2, "a2")
    done = store.fkv("abort", "ads", "--reason", "p99")
    assert "version 2 is quarantined" in done.stdout and "serving on 3 of 3 live nodes" in done.stdout
    assert [node.link("ads") for node in fleet] == ["v/1"] * 3
    assert answers(fleet[2], "ads") == (1, "a1")
    assert as_json(store, "log", "--limit", "1")["records"][0]["reason"] == "p99"
    assert "is quarantined" in refused(store, "activate", "ads=2")
    assert "no version on canary" in refused(store, "promote", "ads")
    # Another may be tried now, also under another name.
    publish_canary(store, "ads", "a3", "--canary", "n1")
    assert [node.link("ads") for node in fleet] == ["v/3", "v/1", "v/1"]


def test_two_tables_are_tried_and_promoted_in_one_record(store, fleet):
    for table, tag in (("ads", "a2"), ("users", "u2")):
        store.build(table, rows(tag))
    before = len(as_json(store, "log")["records"])
    done = as_json(store, "publish", "ads", "users", "--canary", "n1")
    assert [one["rollout"]["serving_nodes"] for one in done] == [1, 1]
    assert not any(one["activated"] for one in done)
    store.fkv("promote", "ads", "users")
    assert len(as_json(store, "log")["records"]) == before + 2
    assert all(node.link(table) == "v/2" for node in fleet for table in ("ads", "users"))


def test_what_a_canary_may_not_be(store, fleet):
    store.build("ads", rows("a2"))
    before = len(as_json(store, "log")["records"])
    said = refused(store, "publish", "ads", "--canary", "nosuch")
    assert "n1, n2, n3 (try)" in said, said
    assert "--canary label:none" in refused(store, "publish", "ads", "--canary", "label:none")
    store.fkv("pin", "ads", "1", "--node", "n2")
    assert "fkv unpin ads --node n2" in refused(store, "publish", "ads", "--canary", "n2")
    store.fkv("unpin", "ads", "--node", "n2")
    # A node that its own host holds does not follow, so it is nobody to try with.
    subprocess.run(["ln", "-sfn", "v/1", fleet[0].path("ads", "current")], check=True)
    fkvtest.wait_until(lambda: any(i["kind"] == "pinned-on-host" for i in as_json(store, "status")["issues"]), "the pin is known")
    refused(store, "publish", "ads", "--canary", "n1")
    os.unlink(fleet[0].path("ads", "current"))
    assert len(as_json(store, "log")["records"]) == before + 2, "nothing was published"
    store.fkv("publish", "ads", "--canary", "n3")
    assert "version 2 is on canary already" in refused(store, "publish", "ads", "--canary", "n2")
    store.fkv("promote", "ads")
    assert "fkv rollback ads" in refused(store, "abort", "ads")
    done = store.fkv("promote", "nosuch", check=False)
    assert done.returncode == 1 and "no table nosuch" in done.stderr


def test_a_canary_that_ends_meanwhile_is_told_to_who_waits(store, fleet):
    fleet[1].process.send_signal(signal.SIGSTOP)
    try:
        store.build("ads", rows("a2"))
        env = dict(os.environ, FKV_STORE=store.path)
        with subprocess.Popen([fkvtest.FKV, "publish", "ads", "--canary", "n2"], env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            fkvtest.wait_until(lambda: as_json(store, "ls", "ads")["canary"] == 2, "it is on canary")
            store.fkv("abort", "ads", "--no-wait")
            out, err = process.communicate(timeout=20)
        assert process.returncode == 3 and "was ended meanwhile" in err, out + err
    finally:
        fleet[1].process.send_signal(signal.SIGCONT)
    assert fleet[1].link("ads") == "v/1"


def test_a_canary_node_that_cannot_take_it_says_why(store, make_daemon):
    make_daemon("big")
    small = make_daemon("small", "--memory", "1M")
    store.publish("ads", rows("a1"), "--key", "u64", "--value", "bytes")
    store.build("ads", [(i, "x" * 1000) for i in range(10000)])
    done = store.fkv("publish", "ads", "--max-change", "0", "--canary", "small", check=False)
    assert done.returncode == 3 and "node small" in done.stderr and "fkv abort ads" in done.stderr, done.stderr
    assert small.link("ads") == "v/1"
    store.fkv("abort", "ads")
    assert as_json(store, "status", "ads")["tables"][0]["canary"] == 0


def test_a_canary_survives_the_restart_of_its_node(store, fleet):
    publish_canary(store, "ads", "a2", "--canary", "n2")
    fleet[1].kill()
    fkvtest.unmount(fleet[1].mount)
    fleet[1].start()
    fleet[1].wait_current("ads", 2)
    assert answers(fleet[1], "ads") == (2, "a2")
    started = time.monotonic()
    store.fkv("promote", "ads", "--timeout", "30s")
    assert time.monotonic() - started < 30
    assert [node.link("ads") for node in fleet] == ["v/2"] * 3
