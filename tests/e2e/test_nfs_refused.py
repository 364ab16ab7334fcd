# SPDX-License-Identifier: Apache-2.0
"""The NFS server says no: read-only, full, no permission, handles it no longer knows. Commands say why and leave nothing half done,
nodes serve on, and when the cause is gone all works again."""

import os
import shutil
import subprocess

import fkvtest
import pytest
from fleet import Fleet, fleet  # noqa: F401
from nfs_store import NfsFleetStore, fleet_on



def snapshot(store):
    """What is in the store but for heartbeats, the clock and temporary files."""
    found = {}
    for folder, _, names in os.walk(store.path):
        for name in names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, store.path)
            if not relative.startswith("nodes/") and ".tmp-" not in relative:
                found[relative] = os.path.getsize(path)
    return found


def must_fail(store, words, statuses, *texts):
    done = store.fkv(*words, check=False)
    assert done.returncode in statuses, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    said = done.stderr.splitlines()[-1]
    assert said.startswith("fkv: "), done.stderr
    for text in texts:
        assert text in done.stderr, f"{words}: expected {text!r}, found: {done.stderr}"
    return said


def store_of(node):
    return node.status()["node"]["store"]


@fleet_on("nfs4")
@pytest.mark.slow
def test_an_export_that_became_read_only(fleet):  # noqa: F811
    (node,) = fleet.start(1)
    fleet.publish("ads")
    fleet.publish("ads")
    fleet.watch("ads")
    task = fleet.build("ads")
    before = snapshot(fleet.store)
    fleet.store.server.reload("--ro")
    for words in (["publish", f"ads={task}"], ["rollback", "ads"], ["pin", "ads", "1", "--node", "n1"]):
        must_fail(fleet.store, words, (3, 6), "ead-only")
    assert snapshot(fleet.store) == before
    fleet.store.fkv("status")
    fleet.store.fkv("log")
    # Reading goes on, and the node says why nobody hears of it.
    fkvtest.wait_until(lambda: "ead-only" in store_of(node).get("error", "") + node.log(), "the node says that it cannot write", 40)
    fleet.wait_more()
    node.kill()
    node.start()
    node.wait_serving("ads", 2)
    fleet.store.server.reload("--rw")
    fleet.store.fkv("publish", f"ads={task}")
    fleet.published("ads")
    node.wait_serving("ads", 3)
    fkvtest.wait_until(lambda: store_of(node)["reachable"] and not store_of(node).get("error"), "the node is content again", 40)
    fleet.finish()


@fleet_on("nfs4")
@pytest.mark.slow
def test_no_permission(fleet):  # noqa: F811
    """Root becomes nobody on the server: first it may read but not write, then not even read."""
    (node,) = fleet.start(1)
    fleet.publish("ads")
    fleet.watch("ads")
    task = fleet.build("ads")
    server = fleet.store.server
    before = snapshot(fleet.store)
    server.reload("--squash", "root")
    must_fail(fleet.store, ["publish", f"ads={task}"], (3,), "refuses this user", "squash")
    must_fail(fleet.store, ["pin", "ads", "1", "--node", "n1"], (3,), "refuses this user")
    fleet.store.fkv("log")
    os.chmod(fleet.store.path, 0o700)
    must_fail(fleet.store, ["log"], (3,), "refuses this user")
    must_fail(fleet.store, ["init", fleet.store.url], (3,), "refuses this user")
    fkvtest.wait_until(lambda: "refuses this user" in store_of(node).get("error", ""), "the node says what it lacks", 40)
    fleet.wait_more()
    node.kill()
    node.start()
    node.wait_serving("ads", 1)
    assert snapshot(fleet.store) == before
    os.chmod(fleet.store.path, 0o755)
    server.reload("--squash", "none")
    fleet.store.fkv("publish", f"ads={task}")
    fleet.published("ads")
    node.wait_serving("ads", 2)
    fleet.finish()


