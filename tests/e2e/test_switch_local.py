# SPDX-License-Identifier: Apache-2.0
"""ln -sfn v/<id> current: the emergency brake, which needs nothing but a shell."""

import errno
import os
import subprocess
import threading

import pytest
from fkvtest import NOBODY, PATIENCE_S, Lookup, as_user, fails_with, wait_until

pytestmark = pytest.mark.kinds

ROWS = 200


def rows(version):
    return [(key, f"{version}:{key}") for key in range(1, ROWS + 1)]


@pytest.fixture
def served(store, make_daemon):
    """A daemon that serves version 3 of `ads`, with 2 as the one before."""
    store.publish("ads", rows(1), "--key", "u64", "--value", "bytes")
    daemon = make_daemon()
    for version in (2, 3):
        store.publish("ads", rows(version))
        daemon.wait_current("ads", version)
    return daemon


def shell(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def switch(daemon, version):
    return shell("ln", "-sfn", f"v/{version}", daemon.path("ads", "current"))


def test_root_switches_with_ln(served):
    done = switch(served, 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert served.link("ads") == "v/2"
    assert served.read("ads", "current", "key", 5) == b"2:5"
    with Lookup(served.path("ads", "batch")) as lookup:
        assert lookup.ask_message([5]).served == 2
    assert sorted(os.listdir(served.path("ads"))) == ["batch", "current", "previous", "v"]


def test_an_older_version_is_loaded_from_the_cache(served):
    assert switch(served, 1).returncode == 0
    assert served.link("ads") == "v/1"
    assert served.read("ads", "current", "key", 5) == b"1:5"


def test_the_pin_is_shown_and_stays_when_the_fleet_moves_on(store, served):
    assert switch(served, 2).returncode == 0
    table = [t for t in served.status()["node"]["tables"] if t["name"] == "ads"][0]
    assert table["local_pin"] == 2 and table["serving"] == 2
    store.publish("ads", rows(4))
    wait_until(lambda: "4" in os.listdir(served.path("ads", "v")), "version 4 is here")
    assert served.link("ads") == "v/2"


def test_rm_takes_the_pin_off(served):
    assert switch(served, 2).returncode == 0
    done = shell("rm", served.path("ads", "current"))
    assert (done.returncode, done.stderr) == (0, "")
    served.wait_current("ads", 3)
    assert served.read("ads", "current", "key", 5) == b"3:5"


def test_the_pin_survives_a_restart_and_a_lost_store(store, served):
    assert switch(served, 2).returncode == 0
    assert served.stop() == 0
    store.go_away()
    try:
        served.start()
        assert served.link("ads") == "v/2"
        assert served.read("ads", "current", "key", 7) == b"2:7"
        assert switch(served, 3).returncode == 0, "the brake needs no store"
        assert served.read("ads", "current", "key", 7) == b"3:7"
    finally:
        store.come_back()


@pytest.mark.concurrent
def test_readers_go_on_through_many_switches(served):
    errors, stop = [], threading.Event()

    def read():
        try:
            with Lookup(served.path("ads", "batch")) as lookup:
                lookup.attach()
                while not stop.is_set():
                    reply = lookup.ask_shared(list(range(1, ROWS + 1)))
                    expected = [f"{reply.served}:{key}".encode() for key in range(1, ROWS + 1)]
                    assert reply.values() == expected
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for turn in range(30):
            assert switch(served, 2 + turn % 2).returncode == 0
            assert served.link("ads") == f"v/{2 + turn % 2}"
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not errors


def test_a_version_that_is_not_here_is_refused(served):
    done = switch(served, 77)
    assert done.returncode != 0 and "No such file" in done.stderr
    assert served.link("ads") == "v/3"
    assert sorted(os.listdir(served.path("ads"))) == ["batch", "current", "previous", "v"]


@pytest.mark.parametrize("target", ["2", "/fkv/ads/v/2", "v/02", "v/2/", "v/", "../ads/v/2", "v/../v/2", "v/0", "/etc",
                                    "v/99999999999999999999"])
def test_any_other_target_is_refused(served, target):
    done = shell("ln", "-sfn", target, served.path("ads", "current"))
    assert done.returncode != 0
    assert served.link("ads") == "v/3"
    fails_with(errno.EINVAL, os.symlink, target, served.path("ads", "x"))


def test_only_current_can_be_moved(served):
    for name in ("previous", "batch", "v", "other"):
        shell("ln", "-sfn", "v/2", served.path("ads", name))
        assert not os.path.islink(served.path("ads", "batch")) and served.link("ads") == "v/3"
        assert served.link("ads", "previous") == "v/2"
    os.symlink("v/2", served.path("ads", "mine"))
    fails_with(errno.EROFS, os.rename, served.path("ads", "mine"), served.path("ads", "v", "current"))
    fails_with(errno.EPERM, os.rename, served.path("ads", "mine"), served.path("ads", "previous"))
    fails_with(errno.EROFS, os.rename, served.path("ads", "previous"), served.path("ads", "current"))
    os.unlink(served.path("ads", "mine"))
    fails_with(errno.ENOENT, os.lstat, served.path("ads", "mine"))
    assert served.link("ads") == "v/3"


def test_forgotten_links_do_not_pile_up(served):
    for i in range(100):
        os.symlink("v/2", served.path("ads", f"t{i}"))
    left = [i for i in range(100) if os.path.islink(served.path("ads", f"t{i}"))]
    assert left == list(range(68, 100))
    assert switch(served, 2).returncode == 0


def test_nobody_else_may_switch(served):
    def try_all():
        for change in (lambda: os.symlink("v/2", served.path("ads", "mine")),
                       lambda: os.unlink(served.path("ads", "current")),
                       lambda: os.rename(served.path("ads", "previous"), served.path("ads", "current"))):
            try:
                change()
                return 1
            except PermissionError:
                pass
        return 0

    assert as_user(NOBODY, try_all) == 0
    assert served.link("ads") == "v/3"


@pytest.mark.concurrent
def test_it_stops_while_links_are_being_changed(served):
    """Switches that come in at the very end get an answer or a dead mount, and keep nobody waiting."""
    stop, results = threading.Event(), []

    def change():
        while not stop.is_set():
            results.append(switch(served, 2 + len(results) % 2).returncode)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        wait_until(lambda: len(results) > 3, "switches happen")
        assert served.stop() == 0
    finally:
        stop.set()
        changer.join(timeout=PATIENCE_S)
    assert not changer.is_alive() and results[:3] == [0, 0, 0]
