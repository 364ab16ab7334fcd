# SPDX-License-Identifier: Apache-2.0
"""What the store makes of servers, and of ways to them, that are not as they should be: single calls, through a proxy."""

import errno
import os
import socketserver
import struct
import threading

import pytest
from store_probe import MIB, VERSIONS, Probe
from store_probe import fixture_place, fixture_probe, fixture_proxied, fixture_proxy, fixture_server  # noqa: F401
from tcp_proxy import Action, call, cut, delay, lose_reply

JUKEBOX, BAD_COOKIE, GRACE = 10008, 10003, 10013
# Before the results in a reply that was accepted: xid, REPLY, accepted, verifier (2), success.
HEAD = 24


class Answers(Action):
    """The server's own answer is replaced by a status. It has done what was asked, unless asked=False."""

    def __init__(self, version, status):
        self.version, self.status = version, status

    def on_reply(self, record):
        if self.version == 3:
            return bytes(record[:HEAD]) + struct.pack(">I", self.status) + bytes(64)
        # No tag; of the operations only the first, PUTFH, was tried.
        return bytes(record[:HEAD]) + struct.pack(">IIIII", self.status, 0, 1, 22, self.status)


class Truncates(Action):
    """The reply ends in the middle of its head."""

    def on_reply(self, record):
        return bytes(record[:HEAD - 6])


class Repeats(Action):
    """The first page of a listing, again and again."""

    def __init__(self):
        self.first = None

    def on_reply(self, record):
        self.first = self.first or bytes(record[4:])
        return bytes(record[:4]) + self.first


def make_names(path, n):
    os.mkdir(path)
    for i in range(n):
        with open(os.path.join(path, f"name-of-a-part-or-a-record-{i:06}"), "w", encoding="utf-8"):
            pass


# --- Refusals below NFS

class Refuser(socketserver.ThreadingTCPServer):
    """Answers every request with the same reply, and counts connections."""

    daemon_threads = True

    def __init__(self, reply):
        super().__init__(("127.0.0.1", 0), RefuserHandler)
        self.reply, self.n_connections = reply, 0
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


