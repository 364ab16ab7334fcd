# SPDX-License-Identifier: Apache-2.0
"""The store's own suite (tests/lib/store_suite.h) over a real NFS server: as it is, and with connections that break all the time."""

import os
import subprocess
import threading

import fkvtest
import pytest
from ganesha import Ganesha
from tcp_proxy import Action, TcpProxy

SUITE = os.path.join(fkvtest.BUILD, "tests", "lib", "store_suite_main")
VERSIONS = pytest.mark.parametrize("version", [3, 4])


@pytest.fixture(name="server", scope="module")
def fixture_server(tmp_path_factory):
    server = Ganesha(tmp_path_factory.mktemp("server"), "--fresh").start()
    os.makedirs(server.path("store"))
    yield server
    server.clean()


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
@pytest.mark.parametrize("nth", [7, 11, 29])
@pytest.mark.parametrize("is_done", [False, True], ids=["never-arrives", "reply-lost"])
def test_the_suite_with_connections_that_break(server, version, nth, is_done):
    """Whatever it is that breaks, each call does what it is to do, once."""
    every = Every(nth, is_done)
    with TcpProxy(server.port) as proxy:
        proxy.when("*", every, times=None)
        run_suite(server.url(version, "store", proxy), server.path("store"))
        assert every.n_broken > 20
