# SPDX-License-Identifier: Apache-2.0
"""Inputs of a build as producers leave them: record files, files on NFS, and files that are damaged, change or vanish."""

import gzip
import os
import struct
import subprocess
import threading
import time

import fkvtest
import pytest
from ganesha import Ganesha

VERSIONS = pytest.mark.parametrize("version", [3, 4])
MIB = 1 << 20


def record(key, value):
    return struct.pack("<BBBI", 0xB2, 0, len(key), len(value)) + key + value


def u64(n):
    return struct.pack("<Q", n)


def write(path, *parts):
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
    return str(path)


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    return fkvtest.Store(os.path.join(tmp_path, "store"))


@pytest.fixture(name="server", scope="module")
def fixture_server(tmp_path_factory):
    server = Ganesha(tmp_path_factory.mktemp("server"), "--fresh").start()
    os.makedirs(server.path("in"))
    yield server
    server.clean()


def build(store, *args):
    return store.fkv("build", "t", *map(str, args), check=False)


def refused(done, status, *words):
    assert done.returncode == status, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    return done.stderr


def dump(store):
    store.fkv("publish", "t", "--max-change", "0")
    return sorted(store.fkv("dump", "t").stdout.splitlines())


def parts(store):
    """The names of the published parts, which hold their digests."""
    found = []
    for directory, _, names in os.walk(os.path.join(store.path, "tables", "t", "v")):
        found += [name for name in names if os.path.basename(directory) == "parts"]
    return sorted(found)


# ---- record files ----


def test_records_give_the_bytes_that_the_same_rows_of_text_give(store, tmp_path):
    rows = [(i * 7919, f"value {i}".encode()) for i in range(3000)]
    text = write(tmp_path / "rows.tsv", *(b"%d\t%s\n" % row for row in rows))
    records = write(tmp_path / "rows.rec", *(record(u64(k), v) for k, v in rows))
    args = ("--key", "u64", "--value", "bytes", "--shards", "2")
    other = fkvtest.Store(os.path.join(tmp_path, "other"))
    assert build(store, text, *args).returncode == 0
    assert build(other, records, *args).returncode == 0
    assert dump(store) == dump(other) == sorted(f"{k}\t{v.decode()}" for k, v in rows)
    assert parts(store) == parts(other) != []


def test_records_of_vectors_are_f32_or_as_a_table_of_f16_holds_them(store, tmp_path):
    records = write(
        tmp_path / "v.fkvrec", record(b"a", struct.pack("<2f", 1, -2.5)), record(b"b", struct.pack("<2e", 1, -2.5))
    )
    assert build(store, records, "--key", "bytes", "--value", "f16[2]").returncode == 0
    assert dump(store) == ["a\t1,-2.5", "b\t1,-2.5"]


