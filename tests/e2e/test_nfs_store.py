# SPDX-License-Identifier: Apache-2.0
"""The store's own suite (tests/lib/store_suite.h) over a real NFS server: as it is, and with connections that break all the time."""

import errno
import os
import subprocess
import threading
import time

import fkvtest
import pytest
from ganesha import Ganesha
from store_probe import MIB, VERSIONS, Probe
from store_probe import fixture_place, fixture_probe, fixture_server  # noqa: F401
from tcp_proxy import Action, TcpProxy

SUITE = os.path.join(fkvtest.BUILD, "tests", "lib", "store_suite_main")


def run_suite(url, directory, timeout_s=300):
    done = subprocess.run([SUITE, url, directory], capture_output=True, text=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.listdir(directory) == []
    return done.stdout


@VERSIONS
def test_the_suite(server, version):
    assert "SKIPPED" not in run_suite(server.url(version, "store"), server.path("store"))


class Every(Action):
    """Every nth request breaks its connection: before the server has it, or when it has done it."""

    def __init__(self, nth, is_done):
        self.nth, self.is_done = nth, is_done
        self.lock = threading.Lock()
        self.n_seen = self.n_broken = 0
        self.lost = set()

    def on_call(self, record):
        with self.lock:
            self.n_seen += 1
            if self.n_seen % self.nth:
                return record
            self.n_broken += 1
            if not self.is_done:
                return None
            self.lost.add(bytes(record[:4]))
        return record

    def on_reply(self, record):
        with self.lock:
            if bytes(record[:4]) not in self.lost:
                return record
            self.lost.discard(bytes(record[:4]))
        return None


@VERSIONS
@pytest.mark.parametrize("nth", [7, pytest.param(11, marks=pytest.mark.slow), pytest.param(29, marks=pytest.mark.slow)])
@pytest.mark.parametrize("is_done", [False, True], ids=["never-arrives", "reply-lost"])
def test_the_suite_with_connections_that_break(server, version, nth, is_done):
    """Whatever it is that breaks, each call does what it is to do, once."""
    every = Every(nth, is_done)
    with TcpProxy(server.port) as proxy:
        proxy.when("*", every, times=None)
        run_suite(server.url(version, "store", proxy), server.path("store"))
        assert every.n_broken > 20


@VERSIONS
def test_how_many_requests_a_call_takes(version, probe):
    """A look at a name that is not there is one, however deep it lies; the first call connects, and NFSv3 walks once."""
    probe.do("mkdir", "a/log")
    probe.do("put", "a/log/1", "one")
    for _ in range(20):
        probe.refused(errno.ENOENT, "get", "a/log/2")
        assert probe.requests == 1
        assert probe.do("get", "a/log/1") == "one" and probe.requests == 2
        probe.do("stat", "a/log/1")
        assert probe.requests == 1
    probe.do("put", "a/log/1", "two")
    assert probe.requests <= (4 if version == 3 else 6)


@VERSIONS
def test_a_server_that_restarts_loses_nothing(server, version, place, probe):
    """Killed while a file is written and while one is read: what was on the way is sent again."""
    probe.do("create", "big")
    for turn in range(8):
        probe.do("append", 3 * MIB + 1)
        if turn in (2, 5):
            server.kill9()
            server.restart()
    probe.do("commit")
    length = int(probe.do("open", "big"))
    assert length == 8 * (3 * MIB + 1)
    assert probe.do("read", 0, length) == f"{length} right"
    server.kill9()
    server.restart()
    assert probe.do("read", 5, length) == f"{length - 5} right"
    assert os.listdir(place[1]) == ["big"]


@VERSIONS
@pytest.mark.slow
def test_a_server_that_is_away_is_given_up_in_time(server, version, probe):
    """And is found again at once when it is back."""
    probe.do("put", "x", "1")
    server.kill9()
    assert "nfsport=" in probe.refused(errno.ECONNREFUSED, "get", "x")
    assert 5000 < probe.ms < 13000
    server.restart()
    assert probe.do("get", "x") == "1"
    server.pause()
    assert "did not answer in time" in probe.refused(errno.ETIMEDOUT, "put", "x", "2")
    assert 5000 < probe.ms < 13000
    server.resume()
    probe.do("put", "x", "3")
    assert probe.do("get", "x") == "3"


@VERSIONS
def test_a_pause_shorter_than_the_limit_is_only_a_pause(server, version, probe):
    probe.do("put", "x", "1")
    server.pause()
    probe.send("put_new", "y", "2")
    threading.Timer(2, server.resume).start()
    assert probe.answer() == (0, "")
    assert probe.do("get", "y") == "2"


@VERSIONS
def test_a_file_that_is_replaced_or_gone_while_it_is_open(version, place, probe):
    """Never bytes of one in the middle of another."""
    for name in ("replaced", "removed"):
        probe.do("create", name)
        probe.do("append", 2 * MIB)
        probe.do("commit")
    probe.do("open", "replaced")
    assert probe.do("read", 0, MIB) == f"{MIB} right"
    probe.do("put", "replaced", "another")
    assert "removed or replaced" in probe.refused(errno.ESTALE, "read", MIB, MIB)
    assert probe.do("get", "replaced") == "another"
    probe.do("open", "removed")
    os.unlink(os.path.join(place[1], "removed"))
    code, text = probe.ask("read", 0, MIB)
    # The server may still have it open.
    assert (code, text) == (0, f"{MIB} right") or (code == -errno.ESTALE and "removed or replaced" in text)
    probe.refused(errno.ENOENT, "open", "removed")


@VERSIONS
def test_a_directory_that_is_replaced(server, version, place, probe):
    """By another host, or on the server: it is found anew, and so is the store itself."""
    probe.do("mkdir", "a/b")
    probe.do("put", "a/b/x", "old")
    path = os.path.join(place[1], "a")
    subprocess.run(["rm", "-rf", path], check=True)
    os.makedirs(os.path.join(path, "b"))
    probe.refused(errno.ENOENT, "get", "a/b/x")
    probe.do("put", "a/b/x", "new")
    assert probe.do("get", "a/b/x") == "new"
    other = Probe(server.url(version, "store"))
    other.do("remove_tree", place[0])
    # An NFSv3 server may also refuse to mount what is not there.
    assert probe.ask("stat", "a")[0] in (-errno.ENOENT, -errno.ESTALE, -errno.EACCES)
    other.do("mkdir", place[0])
    probe.do("put", "y", "again")
    assert os.listdir(place[1]) == ["y"]
    other.close()


@VERSIONS
def test_what_is_refused_says_what_to_look_at(server, version, place, probe):
    probe.do("put", "x", "1")
    stranger = Probe(server.url(version, f"store/{place[0]}") + "&uid=12345&gid=12345")
    assert "squash" in stranger.refused(errno.EACCES, "put", "x", "2")
    assert stranger.do("get", "x") == "1"
    os.chmod(os.path.join(place[1], "x"), 0o600)
    assert "uid=" in stranger.refused(errno.EACCES, "get", "x")
    stranger.close()
    server.reload("--ro")
    try:
        assert "read-only" in probe.refused(errno.EROFS, "put", "x", "2")
        assert probe.do("get", "x") == "1"
    finally:
        server.reload("--rw")
    probe.do("put", "x", "3")


@VERSIONS
def test_thousands_of_names(version, place, probe):
    for n in range(5000):
        with open(os.path.join(place[1], f"name-of-a-part-or-a-record-{n:06}"), "w", encoding="utf-8"):
            pass
    os.mkdir(os.path.join(place[1], "d"))
    probe.do("rename", "d", "many")
    for name in os.listdir(place[1]):
        if name != "many":
            os.rename(os.path.join(place[1], name), os.path.join(place[1], "many", name))
    assert probe.do("list", "many") == "5000"
    assert probe.requests < 20


@VERSIONS
def test_the_clock_of_a_server(version, probe):
    """The server is this machine, so its clock is ours."""
    probe.do("mkdir", "nodes")
    for _ in range(5):
        off_us, error_us = map(int, probe.do("clock", "nodes").split())
        assert abs(off_us) <= error_us + 10000


@pytest.mark.slow
def test_a_lease_that_ran_out(tmp_path):
    """NFSv4 forgets who we are when nothing was made for long: it is told again."""
    server = Ganesha(tmp_path, "--fresh", "--lease", "3").start()
    try:
        probe = Probe(server.url(4))
        probe.do("create", "slow")
        probe.do("append", 5 * MIB)
        probe.do("put", "x", "1")
        time.sleep(12)
        probe.do("put", "x", "2")
        probe.do("append", 5 * MIB)
        probe.do("commit")
        probe.do("open", "slow")
        assert probe.do("read", 0, 10 * MIB) == f"{10 * MIB} right"
        probe.close()
    finally:
        server.clean()
