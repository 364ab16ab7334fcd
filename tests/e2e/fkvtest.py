# SPDX-License-Identifier: Apache-2.0
"""What end-to-end tests stand on: a store, daemons on real mounts, and the lookup protocol spoken with raw system calls.

FKV_BUILD names the build directory (default: build/). FKV_TEST_KIND (mem, blk or idx) is the kind of every table whose test does not say
one: answers must not depend on it. Everything started here is ended by pid and everything mounted is
unmounted, also when a test fails: see the fixtures in conftest.py.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import re
import signal
import struct
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("FKV_BUILD", os.path.join(ROOT, "build")))
FKV = os.path.join(BUILD, "builder", "cli", "fkv")
FKVD = os.path.join(BUILD, "fuse", "fkvd")
NOBODY = 65534

# The soaks of tests/run.sh --long: many rounds instead of a few.
LONG = os.environ.get("FKV_LONG", "0") != "0"

# A daemon under a sanitizer is slower; tests wait longer, never shorter.
PATIENCE_S = float(os.environ.get("FKV_PATIENCE", "20"))


def wait_until(condition, what, timeout_s=PATIENCE_S):
    """Returns the condition's first true value."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"timed out waiting until {what}"
        time.sleep(0.01)


def is_mounted(path):
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return any(line.split()[1] == str(path) for line in mounts)


def unmount(path):
    if is_mounted(path):
        subprocess.run(["umount", "-l", str(path)], check=False)


KIND = os.environ.get("FKV_TEST_KIND", "mem")


def of_kind(args):
    """The words of an fkv command; a build that says what keys it has gets the kind under test too, as later builds of its table do."""
    if KIND == "mem" or not args or args[0] != "build" or "--key" not in args or "--kind" in args:
        return args
    # Tables called big are to be so, whatever their text: tests count their chunks and wait for them to be fetched.
    big = ["--compress", "none"] if str(args[1]).startswith("big") else []
    return [*args, "--kind", KIND, *big]


# What a sanitizer build of the daemon writes into its log.
SANITIZER_REPORT = re.compile(r"(ERROR|WARNING): \w*Sanitizer|runtime error:")


class Store:
    """A store, filled through the fkv command. Its files are in the directory `path`, also when `url` is another way to them."""

    def __init__(self, path, url=None):
        self.path = str(path)
        self.url = url or self.path
        self.fkv("init", self.url)

    def fkv(self, *args, check=True, timeout=120):
        env = dict(os.environ, FKV_STORE=self.url)
        done = subprocess.run([FKV, *map(str, of_kind(args))], env=env, capture_output=True, text=True, timeout=timeout,
                              check=False)
        if check:
            assert done.returncode == 0, f"fkv {args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def build(self, table, rows, *args):
        """Builds from (key, value) pairs or ready lines, without publishing."""
        lines = [row if isinstance(row, str) else "\t".join(map(str, row)) for row in rows]
        path = os.path.join(os.path.dirname(self.path), f"{table}.tsv")
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(lines) + "\n")
        return self.fkv("build", table, path, *args)

    def publish(self, table, rows, *args, activate=("--max-change", "0")):
        """Builds, publishes and activates; returns nothing: numbers count up from 1."""
        self.build(table, rows, *args)
        return self.fkv("publish", table, *activate)

    def go_away(self):
        """Nobody reaches it until come_back()."""
        os.rename(self.path, self.path + ".away")

    def come_back(self):
        os.rename(self.path + ".away", self.path)

    def end(self):
        """For fixtures: what had to be started for it is ended."""


class Daemon:
    """fkvd on a mount point of its own. It runs in the foreground, with its log in a file."""

    def __init__(self, store, directory, *args):
        self.store = store
        self.directory = str(directory)
        self.mount = os.path.join(self.directory, "mnt")
        self.cache = os.path.join(self.directory, "cache")
        self.log_path = os.path.join(self.directory, "fkvd.log")
        self.args = list(args)
        self.process = None
        os.makedirs(self.directory, exist_ok=True)

    def command(self, *more):
        return [FKVD, "--store", self.store.url, "--mount", self.mount, "--cache", self.cache, "--node", "n1",
                "--poll", "50", "--memory", "1G", *self.args, *more]

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command("--foreground", "--log-level", "debug"), stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        if wait:
            wait_until(self.answers, "the mount answers")
        return self

    def answers(self):
        assert self.process.poll() is None, f"fkvd ended: {self.process.returncode}\n{self.log()}"
        try:
            return self.status()["daemon"]["pid"] == self.process.pid
        except OSError:
            return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        """Ends it as an operator would; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=PATIENCE_S)

    def clean(self):
        """For fixtures: whatever happened, nothing stays."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        unmount(self.mount)
        report = SANITIZER_REPORT.search(self.log()) if os.path.exists(self.log_path) else None
        assert not report, f"a sanitizer spoke:\n{self.log()[report.start():][:8000]}"

    def path(self, *names):
        return os.path.join(self.mount, *map(str, names))

    def read(self, *names):
        with open(self.path(*names), "rb") as file:
            return file.read()

    def link(self, table, name="current"):
        try:
            return os.readlink(self.path(table, name))
        except FileNotFoundError:
            return None

    def status(self):
        with open(self.path(".fkvd", "status.json"), encoding="utf-8") as file:
            return json.load(file)

    def metrics(self):
        """Samples by their full name, labels included."""
        samples = {}
        for line in self.read(".fkvd", "metrics").decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def wait_current(self, table, version):
        wait_until(lambda: self.link(table) == f"v/{version}", f"{table} serves {version}")


