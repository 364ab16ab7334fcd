# SPDX-License-Identifier: Apache-2.0
"""A program that does store calls as it is told (progs/store_probe.c), and fixtures for it on a server of a module's own."""

import os
import subprocess

import fkvtest
import pytest
from ganesha import Ganesha
from tcp_proxy import TcpProxy

PROBE = os.path.join(fkvtest.BUILD, "tests", "e2e", "progs", "store_probe")
VERSIONS = pytest.mark.parametrize("version", [3, 4])
MIB = 1 << 20


class Probe:
    def __init__(self, url):
        self.process = subprocess.Popen([PROBE, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        code, ms, requests, text = self.process.stdout.readline().rstrip("\n").split(" ", 3)
        self.ms, self.requests = int(ms), int(requests)
        return int(code), text

    def ask(self, *words):
        self.send(*words)
        return self.answer()

    def do(self, *words):
        """What must not fail."""
        code, text = self.ask(*words)
        assert code == 0, f"{words}: {text}"
        return text

    def refused(self, code, *words):
        """What must fail so; what it says."""
        got, text = self.ask(*words)
        assert got == -code, f"{words}: {got} {text}"
        return text

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0
        self.process.stdout.close()


@pytest.fixture(name="server", scope="module")
def fixture_server(tmp_path_factory):
    server = Ganesha(tmp_path_factory.mktemp("server"), "--fresh").start()
    os.makedirs(server.path("store"))
    yield server
    server.clean()


@pytest.fixture(name="place")
def fixture_place(server, request):
    """An empty directory of the store's, and its path on this machine."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    path = server.path("store", name)
    os.makedirs(path)
    yield name, path
    if server.alive():
        server.resume()
    else:
        server.restart()


@pytest.fixture(name="probe")
def fixture_probe(server, version, place):
    probe = Probe(server.url(version, f"store/{place[0]}"))
    yield probe
    probe.close()


@pytest.fixture(name="proxy")
def fixture_proxy(server):
    with TcpProxy(server.port) as proxy:
        yield proxy


@pytest.fixture(name="proxied")
def fixture_proxied(server, version, place, proxy):
    """A probe whose requests go through the proxy."""
    probe = Probe(server.url(version, f"store/{place[0]}", proxy))
    yield probe
    probe.close()
