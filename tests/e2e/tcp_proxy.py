# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between an NFS client and its server that a test steers, request by request.

    proxy = TcpProxy(server.port)
    url = server.url(4, "store", proxy=proxy)
    rule = proxy.when("LINK", lose_reply())           # the server has done it, the client never hears of it
    rule = proxy.when("LINK", lose_reply(server.kill9), skip=1)   # the second one; then the server dies
    proxy.when("READ", corrupt(), min_reply=65536)    # one byte of the next large READ is flipped on its way
    proxy.when("WRITE", cut())                        # the connection breaks, the server never hears of it
    proxy.when("COMMIT", swallow_reply())             # the connection stays, the reply does not come
    proxy.when("READ", delay(0.5), times=None)        # every one
    rule.done() / rule.wait()                         # how often it acted; until it has
    proxy.hold(); proxy.release()                     # connections are accepted and stay, nothing moves
    proxy.freeze_all()                                # open connections stay, nothing moves on them ever again; new ones work
    proxy.cut_all()                                   # every connection breaks now
    proxy.counts["LINK"]; proxy.total()               # requests seen, by operation, and in all
    proxy.close()

A rule names an operation: an NFSv3 procedure or an operation within an NFSv4 COMPOUND, in capitals; "*" is any. NFSv4 spells
the operation that makes a file CREATE in version 3 as OPEN. The first rule that still has times left and matches acts.
Requests are cut apart by their RPC record marks, so what happens is deterministic: nothing depends on timing.
"""

import collections
import socket
import struct
import threading
import time

import fkvtest

NFS, MOUNT = 100003, 100005
V3 = ("NULL GETATTR SETATTR LOOKUP ACCESS READLINK READ WRITE CREATE MKDIR SYMLINK MKNOD REMOVE RMDIR RENAME LINK READDIR "
      "READDIRPLUS FSSTAT FSINFO PATHCONF COMMIT").split()
V4 = dict(enumerate("ACCESS CLOSE COMMIT CREATE DELEGPURGE DELEGRETURN GETATTR GETFH LINK LOCK LOCKT LOCKU LOOKUP LOOKUPP NVERIFY "
                    "OPEN OPENATTR OPEN_CONFIRM OPEN_DOWNGRADE PUTFH PUTPUBFH PUTROOTFH READ READDIR READLINK REMOVE RENAME RENEW "
                    "RESTOREFH SAVEFH SECINFO SETATTR SETCLIENTID SETCLIENTID_CONFIRM VERIFY WRITE".split(), 3))


class Xdr:
    """Steps over the arguments of a call."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def u32(self):
        value = struct.unpack_from(">I", self.data, self.at)[0]
        self.at += 4
        return value

    def skip(self, length):
        self.at += length

    def opaque(self):
        length = self.u32()
        self.at += (length + 3) & ~3

    def bitmap(self):
        words = self.u32()
        self.at += 4 * words

    def attributes(self):
        self.bitmap()
        self.opaque()


def _skip_open(xdr):
    xdr.skip(12 + 8)  # seqid, access, deny; client id
    xdr.opaque()
    if xdr.u32() == 1:  # OPEN4_CREATE
        mode = xdr.u32()
        if mode in (2, 3):
            xdr.skip(8)
        if mode != 2:
            xdr.attributes()
    claim = xdr.u32()
    if claim == 1:
        xdr.skip(4)
    elif claim == 2:
        xdr.skip(16)
    if claim in (0, 2, 3):
        xdr.opaque()


def _skip_create(xdr):
    kind = xdr.u32()
    if kind == 5:  # a symbolic link
        xdr.opaque()
    elif kind in (3, 4):
        xdr.skip(8)
    xdr.opaque()
    xdr.attributes()


def _skip_all(*steps):
    def step(xdr):
        for one in steps:
            if isinstance(one, int):
                xdr.skip(one)
            else:
                getattr(xdr, one)()

    return step


