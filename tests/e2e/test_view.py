# SPDX-License-Identifier: Apache-2.0
"""The mounted tree, read with ordinary tools."""

import errno
import json
import os
import re
import stat
import struct
import subprocess
import urllib.parse

import pytest
from fkvtest import fails_with, wait_until

pytestmark = pytest.mark.kinds


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stderr == "", f"{command}: {done.returncode}\n{done.stderr}"
    return done.stdout


def test_the_tree_is_what_the_design_says(tables):
    assert sorted(os.listdir(tables.mount)) == [".fkvd", "nums", "vecs", "words"]
    assert sorted(os.listdir(tables.path("nums"))) == ["batch", "current", "previous", "v"]
    assert sorted(os.listdir(tables.path("vecs"))) == ["batch", "current", "v"]
    assert sorted(os.listdir(tables.path("nums", "v"))) == ["1", "2"]
    assert sorted(os.listdir(tables.path("nums", "v", 2))) == ["batch", "key", "parts", "version.json"]
    assert sorted(os.listdir(tables.path(".fkvd"))) == ["metrics", "status.json"]
    assert tables.link("nums") == "v/2" and tables.link("nums", "previous") == "v/1"
    assert tables.link("vecs", "previous") is None


@pytest.mark.parametrize("command", [
    ["ls", "-lRa"], ["find"], ["du", "-s"], ["stat", "-f"], ["ls", "-lRi", "--color=always"],
], ids=" ".join)
def test_ordinary_tools_walk_it_without_errors(tables, command):
    run(*command, tables.mount)


def test_it_can_be_copied(tables, work_dir):
    run("cp", "-r", tables.mount, os.path.join(work_dir, "copy"))
    run("cp", "-a", tables.path("nums"), os.path.join(work_dir, "archive"))
    run("rsync", "-a", tables.path("nums") + "/", os.path.join(work_dir, "rsync"))
    assert os.readlink(os.path.join(work_dir, "rsync", "current")) == "v/2"
    for copy in ("copy/nums", "archive", "rsync"):
        for version in ("1", "2"):
            run("diff", "-r", tables.path("nums", "v", version, "parts"),
                os.path.join(work_dir, copy, "v", version, "parts"))


def test_parts_are_the_store_s_files(tables):
    version = os.path.join(tables.store.path, "tables", "nums", "v", "2")
    parts = sorted(os.listdir(tables.path("nums", "v", 2, "parts")))
    assert parts == sorted(os.listdir(os.path.join(version, "parts")))
    for part in parts:
        shown = run("sha256sum", tables.path("nums", "v", 2, "parts", part)).split()[0]
        assert shown == run("sha256sum", os.path.join(version, "parts", part)).split()[0]
    with open(os.path.join(version, "version.json"), "rb") as file:
        assert tables.read("nums", "v", 2, "version.json") == file.read()


def test_a_part_can_be_mapped_and_read_anywhere(tables):
    import mmap
    part = os.listdir(tables.path("nums", "v", 2, "parts"))[0]
    whole = tables.read("nums", "v", 2, "parts", part)
    with open(tables.path("nums", "v", 2, "parts", part), "rb") as file:
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == whole
        assert os.pread(file.fileno(), 100, 5000) == whole[5000:5100]
        assert os.pread(file.fileno(), 100, len(whole) - 10) == whole[-10:]
        assert os.pread(file.fileno(), 100, len(whole) + 10) == b""


def test_a_value_is_a_file(tables):
    for key in (1, 7, 500, 1000):
        expected = tables.tables["nums"][key].encode()
        assert tables.read("nums", "current", "key", key) == expected
        assert os.stat(tables.path("nums", "current", "key", key)).st_size == len(expected)
    assert tables.read("nums", "previous", "key", 1) == b"old-1old-1"
    assert struct.unpack("<4f", tables.read("vecs", "current", "key", 3)) == (3.0, 0.5, -1.0, 0.0)


def test_byte_keys_are_percent_escaped(tables):
    for word, value in tables.tables["words"].items():
        name = urllib.parse.quote(word, safe="").replace(".", "%2E")
        assert tables.read("words", "current", "key", name) == value.encode(), word
    assert tables.read("words", "current", "key", "%63at") == b"0000"
    assert tables.read("words", "current", "key", "key with spaces") == b"0005"


