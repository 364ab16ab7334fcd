# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. They need root, /dev/fuse and the built programs (FKV_BUILD)."""

import contextlib
import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import fkvtest  # noqa: E402
import nfs_store  # noqa: E402
import slurm  # noqa: E402


def pytest_collection_modifyitems(config, items):
    missing = [path for path in (fkvtest.FKV, fkvtest.FKVD) if not os.access(path, os.X_OK)]
    if missing:
        raise pytest.UsageError(f"not built: {', '.join(missing)} (set FKV_BUILD to the build directory)")
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="mounts and changes users: run as root"))


def _make_dir():
    path = tempfile.mkdtemp(prefix="fkv-e2e-", dir=os.environ.get("FKV_TMP", "/tmp"))
    os.chmod(path, 0o755)  # other users look into mounts below it
    return path


@pytest.fixture
def work_dir():
    """A directory of the test's own; removed with all that is in it."""
    path = _make_dir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def store(work_dir):
    """An empty store: in a directory, or on an NFS server of the test's own when FKV_TEST_STORE is nfs3 or nfs4."""
    made = nfs_store.make_store(work_dir)
    yield made
    made.end()


@pytest.fixture
def make_daemon(work_dir, store):
    """make_daemon(name="n1", *args): daemons that are ended and unmounted whatever happens."""
    made = []

    def make(name="n1", *args, start=True):
        daemon = fkvtest.Daemon(store, os.path.join(work_dir, name), "--node", name, *args)
        made.append(daemon)
        return daemon.start() if start else daemon

    yield make
    with contextlib.ExitStack() as stack:
        for daemon in made:
            stack.callback(daemon.clean)


@pytest.fixture
def daemon(make_daemon):
    """One daemon on an empty store."""
    return make_daemon()


@pytest.fixture
def make_slurm(work_dir):
    """make_slurm(n_nodes=2, *options): clusters (slurm.py) that are ended whatever happens."""
    made = []

    def make(n_nodes=2, *options):
        cluster = slurm.Slurm(os.path.join(work_dir, f"c{len(made)}"), n_nodes, *options)
        made.append(cluster)
        return cluster.start()

    yield make
    with contextlib.ExitStack() as stack:
        for cluster in made:
            stack.callback(cluster.clean)


NUMBERS = [(i, f"one-{i}" * (1 + i % 5)) for i in range(1, 1001)]
WORDS = ["cat", "a/b", "..", ".", "50%", "key with spaces", "ünïcode"]


@pytest.fixture(scope="module")
def tables():
    """A store and daemon that the tests of a module share and only read.

    nums: u64 -> bytes that vary, versions 1 and 2 (current); vecs: u64 -> f16[4]; words: bytes -> bytes[4].
    """
    path = _make_dir()
    store = nfs_store.make_store(path)
    daemon = fkvtest.Daemon(store, os.path.join(path, "n1"))
    try:
        store.publish("nums", [(k, v.replace("one", "old")) for k, v in NUMBERS], "--key", "u64", "--value", "bytes")
        store.publish("vecs", [(i, f"{i},0.5,-1,0") for i in range(1, 101)], "--key", "u64", "--value", "f16[4]")
        store.publish("words", [(w, f"{i:04d}") for i, w in enumerate(WORDS)], "--key", "bytes", "--value", "bytes[4]")
        daemon.start()
        daemon.wait_current("nums", 1)
        store.publish("nums", NUMBERS)
        for table, version in (("nums", 2), ("vecs", 1), ("words", 1)):
            daemon.wait_current(table, version)
        daemon.tables = {"nums": dict(NUMBERS), "words": {w: f"{i:04d}" for i, w in enumerate(WORDS)}}
        yield daemon
    finally:
        daemon.clean()
        store.end()
        shutil.rmtree(path, ignore_errors=True)
