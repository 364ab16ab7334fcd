# SPDX-License-Identifier: Apache-2.0
"""Stores on an NFS server of their own: NfsStore for tests of one node, and the kinds "nfs3" and "nfs4" for those of a fleet.

FKV_TEST_STORE=nfs3|nfs4 lets every test that uses the `store`, `tables` or `fleet` fixture run on such a store. `path` is where the
server keeps the files; it caches nothing, so that a test may change them behind its back. go_away() kills the server.
"""

import copy
import os

import fkvtest
import pytest
import fleet
from ganesha import Ganesha
from tcp_proxy import TcpProxy

KIND = os.environ.get("FKV_TEST_STORE", "dir")


def fleet_on(*kinds):
    """Runs a test's `fleet` on these kinds of store; in long runs on both versions of NFS."""
    return pytest.mark.parametrize("fleet", ["nfs3", "nfs4"] if fkvtest.LONG else kinds, indirect=True)


class OnNfs:
    """Starts the server, then the rest is as in the class it is mixed into."""

    def __init__(self, directory, version, export=None):
        self.server = Ganesha(directory, "--fresh", export=export).start()
        self.version = version
        self.proxies = []
        try:
            os.makedirs(self.server.path("store"))
            self.make(directory, self.server.path("store"), self.server.url(version, "store"))
        except BaseException:
            self.end()
            raise

    def through(self, proxy):
        """The same store, reached through a TcpProxy."""
        other = copy.copy(self)
        other.url = self.server.url(self.version, "store", proxy)
        return other

    def open_proxy(self):
        """A TcpProxy to the server, closed when the nodes that may use it have ended."""
        self.proxies.append(TcpProxy(self.server.port))
        return self.proxies[-1]

    def go_away(self):
        self.server.kill9()

    def come_back(self):
        self.server.restart()

    def end(self):
        for proxy in self.proxies:
            proxy.close()
        self.server.clean()


class NfsStore(OnNfs, fkvtest.Store):
    def make(self, _, path, url):
        fkvtest.Store.__init__(self, path, url)


class NfsFleetStore(OnNfs, fleet.DirectoryStore):
    def make(self, directory, path, url):
        fleet.DirectoryStore.__init__(self, directory, path, url)


def make_store(directory):
    """For the `store` fixture: of the kind that FKV_TEST_STORE names."""
    return fkvtest.Store(os.path.join(directory, "store")) if KIND == "dir" else NfsStore(directory, int(KIND[3:]))


fleet.STORES["nfs3"] = lambda directory: NfsFleetStore(directory, 3)
fleet.STORES["nfs4"] = lambda directory: NfsFleetStore(directory, 4)
