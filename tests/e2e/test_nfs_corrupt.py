# SPDX-License-Identifier: Apache-2.0
"""Bytes that are not what was published: on the store, on the way, and in the cache of a node. None of them is ever served."""

import os
import re

import checker
import fkvtest
import pytest
from fleet import Node, fleet  # noqa: F401
from nfs_store import fleet_on
from tcp_proxy import corrupt

BIG_KEYS = 3000  # of 4 KiB: three chunks of 4 MiB


def parts(directory, version):
    found = os.path.join(directory, "tables", "big", "v", str(version), "parts")
    return sorted((os.path.join(found, name) for name in os.listdir(found)), key=os.path.getsize)


def flip(path, off):
    """Changes one byte and nothing else, the times included."""
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(off)
        byte = file.read(1)[0]
        file.seek(off)
        file.write(bytes([byte ^ 0x10]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.slow
@pytest.mark.kinds
@fleet_on("nfs4")
def test_a_part_that_rots_on_the_store(fleet):  # noqa: F811
    """The node names the chunk and serves the old version; when the part is put right, it comes up by itself."""
    (node,) = fleet.start(1)
    fleet.publish("big", n_keys=BIG_KEYS)
    fleet.watch("big", n_keys=BIG_KEYS, pause=0.01)
    assert node.stop() == 0
    fleet.publish("big", n_keys=BIG_KEYS, args=["--no-wait"])
    part = parts(fleet.store.path, 2)[-1]
    assert os.path.getsize(part) > 9 << 20
    flip(part, 5 << 20)
    node.start()
    node.wait_state("big", 2, "failed", timeout_s=60)
    reason = next(v["reason"] for v in node.table("big")["versions"] if v["version"] == 2)
    assert os.path.basename(part) in reason and "chunk 1" in reason, reason
    assert node.serves("big") == 1
    checker_of = fleet.checkers[0]
    checker_of.wait_more()
    assert checker_of.seen("big") == [1]
    said = fleet.store.fkv("status").stdout
    assert "fail" in said.lower() and "chunk 1" in said, said
    done = fleet.store.fkv("verify", check=False)
    assert done.returncode == 5 and os.path.basename(part) in done.stdout + done.stderr, done.stderr
    flip(part, 5 << 20)
    node.wait_serving("big", 2, timeout_s=90)
    fleet.wait_more()
    fleet.finish()


@pytest.mark.kinds
@fleet_on("nfs3", "nfs4")
@pytest.mark.concurrent
def test_bytes_that_change_on_the_way(fleet):  # noqa: F811
    """The chunk is fetched again; the version comes up right, and what happened is counted."""
    proxy = fleet.store.open_proxy()
    node = fleet.nodes["n1"] = Node(fleet.store.through(proxy), fleet.directory, "n1")
    node.start()
    fleet.publish("big", n_keys=BIG_KEYS)
    fleet.watch("big", n_keys=BIG_KEYS, pause=0.01)
    rules = [proxy.when("READ", corrupt(), skip=skip, min_reply=65536) for skip in (0, 4)]
    fleet.publish("big", n_keys=BIG_KEYS)
    node.wait_serving("big", 2)
    assert [rule.done() for rule in rules] == [1, 1]
    assert 1 <= node.metrics()["fkv_fetch_bad_chunks_total"] <= 2
    # While it lasts, the version is failed, and the old one serves.
    rule = proxy.when("READ", corrupt(), times=None, min_reply=65536)
    fleet.publish("big", n_keys=BIG_KEYS, args=["--no-wait"])
    node.wait_state("big", 3, "failed", timeout_s=60)
    reason = next(v["reason"] for v in node.table("big")["versions"] if v["version"] == 3)
    assert re.search(r"chunk \d", reason), reason
    fleet.wait_more()
    assert node.serves("big") == 2 and fleet.checkers[0].seen("big") == [1, 2]
    rule.times = 0
    node.wait_serving("big", 3, timeout_s=90)
    fleet.wait_more()
    fleet.finish()


@fleet_on("nfs3")
def test_a_command_that_reads_changed_bytes(fleet):  # noqa: F811
    """What the builder reads back, and verify, are not taken in by a bad network: they say corrupt."""
    fleet.publish("big", n_keys=BIG_KEYS)
    proxy = fleet.store.open_proxy()
    store = fleet.store.through(proxy)
    rule = proxy.when("READ", corrupt(), min_reply=65536, times=None)
    done = store.fkv("verify", check=False)
    assert done.returncode == 5, f"{done.returncode} {done.stdout}{done.stderr}"
    assert rule.done()
    proxy.clear()
    assert store.json("verify")["bad"] == 0


@fleet_on("nfs3")
@pytest.mark.slow
def test_a_part_that_rots_in_the_cache(fleet):  # noqa: F811
    """Seen at the next load: it is fetched again. With the server gone, the version before serves."""
    (node,) = fleet.start(1)
    fleet.publish("big", n_keys=BIG_KEYS)
    fleet.publish("big", n_keys=BIG_KEYS)
    fleet.watch("big", n_keys=BIG_KEYS, pause=0.01)
    for away in (False, True):
        assert node.stop() == 0
        cached = [path for path in cached_parts(node) if os.path.getsize(path) > 9 << 20 and content_of(path, 2)]
        assert cached, "the part of version 2 is in the cache"
        flip(cached[0], 6 << 20)
        if away:
            fleet.store.go_away()
        node.start()
        if away:
            fkvtest.wait_until(lambda: node.state("big", 2) == "failed" or node.serves("big") == 1, "the bad part is seen", 60)
            fleet.checkers[0].check()
            fleet.store.come_back()
        node.wait_serving("big", 2, timeout_s=90)
        assert not [path for path in cached_parts(node) if os.path.getsize(path) > 9 << 20 and not intact(path)]
        fleet.wait_more()
    fleet.finish()


def cached_parts(node):
    for folder, _, names in os.walk(node.cache):
        for name in names:
            yield os.path.join(folder, name)


def content_of(path, version):
    with open(path, "rb") as file:
        return f"big/{version}/1/".encode() in file.read()


def intact(path):
    """Whether each value in it is as published."""
    with open(path, "rb") as file:
        data = file.read()
    version = 2 if b"big/2/1/" in data else 1
    return all(checker.expected("big", version, key) is None or checker.expected("big", version, key) in data
               for key in range(1, checker.N_KEYS))