# --- The lookup protocol; docs/PROTOCOL.md is normative. ---

MAGIC = 0x31564B46
KEY_U64, KEY_BYTES = 1, 2
FORM_STORED, FORM_F32 = 0, 1
WANT_EXACT, WANT_AT_LEAST = 4, 8
SCAN = 16
FOUND, ABSENT, FAILED = 0, 1, 2
INLINE_MAX = 16383
MESSAGE_MAX = 1 << 20
KEYS_MAX = 1 << 20

INFO = struct.Struct("<IIQQIIIIQ16x")
ATTACH = struct.Struct("<IiQ")
REQUEST = struct.Struct("<IIQQIIQQQQ")
REPLY = struct.Struct("<iIQQQIIQQ8x")
RECORD = struct.Struct("<IBBH")
assert INFO.size == 64 and ATTACH.size == 16 and REQUEST.size == 64 and REPLY.size == 64


def _ioc(direction, number, size):
    return direction << 30 | size << 16 | ord("F") << 8 | number


IOC_INFO = _ioc(2, 0x51, 64)
IOC_ATTACH = _ioc(1, 0x52, 16)
IOC_LOOKUP = _ioc(3, 0x53, 128)
IOC_INLINE = _ioc(3, 0x54, INLINE_MAX)


def request(**fields):
    """The 128 bytes of a struct fkv_lookup; fields override a plain one."""
    default = {"magic": MAGIC, "flags": 0, "version": 0, "deadline_ns": 0, "n_keys": 0, "key_type": KEY_U64,
               "keys_off": 128, "keys_len": 0, "out_off": 0, "out_len": 1 << 20}
    unknown = set(fields) - set(default)
    assert not unknown, unknown
    default.update(fields)
    return REQUEST.pack(*default.values()) + bytes(64)


def pack_u64(keys):
    return struct.pack(f"<{len(keys)}Q", *keys)


def pack_bytes(keys):
    ends, end = [], 0
    for key in keys:
        end += len(key)
        ends.append(end)
    return struct.pack(f"<{len(keys)}I", *ends) + b"".join(keys)


def pack_keys(keys):
    """(key_type, bytes) of a list of int or of bytes."""
    if keys and isinstance(keys[0], bytes):
        return KEY_BYTES, pack_bytes(keys)
    return KEY_U64, pack_u64(keys)


class Reply:
    """A decoded reply with its body."""

    def __init__(self, lookup, body, n_keys):
        (self.error, self.n_found, self.served, self.values_off, self.locs_off, self.stride, self.value_len,
         self.body_len, self.has_more) = REPLY.unpack(lookup[64:128])
        self.body = bytes(body[: self.body_len]) if not self.error else b""
        self.n_keys = n_keys

    def status(self, i):
        return self.body[i]

    def value(self, i):
        """The i-th value, None when it was not found."""
        if self.status(i) != FOUND:
            return None
        if self.stride:
            start = self.values_off + i * self.stride
            return self.body[start : start + self.value_len]
        off8, length = struct.unpack_from("<II", self.body, self.locs_off + 8 * i)
        start = self.values_off + 8 * off8
        return self.body[start : start + length]

    def values(self):
        assert self.error == 0, os.strerror(-self.error)
        return [self.value(i) for i in range(self.n_keys)]


def scan_records(reply, is_u64):
    """(status, key, value) of each record of a scan's body, which must be nothing but records."""
    at = 0
    for _ in range(reply.n_found):
        value_len, key_len, status, zero = RECORD.unpack_from(reply.body, at)
        assert zero == 0 and (key_len == 8 or not is_u64)
        at += RECORD.size
        key = reply.body[at : at + key_len]
        at += (key_len + 7) // 8 * 8
        value = reply.body[at : at + value_len]
        at += (value_len + 7) // 8 * 8
        assert at <= len(reply.body)
        yield status, struct.unpack("<Q", key)[0] if is_u64 else key, value
    assert at == len(reply.body)


def memfd(length, seal=fcntl.F_SEAL_SHRINK):
    fd = os.memfd_create("arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.posix_fallocate(fd, 0, length)
    if seal:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seal)
    return fd