@pytest.mark.slow
@fleet_on("nfs3", "nfs4")
def test_handles_of_a_store_that_was_replaced(fleet):  # noqa: F811
    """Its directory is restored from a copy: the handles that everybody has are of files that are no more."""
    (node,) = fleet.start(1)
    fleet.publish("ads")
    fleet.watch("ads")
    path = fleet.store.path
    for turn in range(2):
        fleet.store.go_away()
        shutil.copytree(path, path + ".new", copy_function=shutil.copy2)
        shutil.rmtree(path)
        os.rename(path + ".new", path)
        fleet.store.come_back()
        fleet.publish("ads", args=["--timeout", "60s"])
        node.wait_serving("ads", 2 + turn)
    fleet.wait_more()
    fleet.finish()


@fleet_on("nfs3")
def test_a_store_that_is_another_one_now(fleet):  # noqa: F811
    """The node keeps to what it has: versions of another store are not its versions."""
    (node,) = fleet.start(1)
    fleet.publish("ads")
    fleet.watch("ads")
    path = fleet.store.path
    node.kill()
    fleet.store.go_away()
    os.rename(path, path + ".old")
    os.mkdir(path)
    fleet.store.come_back()
    fleet.store.fkv("init", fleet.store.url)
    node.start()
    fkvtest.wait_until(lambda: "belongs to store" in store_of(node).get("error", ""), "the node says so", 40)
    assert not store_of(node)["reachable"] and node.serves("ads") == 1
    fleet.wait_more()
    fleet.store.go_away()
    shutil.rmtree(path)
    os.rename(path + ".old", path)
    fleet.store.come_back()
    fleet.publish("ads", args=["--no-wait"])
    node.wait_serving("ads", 2, timeout_s=2 * fkvtest.PATIENCE_S)
    fleet.finish()


@pytest.fixture(params=[3, 4], ids=["nfs3", "nfs4"])
def small(request, work_dir):
    """A Fleet whose store lies on a file system of 24 MiB."""
    disk = os.path.join(work_dir, "disk")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24M,mode=755", "fkv-test", disk], check=True)
    made = None
    try:
        made = Fleet(NfsFleetStore(work_dir, request.param, export=disk), work_dir)
        yield made
    finally:
        try:
            if made:
                made.clean()
        finally:
            fkvtest.unmount(disk)


def fill(path, leave):
    """Takes all space but about `leave` bytes."""
    free = shutil.disk_usage(path).free
    with open(os.path.join(path, "ballast"), "wb") as file:
        for _ in range((free - leave) >> 12):
            file.write(bytes(4096))


@pytest.mark.slow
def test_a_full_export(small):
    """Nothing that did not fit is seen; with space made, the same commands work."""
    (node,) = small.start(1)
    small.publish("big", n_keys=500)
    small.watch("big", n_keys=500)
    export = small.store.server.export
    task = small.build("big", n_keys=500)
    seen = len(small.store.records())
    # No space at all: a record cannot be written.
    fill(export, 0)
    must_fail(small.store, ["publish", f"big={task}"], (3,), "is full")
    assert len(small.store.records()) == seen and small.store.json("verify")["bad"] == 0
    assert [v["version"] for v in small.store.json("ls", "big")["versions"]] == [1]
    small.wait_more()
    os.unlink(os.path.join(export, "ballast"))
    small.store.fkv("publish", f"big={task}")
    assert small.published("big") == 2
    node.wait_serving("big", 2)
    # Some space, but not for a version.
    fill(export, 1 << 20)
    seen = len(small.store.records())
    build = ["build", "users", write_rows(small.directory), "--key", "u64", "--value", "bytes", "--publish"]
    done = small.store.fkv(*build, check=False)
    assert done.returncode == 3 and "is full" in done.stderr, f"{done.returncode} {done.stderr}"
    assert len(small.store.records()) == seen
    assert [table["table"] for table in small.store.json("ls")["tables"]] == ["big"]
    os.unlink(os.path.join(export, "ballast"))
    small.store.fkv("gc", "--wait", "0")
    small.store.fkv(*build)
    node.wait_serving("users", 1)
    assert small.store.json("verify")["bad"] == 0
    small.finish()


def write_rows(directory):
    """Some 4 MB."""
    path = os.path.join(directory, "users.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{key}\t{os.urandom(1000).hex()}\n" for key in range(2000))
    return path