@pytest.mark.parametrize("name", ["0", "1001", "01", "-1", "1 ", "x", "18446744073709551616", "1e3", "9" * 300])
def test_a_key_that_is_not_there_is_enoent(tables, name):
    fails_with(errno.ENOENT, os.stat, tables.path("nums", "current", "key", name))


@pytest.mark.parametrize("name", ["%", "%2", "%zz", "cat%", "cats", "%00", "a" * 256])
def test_a_byte_key_that_is_not_there_is_enoent(tables, name):
    fails_with(errno.ENOENT, os.stat, tables.path("words", "current", "key", name))


def test_a_name_beyond_any_key_is_too_long(tables):
    with pytest.raises(OSError) as caught:
        os.stat(tables.path("words", "current", "key", "a" * 1000))
    assert caught.value.errno in (errno.ENAMETOOLONG, errno.ENOENT)


def test_nothing_climbs_out_of_the_tree(tables):
    assert tables.read("words", "current", "key", "%2E.") == b"0002"  # the key "..", not the directory
    fails_with(errno.ENOENT, os.stat, tables.path("words", "current", "key", "..%2f..%2f..%2fetc%2fpasswd"))
    fails_with(errno.ENOENT, os.stat, tables.path("nums", "v", "2%2f..%2f1"))
    fails_with(errno.ENOENT, os.stat, tables.path("nums", "v", "3"))
    fails_with(errno.ENOENT, os.stat, tables.path("nums", "v", "02"))
    fails_with(errno.ENOENT, os.stat, tables.path("nums", "v", "99999999999999999999"))
    fails_with(errno.ENOENT, os.stat, tables.path("%2e%2e"))
    fails_with(errno.ENOENT, os.stat, tables.path("Nums"))
    assert os.path.samefile(tables.path("nums", ".."), tables.mount)


def test_key_lists_nothing_and_finds_everything(tables):
    assert os.listdir(tables.path("nums", "v", 2, "key")) == []


def test_modes_and_times_come_from_the_version(tables):
    directory = os.stat(tables.path("nums"))
    assert stat.S_ISDIR(directory.st_mode) and stat.S_IMODE(directory.st_mode) == 0o555
    assert stat.S_IMODE(os.stat(tables.path("nums", "batch")).st_mode) == 0o666
    assert stat.S_IMODE(os.stat(tables.path("nums", "v", 2, "version.json")).st_mode) == 0o444
    assert os.lstat(tables.path("nums", "current")).st_size == len("v/2")
    created = json.loads(tables.read("nums", "v", 2, "version.json"))["created"]
    assert re.match(r"\d{4}-\d\d-\d\dT", created)
    assert os.stat(tables.path("nums", "v", 2, "parts")).st_mtime > 1e9


def test_inode_numbers_are_stable_and_distinct(tables):
    paths = [os.path.join(base, name) for base, dirs, files in os.walk(tables.mount) for name in dirs + files]
    first = {path: os.lstat(path).st_ino for path in paths}
    assert len(set(first.values())) == len(first)
    assert first == {path: os.lstat(path).st_ino for path in paths}


@pytest.mark.parametrize("change", [
    lambda p: os.mkdir(p("x")),
    lambda p: os.mkdir(p("nums", "x")),
    lambda p: os.rmdir(p("nums")),
    lambda p: os.rmdir(p("nums", "v", "1")),
    lambda p: os.unlink(p("nums", "batch")),
    lambda p: os.unlink(p("nums", "previous")),
    lambda p: os.unlink(p("nums", "v", "2", "version.json")),
    lambda p: os.rename(p("nums"), p("mums")),
    lambda p: os.rename(p("nums", "v", "1"), p("nums", "v", "9")),
    lambda p: os.link(p("nums", "v", "1", "version.json"), p("nums", "x")),
    lambda p: os.chmod(p("nums"), 0o777),
    lambda p: os.chown(p("nums", "batch"), 1, 1),
    lambda p: os.utime(p("nums")),
    lambda p: os.truncate(p("nums", "v", "1", "version.json"), 0),
    lambda p: os.truncate(p("nums", "batch"), 100),
    lambda p: open(p("nums", "x"), "w"),
    lambda p: open(p("nums", "v", "1", "version.json"), "r+"),
    lambda p: open(p("nums", "v", "1", "key", "5"), "r+b"),
    lambda p: os.mkfifo(p("nums", "fifo")),
    lambda p: os.symlink("v/1", p("x")),
    lambda p: os.symlink("v/1", p("nums", "v", "x")),
])
def test_nothing_can_be_changed(tables, change):
    fails_with(errno.EROFS, change, tables.path)