# How long the arguments of each operation are; those that libnfs does not send are left out.
V4_ARGS = {
    "ACCESS": _skip_all(4), "CLOSE": _skip_all(20), "COMMIT": _skip_all(12), "CREATE": _skip_create, "GETATTR": _skip_all("bitmap"),
    "GETFH": _skip_all(), "LINK": _skip_all("opaque"), "LOOKUP": _skip_all("opaque"), "LOOKUPP": _skip_all(),
    "NVERIFY": _skip_all("attributes"), "OPEN": _skip_open, "OPEN_CONFIRM": _skip_all(20), "PUTFH": _skip_all("opaque"),
    "PUTROOTFH": _skip_all(), "READ": _skip_all(28), "READDIR": _skip_all(24, "bitmap"), "READLINK": _skip_all(),
    "REMOVE": _skip_all("opaque"), "RENAME": _skip_all("opaque", "opaque"), "RENEW": _skip_all(8), "RESTOREFH": _skip_all(),
    "SAVEFH": _skip_all(), "SETATTR": _skip_all(16, "attributes"), "VERIFY": _skip_all("attributes"),
    "SETCLIENTID": _skip_all(8, "opaque", 4, "opaque", "opaque", 4), "SETCLIENTID_CONFIRM": _skip_all(16),
    "WRITE": _skip_all(28, "opaque"),
}


def operations(record):
    """(xid, names) of a call: one name for NFSv3, one for each operation of an NFSv4 COMPOUND."""
    xdr = Xdr(record)
    xid, kind, _, program, version, procedure = (xdr.u32() for _ in range(6))
    if kind != 0:
        return xid, []
    for _ in range(2):  # credentials, verifier
        xdr.skip(4)
        xdr.opaque()
    if program == MOUNT:
        return xid, [f"MOUNT{procedure}"]
    if program != NFS or procedure == 0:
        return xid, ["NULL"]
    if version == 3:
        return xid, [V3[procedure]]
    xdr.opaque()
    xdr.skip(4)
    names = []
    for _ in range(xdr.u32()):
        number = xdr.u32()
        names.append(V4.get(number, f"OP{number}"))
        if names[-1] not in V4_ARGS:
            break
        V4_ARGS[names[-1]](xdr)
    return xid, names


# --- What a rule does: on_call(proxy, record) says what is sent to the server, on_reply what to the client; None: nothing, and
# --- the connection breaks; b"": nothing.

class Action:
    def on_call(self, record):
        return record

    def on_reply(self, record):
        return record


class _Cut(Action):
    def on_call(self, record):
        return None


class _LoseReply(Action):
    def __init__(self, then):
        self.then = then

    def on_reply(self, record):
        if self.then:
            self.then()
        return None


class _Swallow(Action):
    def on_reply(self, record):
        return b""


class _Delay(Action):
    def __init__(self, seconds):
        self.seconds = seconds

    def on_reply(self, record):
        time.sleep(self.seconds)
        return record


