# SPDX-License-Identifier: Apache-2.0
"""Tables on disk, as tests of their trouble need them: rows that can be checked, the files they lie in, disks that fail."""

import contextlib
import ctypes
import mmap
import os
import re
import subprocess

import fkvtest
from fkvtest import FAILED, FOUND, Lookup

SHAPE = ("--key", "u64", "--value", "bytes")
PAGE = 4096


def expected(version, key, length=300):
    """What version holds of a key: as long as asked for, and nowhere alike."""
    text = f"{version}:{key}:{key * 2654435761 % (1 << 32):08x};"
    return (text * (length // len(text) + 1))[:length]


def publish(store, version, n, kind, *args, table="ads", length=300, **how):
    """Version number `version` of keys 1 to n."""
    store.publish(table, [(key, expected(version, key, length)) for key in range(1, n + 1)], *SHAPE, "--kind", kind, "--compress",
                  "none", *args, **how)


class Answers:
    """All keys of a version, asked for once: values were right, or the key is in failed."""

    def __init__(self, daemon, version, n, *, table="ads", length=300, how="shared", batch=3900, step=1):
        self.failed = []
        with Lookup(daemon.path(table, "batch")) as lookup:
            if how == "shared":
                lookup.attach(32 << 20)
            for start in range(1, n + 1, batch * step):
                keys = list(range(start, min(start + batch * step, n + 1), step))
                reply = lookup.ask(how, keys)
                assert not reply.error, os.strerror(-reply.error)
                assert reply.served == version
                for i, key in enumerate(keys):
                    if reply.status(i) == FAILED:
                        self.failed.append(key)
                        continue
                    assert reply.status(i) == FOUND, f"key {key} is gone"
                    assert reply.value(i) == expected(version, key, length).encode(), f"key {key} has a wrong value"


def all_right(daemon, version, n, **how):
    """Whether every key is found; a wrong one is a failure at once."""
    return not Answers(daemon, version, n, **how).failed


def wait_all_right(daemon, version, n, timeout_s=fkvtest.PATIENCE_S, **how):
    fkvtest.wait_until(lambda: all_right(daemon, version, n, **how), "every key is found again", timeout_s)


# --- files ---


def parts_of(directory):
    """{name: path} of the part files below a directory."""
    found = {}
    for folder, _, names in os.walk(directory):
        found.update({name: os.path.join(folder, name) for name in names if name.endswith(".part")})
    return found


def is_intact(path):
    """Whether a part in a node's cache is what its name says: the digest of the whole."""
    done = subprocess.run(["xxh128sum", path], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.split()[0] == os.path.basename(path).removesuffix(".part")


def flip(path, off):
    """Changes one byte where it lies, which O_DIRECT reads see at once."""
    with open(path, "r+b", buffering=0) as file:
        byte = os.pread(file.fileno(), 1, off)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 0x40]), off)
        os.fsync(file.fileno())


def tail_off(path):
    """Where the tail of a part begins: docs/FORMAT.md, section 7.1."""
    with open(path, "rb") as file:
        file.seek(-PAGE, os.SEEK_END)
        footer = file.read(PAGE)
    assert footer[:7] == b"FKVPART"
    return PAGE * int.from_bytes(footer[72:80], "little")


def cached_pages(path):
    """How many pages of a file are in the page cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    length = os.path.getsize(path)
    vector = (ctypes.c_ubyte * ((length + PAGE - 1) // PAGE))()
    with open(path, "rb") as file:
        at = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    assert at != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
    try:
        assert libc.mincore(at, length, vector) == 0, os.strerror(ctypes.get_errno())
    finally:
        libc.munmap(at, length)
    return sum(byte & 1 for byte in vector)


# --- disks ---


class LoopDisk:
    """An ext4 file system in a file, mounted; its device fails where the file was cut off.

    A loop device ends a read of what its file does not have with an I/O error, as a bad sector does: real errors, with nothing in between that
    pretends. (Device-mapper's error and flakey targets would do the same, but few kernels of virtual machines have them.)
    """

    def __init__(self, directory, mib):
        self.image, self.path = os.path.join(directory, "disk.img"), os.path.join(directory, "disk")
        self.len = mib << 20
        os.makedirs(self.path, exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(self.len)
        # No journal, no later writes of its own: what fails is what a test asks for. No blocks set aside for root.
        subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal", "-E",
                        "lazy_itable_init=0", self.image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop,noatime,errors=continue", self.image, self.path], check=True)

    def extents(self, path):
        """[(first byte of the file, first byte of the disk, length)]"""
        os.sync()
        text = subprocess.run(["filefrag", "-b4096", "-e", "-v", path], check=True, capture_output=True, text=True).stdout
        found = []
        for line in text.splitlines():
            match = re.match(r"\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+):", line)
            if match:
                found.append(tuple(PAGE * int(number) for number in match.groups()))
        assert found, text
        return found

    def break_behind(self, off):
        """Reads of the disk from this byte on fail; writes heal, as they do on disks."""
        os.sync()
        os.truncate(self.image, off)

    def fill(self, leave=0):
        """Takes all of its room but `leave` bytes; returns the file to remove."""
        path = os.path.join(self.path, "ballast")
        stat = os.statvfs(self.path)
        room = stat.f_bavail * stat.f_frsize - leave
        with open(path, "wb") as file:
            while room > PAGE:
                try:
                    os.posix_fallocate(file.fileno(), 0, room)
                    break
                except OSError:
                    room -= 1 << 20
        return path

    def free(self):
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize

    def end(self):
        subprocess.run(["umount", "-l", self.path], check=False)


@contextlib.contextmanager
def mounted(kind, path, options=None):
    """A file system of a kind that needs no disk."""
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", kind, *(["-o", options] if options else []), "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)