def test_status_says_who_and_what(tables):
    status = tables.status()
    assert status["daemon"]["pid"] == tables.process.pid
    assert status["daemon"]["mount"] == tables.mount
    assert {table["name"] for table in status["node"]["tables"]} == {"nums", "vecs", "words"}


def test_metrics_are_prometheus_text(tables):
    text = tables.read(".fkvd", "metrics").decode()
    line = re.compile(r'^(# (HELP|TYPE) [a-z_:]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+0-9.eInf]+)$')
    bad = [each for each in text.splitlines() if not line.match(each)]
    assert bad == [] and text.endswith("\n")
    heads = [each.split()[2] for each in text.splitlines() if each.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def test_an_open_directory_keeps_its_listing(tables):
    fd = os.open(tables.path("nums", "v"), os.O_RDONLY)
    try:
        assert sorted(os.listdir(fd)) == ["1", "2"]
        assert sorted(os.listdir(fd)) == ["1", "2"]
    finally:
        os.close(fd)


def rss(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_an_open_key_file_takes_no_memory_of_its_own(store, make_daemon):
    value = "x" * (4 << 20)
    store.publish("long", [(1, value)], "--key", "u64", "--value", "bytes")
    daemon = make_daemon()
    daemon.wait_current("long", 1)
    path = daemon.path("long", "current", "key", 1)
    with open(path, "rb") as file:
        assert file.read() == value.encode()
    before = rss(daemon.process.pid)
    files = [os.open(path, os.O_RDONLY) for _ in range(50)]
    after = rss(daemon.process.pid)
    for fd in files:
        os.close(fd)
    assert after - before < 50 << 20


def test_part_files_leave_the_daemon_descriptors(store, make_daemon):
    store.publish("ads", [(1, "x")], "--key", "u64", "--value", "bytes")
    daemon = make_daemon(start=False)
    command = daemon.command
    daemon.command = lambda *more: ["prlimit", "--nofile=100:100", *command(*more)]
    daemon.start()
    daemon.wait_current("ads", 1)
    parts = daemon.path("ads", "v", 1, "parts")
    path = os.path.join(parts, os.listdir(parts)[0])
    files = [os.open(path, os.O_RDONLY) for _ in range(24)]  # clients may have a quarter
    fails_with(errno.ENFILE, os.open, path, os.O_RDONLY)
    store.publish("ads", [(1, "y")])
    daemon.wait_current("ads", 2)  # the store and the cache are still to be had
    os.close(files.pop())
    wait_until(lambda: can_open(path), "a descriptor is free again")
    for fd in files:
        os.close(fd)


def can_open(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
        return True
    except OSError:
        return False


def test_key_files_are_not_remembered_for_ever(store, make_daemon):
    """The kernel would keep each name it looked up until memory is short; the daemon makes it drop the oldest."""
    keep, n = 1 << 16, 70000
    store.publish("many", [(key, "x") for key in range(n)], "--key", "u64", "--value", "bytes")
    daemon = make_daemon()
    daemon.wait_current("many", 1)
    root = os.open(daemon.path("many", "v", 1, "key"), os.O_RDONLY)
    try:
        for key in range(n):
            os.stat(str(key), dir_fd=root)
        wait_until(lambda: daemon.status()["daemon"]["key_files"] <= keep + 100, "the oldest are dropped")
        for key in range(0, n, 997):
            assert daemon.read("many", "v", 1, "key", key) == b"x"
    finally:
        os.close(root)