def test_a_compressed_record_file_and_a_piped_one_are_read_too(store, tmp_path):
    data = record(b"a", b"1") + record(b"b", b"2")
    packed = write(tmp_path / "rows.rec.gz", gzip.compress(data))
    assert build(store, packed, "--key", "bytes", "--value", "bytes").returncode == 0
    assert dump(store) == ["a\t1", "b\t2"]
    done = subprocess.run(
        [fkvtest.FKV, "--store", store.url, "build", "t", "-", "--format", "record"],
        input=record(b"c", b"3"), capture_output=True, check=False, timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert dump(store) == ["c\t3"]


def test_a_torn_record_ends_the_build_and_is_named(store, tmp_path):
    torn = write(tmp_path / "rows.rec", record(b"a", b"1"), record(b"b", b"22")[:-1])
    args = (torn, "--key", "bytes", "--value", "bytes", "--max-bad", "100")
    refused(build(store, *args), 5, "rows.rec: byte 9: ", "expected a record of 10 bytes", "cut short")


def test_garbage_ends_the_build_and_is_named(store, tmp_path):
    garbage = write(tmp_path / "rows.rec", record(b"a", b"1"), bytes(range(100)))
    args = (garbage, "--key", "bytes", "--value", "bytes", "--max-bad", "100")
    refused(build(store, *args), 5, "rows.rec: byte 9: expected a record (magic 0xb2), found 0x00")


def test_a_record_too_long_for_the_table_is_a_bad_row(store, tmp_path):
    args = ("--key", "bytes", "--value", "bytes[1]")
    long = write(tmp_path / "rows.rec", record(b"a", b"1"), record(b"b", bytes(3 * MIB)), record(b"c", b"3"))
    refused(build(store, long, *args), 5, "rows.rec:2: expected a row of at most")
    done = build(store, long, *args, "--max-bad", "1")
    assert done.returncode == 0 and "rows.rec:2: " in done.stderr
    assert dump(store) == ["a\t1", "c\t3"]


def test_a_record_that_says_4_gib_takes_no_memory(store, tmp_path):
    path = write(tmp_path / "rows.rec", struct.pack("<BBBI", 0xB2, 0, 1, 2**32 - 1))
    with open(path, "r+b") as file:
        file.seek(7 + 1 + 2**32 - 1)
        file.write(record(b"b", b"2"))
    done = build(store, path, "--key", "bytes", "--value", "bytes", "--max-bad", "1", "--memory", "64M")
    assert done.returncode == 0, done.stderr
    assert dump(store) == ["b\t2"]
    os.truncate(path, 1000)
    refused(build(store, path, "--max-bad", "1"), 5, "byte 0: expected a record of 4294967303 bytes")


# ---- files that change ----


@pytest.mark.parametrize("change", ["grows", "is cut", "is replaced", "vanishes"])
def test_a_file_that_changes_during_the_build_is_refused(store, tmp_path, change):
    """The file is so long that the build reads it still when it is seen to have it open."""
    path = tmp_path / "rows.tsv"
    n_rows = 3_000_000
    write(path, *(b"%d\tsome value or other %d\n" % (i, i) for i in range(n_rows)))
    done = []
    args = (path, "--key", "u64", "--value", "bytes", "--threads", "1", "--memory", "64M")
    thread = threading.Thread(target=lambda: done.append(build(store, *args)))
    thread.start()
    fkvtest.wait_until(lambda: is_open(path), "the build reads the file")
    if change == "grows":
        with open(path, "ab") as file:
            file.write(b"1\tone more\n")
    elif change == "is cut":
        os.truncate(path, os.path.getsize(path) - 40)
    elif change == "is replaced":
        os.rename(write(tmp_path / "new", b"1\t2\n"), path)
    else:
        os.unlink(path)
    thread.join()
    refused(done[0], 3, "rows.tsv: ", "while it was read")


def is_open(path):
    """By any process but this one."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for number in os.listdir(f"/proc/{pid}/fd"):
                if int(pid) != os.getpid() and os.readlink(f"/proc/{pid}/fd/{number}") == str(path):
                    return True
        except OSError:
            continue
    return False


# ---- inputs on NFS ----


@VERSIONS
def test_inputs_are_read_from_an_nfs_server(store, server, version):
    rows = [f"{i}\tvalue {i}" for i in range(200_000)]
    half = len(rows) // 2
    write(server.path("in", "a.tsv"), "\n".join(rows[:half]).encode())
    write(server.path("in", "b.tsv.gz"), gzip.compress("\n".join(rows[half:]).encode(), 1))
    urls = [server.url(version, f"in/{name}") for name in ("a.tsv", "b.tsv.gz")]
    done = build(store, *urls, "--key", "u64", "--value", "bytes")
    assert done.returncode == 0, done.stderr
    assert dump(store) == sorted(rows)


@VERSIONS
def test_a_record_too_long_is_hopped_over_on_nfs(store, server, version):
    data = (record(u64(1), b"1"), record(u64(2), bytes(9 * MIB)), record(u64(3), b"3"), record(u64(4), b"4" * 3 * MIB))
    write(server.path("in", "long.rec"), *data, record(u64(5), b"5"))
    url = server.url(version, "in/long.rec")
    done = build(store, url, "--key", "u64", "--value", "bytes[1]", "--max-bad", "2")
    assert done.returncode == 0, done.stderr
    assert "long.rec:2: " in done.stderr
    assert dump(store) == ["1\t1", "3\t3", "5\t5"]


@VERSIONS
def test_an_input_that_is_not_on_the_server_is_named(store, server, version):
    args = ("--key", "u64", "--value", "bytes")
    refused(build(store, server.url(version, "in/none.tsv"), *args), 1, "/fkv/in/none.tsv")
    refused(build(store, server.url(version, "in"), *args, "--format", "tsv"), 2, "found a directory")
    write(server.path("in", "bad.tsv"), b"1\t1\n2\n")
    refused(build(store, server.url(version, "in/bad.tsv"), *args), 5, "/fkv/in/bad.tsv:2: ")


def test_a_server_that_goes_away_for_a_moment_is_waited_for(store, tmp_path):
    rows = [f"{i}\t{'x' * 100}" for i in range(300_000)]
    with Ganesha(tmp_path, "--fresh") as server:
        write(server.path("rows.tsv"), "\n".join(rows).encode())
        done = []
        args = (server.url(4, "rows.tsv"), "--key", "u64", "--value", "bytes", "--threads", "1")
        server.pause()
        thread = threading.Thread(target=lambda: done.append(build(store, *args)))
        thread.start()
        time.sleep(1)
        server.resume()
        thread.join()
        assert done[0].returncode == 0, done[0].stderr
        assert dump(store) == sorted(rows)