class Lookup:
    """An open lookup file, asked with bare system calls."""

    def __init__(self, path, flags=os.O_RDWR):
        self.fd = os.open(path, flags | os.O_CLOEXEC)
        self.arena_fd = -1
        self.arena = None

    def close(self):
        if self.arena is not None:
            self.arena.close()
        for fd in (self.arena_fd, self.fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self.arena_fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def info(self):
        names = ("magic", "protocol", "version", "n_keys", "key_type", "elem", "dim", "value_len", "daemon_id")
        data = fcntl.ioctl(self.fd, IOC_INFO, bytes(64))
        return dict(zip(names, INFO.unpack(data)))

    def attach_fd(self, fd, length, magic=MAGIC):
        fcntl.ioctl(self.fd, IOC_ATTACH, ATTACH.pack(magic, fd, length))

    def attach(self, length=1 << 20):
        """Makes an arena, or a larger one in place of it."""
        fd = memfd(length)
        self.attach_fd(fd, length)
        if self.arena is not None:
            self.arena.close()
            os.close(self.arena_fd)
        self.arena_fd = fd
        self.arena = mmap.mmap(fd, length)

    def ioctl_lookup(self, data):
        """The LOOKUP ioctl on raw bytes; OSError as the kernel says."""
        buffer = bytearray(data)
        fcntl.ioctl(self.fd, IOC_LOOKUP, buffer, True)
        return bytes(buffer)

    def ask_shared(self, keys, **fields):
        key_type, packed = pack_keys(keys)
        return self.ask_packed("shared", packed, **{"n_keys": len(keys), "key_type": key_type, **fields})

    def ask_packed(self, how, packed, **fields):
        """A request whose keys are ready bytes."""
        n = fields["n_keys"]
        if how == "message":
            self.write(request(**{"keys_len": len(packed), "out_len": 1 << 30, **fields}) + packed)
            data = self.read_all()
            return Reply(data, data[128:], n)
        if how == "inline":
            data = self.ioctl_inline(request(**{"keys_len": len(packed), "out_len": INLINE_MAX, **fields}) + packed)
            return Reply(data, data[128:], n)
        out_off = (len(packed) + 63) // 64 * 64
        self.arena[: len(packed)] = packed
        asked = dict(keys_off=0, keys_len=len(packed), out_off=out_off, out_len=len(self.arena) - out_off)
        asked.update(fields)
        done = self.ioctl_lookup(request(**asked))
        with memoryview(self.arena) as arena, arena[asked["out_off"] :] as body:  # an arena may be large, and the reply small
            return Reply(done, body, n)

    def write(self, data):
        return os.write(self.fd, data)

    def read_all(self):
        pieces = []
        while True:
            piece = os.read(self.fd, 1 << 20)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    def ask_message(self, keys, **fields):
        key_type, packed = pack_keys(keys)
        return self.ask_packed("message", packed, **{"n_keys": len(keys), "key_type": key_type, **fields})

    def ioctl_inline(self, data):
        """The INLINE ioctl. fcntl.ioctl() copies at most 1024 bytes of an immutable buffer, so a ctypes one is passed."""
        buffer = ctypes.create_string_buffer(data.ljust(INLINE_MAX, b"\0"), INLINE_MAX)
        fcntl.ioctl(self.fd, IOC_INLINE, buffer, True)
        return buffer.raw

    def ask_inline(self, keys, **fields):
        key_type, packed = pack_keys(keys)
        return self.ask_packed("inline", packed, **{"n_keys": len(keys), "key_type": key_type, **fields})

    def scan(self, how, start, end, n, **fields):
        """One reply to a scan: bounds are int or bytes, an end of 0 or b"" is none. A list of (status, key, value) is in its records."""
        is_u64 = isinstance(start, int)
        asked = dict(n_keys=n, key_type=KEY_U64 if is_u64 else KEY_BYTES, flags=SCAN | fields.pop("flags", 0), **fields)
        reply = self.ask_packed(how, pack_u64([start, end]) if is_u64 else pack_bytes([start, end]), **asked)
        reply.records = [] if reply.error else list(scan_records(reply, is_u64))
        return reply

    def scan_all(self, how, start, end, n=1000, **fields):
        """[(key, value)] of a range, asked for n at a time, all of one version, and the version."""
        found, version = [], 0
        while True:
            exact = {"flags": WANT_EXACT, "version": version} if version else {}
            reply = self.scan(how, start, end, n, **exact, **fields)
            assert not reply.error, os.strerror(-reply.error)
            assert version in (0, reply.served)
            assert all(status == FOUND for status, _, _ in reply.records)
            found += [(key, value) for _, key, value in reply.records]
            version = reply.served
            if not reply.has_more:
                return found, version
            last = found[-1][0]
            start = last + 1 if isinstance(last, int) else last + b"\0"

    def ask(self, how, keys, **fields):
        return {"shared": self.ask_shared, "message": self.ask_message, "inline": self.ask_inline}[how](keys, **fields)


def fails_with(code, call, *args, **kwargs):
    """Asserts that a call raises OSError with that errno."""
    try:
        result = call(*args, **kwargs)
    except OSError as error:
        assert error.errno == code, f"expected {errno.errorcode[code]}, found {error}"
        return
    raise AssertionError(f"expected {errno.errorcode[code]}, found success: {result!r}")


def as_user(uid, call):
    """Runs call() in a child process as that user; returns what it returns (an int) or minus the errno it raised."""
    pid = os.fork()
    if pid == 0:
        code = 111
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            code = call() or 0
        except OSError as error:
            code = error.errno
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status), status
    return -os.WEXITSTATUS(status) if os.WEXITSTATUS(status) else 0
