# SPDX-License-Identifier: Apache-2.0
"""Owners, groups and modes of tables, enforced by the kernel."""

import errno
import os
import stat
import threading
import time

import pytest
from fkvtest import NOBODY, Lookup, as_user, wait_until

ROWS = [(key, f"v{key}") for key in range(1, 101)]
SHAPE = ("--key", "u64", "--value", "bytes")


@pytest.fixture
def served(store, make_daemon):
    """open: everybody's; group: root's and group 4242's; mine: user 4243's alone."""
    store.publish("open", ROWS, *SHAPE)
    store.publish("group", ROWS, *SHAPE, "--owner", "root", "--group", "4242", "--mode", "0440")
    store.publish("mine", ROWS, *SHAPE, "--owner", "4243", "--group", "4243", "--mode", "0400")
    daemon = make_daemon()
    for table in ("open", "group", "mine"):
        daemon.wait_current(table, 1)
    return daemon


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_modes_are_shown(served):
    assert mode(served.path("group")) == 0o550 and mode(served.path("group", "batch")) == 0o660
    assert mode(served.path("group", "v", 1, "version.json")) == 0o440
    assert os.stat(served.path("group", "v", 1, "batch")).st_gid == 4242
    assert mode(served.path("mine", "v", 1, "key")) == 0o500
    assert os.stat(served.path("mine")).st_uid == 4243
    assert mode(served.path("mine", "current", "key", 5)) == 0o400


def try_read(served, table):
    """What an ordinary user does: 0, or the errno that stops it."""
    def call():
        with open(served.path(table, "current", "key", 5), "rb") as file:
            assert file.read() == b"v5"
        with Lookup(served.path(table, "batch")) as lookup:
            lookup.attach()
            assert lookup.ask_shared([5]).values() == [b"v5"]
            assert lookup.ask_message([5]).values() == [b"v5"]
            assert lookup.ask_inline([5]).values() == [b"v5"]
        with Lookup(served.path(table, "v", 1, "batch"), os.O_RDONLY) as lookup:
            assert lookup.ask_inline([5]).values() == [b"v5"]
        return 0
    return call


@pytest.mark.parametrize("table,uid,result", [
    ("open", NOBODY, 0), ("group", NOBODY, -errno.EACCES), ("group", 4242, 0), ("mine", NOBODY, -errno.EACCES),
    ("mine", 4242, -errno.EACCES), ("mine", 4243, 0), ("group", 4243, -errno.EACCES),
])
def test_the_kernel_enforces_them(served, table, uid, result):
    assert as_user(uid, try_read(served, table)) == result


def test_root_reads_everything(served):
    for table in ("open", "group", "mine"):
        assert try_read(served, table)() == 0


def test_a_closed_table_is_listed_but_not_entered(served):
    def call():
        assert "mine" in os.listdir(served.mount)
        os.stat(served.path("mine"))
        os.listdir(served.path("mine"))
    assert as_user(NOBODY, call) == -errno.EACCES


def test_an_ordinary_user_s_arena_works_and_is_his_own(served):
    """The daemon takes the memfd from the caller, whoever it is."""
    def call():
        with Lookup(served.path("open", "batch")) as lookup:
            lookup.attach(1 << 20)
            for key in range(1, 101):
                assert lookup.ask_shared([key]).values() == [f"v{key}".encode()]
    assert as_user(NOBODY, call) == 0


def test_a_stricter_version_closes_the_table(store, served):
    store.publish("open", ROWS, "--mode", "0400", "--owner", "4243")
    served.wait_current("open", 2)
    wait_until(lambda: mode(served.path("open")) == 0o500, "the kernel sees the new mode")
    assert as_user(NOBODY, try_read(served, "open")) == -errno.EACCES
    assert as_user(4243, try_read_current(served)) == 0


def test_an_open_file_does_not_outlive_a_stricter_version(store, served):
    def call():
        with Lookup(served.path("open", "batch")) as lookup:
            assert lookup.ask_inline([5]).values() == [b"v5"]
            wait_until(lambda: lookup.ask_inline([5]).error == -errno.EACCES, "the file is closed to him")
            assert lookup.ask_message([5]).error == -errno.EACCES
            os.open(served.path("open", "batch"), os.O_RDWR)

    answers = {}
    asker = threading.Thread(target=lambda: answers.update(end=as_user(NOBODY, call)))
    asker.start()
    wait_until(lambda: served.status()["daemon"]["sessions"] > 0, "the file is open")
    time.sleep(0.2)
    store.publish("open", ROWS, "--mode", "0400", "--owner", "4243")
    asker.join()
    assert answers["end"] == -errno.EACCES
    with Lookup(served.path("open", "batch")) as lookup:  # root's, opened under the new mode
        assert lookup.ask_inline([5]).values() == [b"v5"]


def try_read_current(served):
    def call():
        with open(served.path("open", "current", "key", 5), "rb") as file:
            assert file.read() == b"v5"
    return call


def test_another_version_is_not_a_way_around_its_mode(store, served):
    """Version 1 of `group` was closed to nobody; an open version 2 does not open it through FKV_WANT_EXACT."""
    store.publish("group", ROWS, "--mode", "0444")
    served.wait_current("group", 2)
    wait_until(lambda: mode(served.path("group", "batch")) == 0o666, "the kernel sees the new mode")

    def call():
        with Lookup(served.path("group", "batch")) as lookup:
            assert lookup.ask_message([5]).values() == [b"v5"]
            assert lookup.ask_message([5], flags=4, version=1).error == -errno.EACCES
    assert as_user(NOBODY, call) == 0


def test_a_closed_candidate_cannot_be_asked_before_it_is_current(store, served):
    store.publish("soon", ROWS, *SHAPE, "--mode", "0400", activate=("--no-activate",))
    wait_until(lambda: os.path.exists(served.path("soon", "v", 1, "batch")), "the candidate is here")

    def call():
        with Lookup(served.path("soon", "batch")) as lookup:
            assert lookup.ask_message([5], flags=4, version=1).error == -errno.EACCES
    assert as_user(NOBODY, call) == 0


def test_status_is_for_everybody(served):
    def call():
        assert served.status()["daemon"]["pid"] == served.process.pid
        assert served.metrics()
    assert as_user(NOBODY, call) == 0