class RefuserHandler(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.n_connections += 1
        while True:
            mark = self.rfile.read(4)
            if len(mark) < 4:
                return
            call = self.rfile.read(struct.unpack(">I", mark)[0] & 0x7FFFFFFF)
            reply = call[:4] + self.server.reply
            self.wfile.write(struct.pack(">I", 0x80000000 | len(reply)) + reply)


@VERSIONS
@pytest.mark.parametrize("reply, code, says", [
    (struct.pack(">IIIIIII", 1, 0, 0, 0, 2, 3, 3), errno.EPROTONOSUPPORT, "this version of NFS"),
    (struct.pack(">IIIII", 1, 0, 0, 0, 4), errno.EPROTONOSUPPORT, "this version of NFS"),
    (struct.pack(">IIII", 1, 1, 1, 5), errno.EACCES, "sec="),
    (struct.pack(">III", 1, 7, 0), errno.EBADMSG, "makes no sense"),
], ids=["version", "garbage", "credentials", "nonsense"])
def test_a_server_that_refuses_requests_says_so_at_once(version, reply, code, says):
    with Refuser(reply) as refuser:
        probe = Probe(f"nfs://127.0.0.1/e?version={version}&nfsport={refuser.port}" +
                      (f"&mountport={refuser.port}" if version == 3 else ""))
        assert says in probe.refused(code, "stat", "x")
        assert probe.ms < 3000 and refuser.n_connections == 1
        probe.close()
        refuser.shutdown()


@VERSIONS
def test_an_answer_that_does_not_decode_is_a_lost_one(proxy, proxied, place, version):
    """The link was made: the next try finds it."""
    proxied.do("put", "x", "1")
    rule = proxy.when("LINK", Truncates())
    proxied.do("link", "x", "y")
    assert rule.done() == 1
    assert os.path.samefile(os.path.join(place[1], "x"), os.path.join(place[1], "y"))


# --- Connections

@pytest.mark.slow
@VERSIONS
def test_idle_connections_that_a_firewall_forgot(proxy, proxied, version):
    """One is found out by its silence, and none of the others is tried: small calls, reading and writing."""
    proxied.do("create", "big")
    proxied.do("append", 3 * MIB)  # in memory until the commit
    proxied.do("put", "x", "1")
    proxy.freeze_all()
    assert proxied.do("get", "x") == "1"
    assert 2500 < proxied.ms < 8000
    proxy.freeze_all()
    proxied.do("commit")
    assert proxied.ms < 8000
    proxied.do("open", "big")
    proxy.freeze_all()
    assert proxied.do("read", 0, 3 * MIB) == f"{3 * MIB} right"
    assert proxied.ms < 8000


@VERSIONS
@pytest.mark.slow
def test_connections_that_fall_silent_in_the_middle(proxy, proxied, version):
    """Of reading and of writing: another one is tried."""
    for operation, words in (("WRITE", ("commit",)), ("READ", ("read", 0, 30 * MIB))):
        if operation == "WRITE":
            proxied.do("create", "big")
            rule = proxy.when("WRITE", call(before=proxy.freeze_all), skip=10)
            proxied.do("append", 30 * MIB)
        else:
            proxied.do("open", "big")
            rule = proxy.when("READ", call(before=proxy.freeze_all), skip=10)
        text = proxied.do(*words)
        assert rule.done() == 1 and proxied.ms < 20000
    assert text == f"{30 * MIB} right"


# --- Patience

@VERSIONS
def test_a_server_in_its_grace_period_is_waited_for(proxy, proxied, version):
    proxied.do("mkdir", "d")
    status = GRACE if version == 4 else JUKEBOX
    rules = [proxy.when(name, Answers(version, status), times=4) for name in ("CREATE" if version == 3 else "OPEN", "WRITE")]
    proxied.do("put", "d/x", "1")
    assert [rule.done() for rule in rules] == [4, 4]
    assert proxied.do("get", "d/x") == "1"


@VERSIONS
@pytest.mark.slow
def test_a_grace_period_that_lasts_is_named(proxy, proxied, version):
    proxied.do("put", "x", "1")
    rule = proxy.when("WRITE", Answers(version, GRACE if version == 4 else JUKEBOX), times=None)
    assert "grace period" in proxied.refused(errno.EAGAIN, "put", "x", "2")
    assert 5000 < proxied.ms < 13000 and rule.done() > 5
    rule.times = 0
    proxied.do("put", "x", "3")
    assert proxied.do("get", "x") == "3"


@VERSIONS
def test_why_a_write_failed_is_told(proxy, proxied, version):
    """By the close of a file, which is where it comes out."""
    proxied.do("create", "x")
    proxied.do("append", 10)
    rule = proxy.when("WRITE", Answers(version, 10006))
    assert "status 10006" in proxied.refused(errno.EIO, "commit")
    assert rule.done() == 1


# --- Listings

@VERSIONS
def test_a_listing_goes_on_where_the_connection_broke(proxy, proxied, place, version):
    make_names(os.path.join(place[1], "many"), 5000)
    whole = proxied.do("list", "many")
    pages = proxy.counts["READDIR"]
    for skip in (1, 2, 3):
        proxy.when("READDIR", cut(), skip=skip)
    assert proxied.do("list", "many") == whole == "5000"
    assert pages >= 4 and proxy.counts["READDIR"] <= 2 * pages + 3


@VERSIONS
def test_a_listing_that_does_not_get_on_is_given_up(proxy, proxied, place, version):
    make_names(os.path.join(place[1], "many"), 5000)
    rule = proxy.when("READDIR", Repeats(), times=None)
    assert "makes no sense" in proxied.refused(errno.EBADMSG, "list", "many")
    assert rule.done() == 2
    rule.times = 0
    assert proxied.do("list", "many") == "5000"


@VERSIONS
def test_a_listing_that_has_to_begin_anew_does(proxy, proxied, place, version):
    make_names(os.path.join(place[1], "many"), 5000)
    rules = [proxy.when("READDIR", Answers(version, BAD_COOKIE), skip=2) for _ in range(2)]
    assert proxied.do("list", "many") == "5000"
    assert [rule.done() for rule in rules] == [1, 1]
    always = proxy.when("READDIR", Answers(version, BAD_COOKIE), times=None)
    assert "changes all the time" in proxied.refused(errno.ERESTART, "list", "many")
    assert always.done() == 5


@VERSIONS
@pytest.mark.slow
def test_a_long_listing_has_time_for_each_page(proxy, proxied, place, version):
    make_names(os.path.join(place[1], "many"), 5000)
    proxy.when("READDIR", delay(2.5), times=None)
    assert proxied.do("list", "many") == "5000"
    assert proxied.ms > 10000


# --- Whose doing was it?

@VERSIONS
def test_what_cannot_be_told_at_once_is_asked_again(proxy, proxied, place, version):
    """The answer is lost, and the server asks for patience when asked what became of it."""
    proxied.do("put", "x", "1")
    asked = []
    for operation, words in (("LINK", ("link", "x", "y")), ("RENAME", ("rename", "d", "e"))):
        if operation == "RENAME":
            proxied.do("mkdir", "d")
        # In the next try the first look is at the name that is to be linked or renamed.
        lost = proxy.when(operation, lose_reply(lambda: asked.append(
            proxy.when("LOOKUP", Answers(version, JUKEBOX), skip=1))))
        proxied.do(*words)
        assert lost.done() == 1 and asked[-1].done() == 1, operation
    assert sorted(os.listdir(place[1])) == ["e", "x", "y"]


@VERSIONS
def test_a_replacement_that_was_replaced_took_place(proxy, proxied, probe, version):
    """The answer to a rename is lost, and before it is looked for another host puts its own."""
    proxied.do("put", "x", "old")
    rule = proxy.when("RENAME", lose_reply(lambda: probe.do("put", "x", "theirs")))
    proxied.do("put", "x", "ours")
    assert rule.done() == 1
    assert probe.do("get", "x") == "theirs"


@VERSIONS
def test_a_directory_made_anew_is_not_the_one_that_was_moved(probe, place, version):
    """Its handle is known, and still good: for what another host has moved away."""
    probe.do("mkdir", "task")
    probe.do("put", "task/x", "1")
    os.rename(os.path.join(place[1], "task"), os.path.join(place[1], "version"))
    probe.do("mkdir", "task")
    probe.do("put", "task/y", "2")
    assert os.listdir(os.path.join(place[1], "version")) == ["x"]
    assert os.listdir(os.path.join(place[1], "task")) == ["y"]