class _Corrupt(Action):
    def on_reply(self, record):
        # What surrounds the data is shorter than half of a reply that is worth corrupting.
        changed = bytearray(record)
        changed[len(changed) // 2] ^= 0x20
        return bytes(changed)


class _Call(Action):
    def __init__(self, before, after):
        self.before, self.after = before, after

    def on_call(self, record):
        if self.before:
            self.before()
        return record

    def on_reply(self, record):
        if self.after:
            self.after()
        return record


def cut():
    """The request does not reach the server; the connection breaks."""
    return _Cut()


def lose_reply(then=None):
    """The server has done the request and replied; then() is called; the connection breaks before the client hears."""
    return _LoseReply(then)


def swallow_reply():
    """The server has done the request, the connection stays, the reply never comes."""
    return _Swallow()


def delay(seconds):
    """The reply, and all behind it on the same connection, come later."""
    return _Delay(seconds)


def corrupt():
    """One byte in the middle of the reply is another."""
    return _Corrupt()


def call(before=None, after=None):
    """Runs something before the request is sent on, or before its reply is; both go through."""
    return _Call(before, after)


class Rule:
    def __init__(self, name, action, skip, times, min_reply):
        self.name, self.action, self.skip, self.times, self.min_reply = name, action, skip, times, min_reply
        self.acted = 0

    def matches(self, names):
        return (self.times is None or self.acted < self.times) and (self.name == "*" or self.name in names)

    def take(self):
        """Whether it is this one's turn."""
        if self.skip > 0:
            self.skip -= 1
            return False
        self.acted += 1
        return True

    def done(self):
        return self.acted

    def wait(self, timeout_s=fkvtest.PATIENCE_S):
        fkvtest.wait_until(lambda: self.acted, f"a {self.name} request came by", timeout_s)


class Connection:
    """Two threads, one a direction."""

    def __init__(self, proxy, client):
        self.proxy, self.client, self.server = proxy, client, None
        self.pending = {}  # xid: rules that want to see the reply
        self.closed = self.frozen = False

    def run(self):
        try:
            self.proxy.wait_released()
            self.server = socket.create_connection(("127.0.0.1", self.proxy.target))
            self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.proxy.spawn(self.pump, self.server, self.client, self.reply)
            self.pump(self.client, self.server, self.call)
        except OSError:
            self.close()

    def pump(self, source, sink, judge):
        try:
            while True:
                record = self.read_record(source)
                self.proxy.wait_released()
                if self.frozen:
                    continue
                passed = judge(record)
                if passed is None:
                    break
                if passed:
                    sink.sendall(struct.pack(">I", 0x80000000 | len(passed)) + passed)
        except OSError:
            pass
        self.close()

    @staticmethod
    def read_exactly(source, length):
        data = bytearray(length)
        view, at = memoryview(data), 0
        while at < length:
            got = source.recv_into(view[at:])
            if got == 0:
                raise ConnectionError("closed")
            at += got
        return data

    def read_record(self, source):
        record = b""
        while True:
            mark = struct.unpack(">I", self.read_exactly(source, 4))[0]
            record += self.read_exactly(source, mark & 0x7FFFFFFF)
            if mark & 0x80000000:
                return record

    def call(self, record):
        xid, names = operations(record)
        rule = self.proxy.seen(names)
        if rule:
            passed = rule.action.on_call(record)
            if passed is not None:
                self.pending[xid] = rule
            return passed
        rules = self.proxy.large_reply_rules(names)
        if rules:
            self.pending[xid] = rules
        return record

    def reply(self, record):
        rule = self.pending.pop(struct.unpack_from(">I", record)[0], None)
        if isinstance(rule, list):
            rule = self.proxy.first_for_reply(rule, len(record))
        return rule.action.on_reply(record) if rule else record

    def close(self):
        self.closed = True
        self.proxy.forget(self)
        for one in (self.client, self.server):
            if one:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                one.close()


class TcpProxy:
    def __init__(self, target):
        self.target = target
        self.counts = collections.Counter()
        self.rules, self.connections = [], set()
        self.lock = threading.Lock()
        self.flowing = threading.Event()
        self.flowing.set()
        self.closing = False
        self.accepted = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.spawn(self.accept)

    @staticmethod
    def spawn(target, *args):
        threading.Thread(target=target, args=args, daemon=True).start()

    def accept(self):
        while not self.closing:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, client)
            with self.lock:
                self.accepted += 1
                self.connections.add(connection)
            self.spawn(connection.run)

    def wait_released(self):
        self.flowing.wait()
        if self.closing:
            raise ConnectionError("closed")

    def forget(self, connection):
        with self.lock:
            self.connections.discard(connection)

    def seen(self, names):
        """Counts a request and returns the rule whose turn it is, if any."""
        with self.lock:
            self.counts.update(names)
            self.counts["requests"] += 1
            for rule in self.rules:
                if not rule.min_reply and rule.matches(names) and rule.take():
                    return rule
        return None

    def large_reply_rules(self, names):
        with self.lock:
            return [rule for rule in self.rules if rule.min_reply and rule.matches(names)]

    def first_for_reply(self, rules, length):
        with self.lock:
            for rule in rules:
                if length >= rule.min_reply and rule.matches([rule.name]) and rule.take():
                    return rule
        return None

    # --- for tests ---

    def when(self, name, action, skip=0, times=1, min_reply=0):
        """After `skip` matching requests, the next `times` (None: all) get the action. With min_reply, only requests count whose
        reply is at least that long, and the action sees the reply alone."""
        rule = Rule(name, action, skip, times, min_reply)
        with self.lock:
            self.rules.append(rule)
        return rule

    def clear(self):
        with self.lock:
            self.rules.clear()

    def total(self):
        return self.counts["requests"]

    def hold(self):
        self.flowing.clear()

    def release(self):
        self.flowing.set()

    def freeze_all(self):
        with self.lock:
            for connection in self.connections:
                connection.frozen = True

    def cut_all(self):
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            connection.close()

    def close(self):
        self.closing = True
        self.flowing.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.cut_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
