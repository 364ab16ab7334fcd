# SPDX-License-Identifier: Apache-2.0
"""Scans of idx tables: every range as a sorted list has it, deltas folded, one version from end to end, by whichever carrier."""

import errno
import json
import os
import random
import shutil

import fkvtest
import kinds
import pytest
from conftest import _make_dir
from fkvtest import INLINE_MAX, KEY_BYTES, SCAN, WANT_EXACT, Lookup, fails_with, pack_bytes, pack_u64
from kinds import SHAPES, U64_MAX, Chain
from test_client import Probe, refusal

CARRIERS = ["shared", "message", "inline"]
HERE = [pytest.param(name, marks=pytest.mark.xdist_group(f"scan-{name}")) for name in ("u64-varying", "bytes-varying", "u64-f32")]


class Scanned:
    def __init__(self, shape, directory):
        self.store = fkvtest.Store(os.path.join(directory, "store"))
        self.chain = Chain(SHAPES[shape])
        for variant in ("idx", "idxz", "blk", "mem"):
            self.chain.publish(self.store, variant, directory)
        self.daemon = fkvtest.Daemon(self.store, os.path.join(directory, "n1"))

    def start(self):
        self.daemon.start()
        for variant in ("idx", "idxz", "blk", "mem"):
            self.daemon.wait_current(self.chain.table(variant), len(self.chain.versions))
        return self

    def lookup(self, variant="idx", how="shared"):
        made = Lookup(self.daemon.path(self.chain.table(variant), "batch"))
        if how == "shared":
            made.attach(16 << 20)
        return made

    def truth(self, start, end, version=-1):
        """The sorted reference."""
        pairs = sorted(self.chain.versions[version].items())
        return [(key, kinds.stored(self.chain.shape, value)) for key, value in pairs if key >= start and (not end or key < end)]

    def first(self):
        return 0 if self.chain.shape.key == "u64" else b""

    def bounds(self, rng):
        """Ranges that begin and end at, before and behind keys, at tombstones and at the extremes."""
        keys, n = self.chain.keys(), self.first()
        gone = sorted(set().union(*self.chain.levels) - self.chain.versions[-1].keys())
        some = rng.sample(keys, 12) + rng.sample(gone, 6)
        found = [(n, n), *zip(some[::2], some[1::2])]
        for key in some[:8]:
            behind = (key + 1) & U64_MAX if isinstance(key, int) else key + b"\0"
            found += [(key, behind), (key, key), (behind, n), (n, key), (key, n)]
        found += [tuple(sorted(pair)) for pair in zip(some, some[1:])]
        if isinstance(n, int):
            return found + [(0, 1), (0, U64_MAX), (U64_MAX, 0), (U64_MAX - 1, U64_MAX), (U64_MAX, U64_MAX), (1 << 63, 1), (1, 2)]
        return found + [(b"", b"\0"), (b"\xff" * 255, b""), (b"\xff" * 256, b""), (b"", b"\xff" * 256), (b"\0", b"\0\0"), (b"a", b"b"),
                        (b"user/", b"user0"), (b"aaa", b"aab"), (b"\xff", b"\xff\xff")]


@pytest.fixture(scope="module", params=HERE)
def scanned(request):
    path = _make_dir()
    made = Scanned(request.param, path)
    try:
        yield made.start()
    finally:
        made.daemon.clean()
        shutil.rmtree(path, ignore_errors=True)


def same(found, truth):
    assert [key for key, _ in found] == [key for key, _ in truth]
    wrong = [key for (key, value), (_, true) in zip(found, truth) if true is not None and value != true]
    assert not wrong, wrong[:3]


@pytest.mark.parametrize("how", CARRIERS)
@pytest.mark.parametrize("variant", ["idx", "idxz"])
def test_the_whole_table_in_order(scanned, how, variant):
    truth = scanned.truth(scanned.first(), None)
    if how == "inline":  # has no room for the long ones
        truth = [pair for pair in truth if len(pair[1] or b"") < 9000][:300]
        with scanned.lookup(variant, how) as lookup:
            for (key, _), after in zip(truth, truth[1:]):
                reply = lookup.scan(how, key, after[0], 5)
                assert reply.records and reply.records[0][1] == key and not reply.error
        return
    for n in (1 << 20, 700):
        with scanned.lookup(variant, how) as lookup:
            found, version = lookup.scan_all(how, scanned.first(), scanned.first(), n)
            assert version == len(scanned.chain.versions)
            same(found, truth)


@pytest.mark.parametrize("how", ["shared", "message"])
def test_every_range_is_that_of_the_sorted_list(scanned, how):
    rng = random.Random(how)
    with scanned.lookup("idx", how) as plain, scanned.lookup("idxz", how) as small:
        for start, end in scanned.bounds(rng):
            truth = scanned.truth(start, end)[:200]
            for lookup in (plain, small):
                reply = lookup.scan(how, start, end, 200)
                assert not reply.error, (start, end, os.strerror(-reply.error))
                same([(key, value) for _, key, value in reply.records], truth[: len(reply.records)])
                assert reply.has_more == (len(scanned.truth(start, end)) > len(reply.records)), (start, end)
                assert reply.has_more or len(reply.records) == len(truth)


def test_one_at_a_time_and_many(scanned):
    truth = scanned.truth(scanned.first(), None)[:150]
    with scanned.lookup() as lookup:
        for n in (1, 2, 7, 149, 150, 151):
            reply = lookup.scan("shared", truth[0][0], 0 if isinstance(truth[0][0], int) else b"", n)
            assert [key for _, key, _ in reply.records] == [key for key, _ in truth[:n]] or n > 150
        found = []
        start = scanned.first()
        for key, _ in truth[:40]:
            reply = lookup.scan("shared", start, scanned.first(), 1)
            assert [k for _, k, _ in reply.records] == [key] and reply.has_more == 1
            found.append(key)
            start = key + 1 if isinstance(key, int) else key + b"\0"


def test_former_versions_have_their_own_order(scanned):
    """A delta's tombstones and additions do not show in the version before."""
    before = len(scanned.chain.versions) - 1
    with Lookup(scanned.daemon.path(scanned.chain.table("idx"), "v", before, "batch")) as lookup:
        lookup.attach(16 << 20)
        found, version = lookup.scan_all("shared", scanned.first(), scanned.first(), 1000)
        assert version == before
        same(found, scanned.truth(scanned.first(), None, before - 1))


def test_little_room_gives_few_records_and_none_is_an_error(scanned):
    start = scanned.first()
    truth = scanned.truth(start, None)
    with scanned.lookup() as lookup:
        for room in (4096, 65536, 100_000):
            reply = lookup.scan("shared", start, start, 1 << 20, out_len=room)
            if reply.error:
                assert reply.error == -errno.ENOSPC and reply.body_len > room
                continue
            assert reply.records and reply.has_more == (len(reply.records) < len(truth)) and reply.body_len <= room
            same([(key, value) for _, key, value in reply.records], truth[: len(reply.records)])
        longest, value = max(truth, key=lambda pair: len(pair[1] or b""))
        if value and len(value) > 100_000:
            reply = lookup.scan("shared", longest, start, 1, out_len=65536)
            assert reply.error == -errno.ENOSPC and len(value) <= reply.body_len <= len(value) + 512
            reply = lookup.scan("shared", longest, start, 1, out_len=reply.body_len)
            assert [(key, found) for _, key, found in reply.records] == [(longest, value)]
            assert lookup.scan("inline", longest, start, 1, out_len=INLINE_MAX).error == -errno.ENOSPC


@pytest.mark.parametrize("how", CARRIERS)
def test_other_kinds_have_no_order(scanned, how):
    for variant in ("mem", "blk"):
        with scanned.lookup(variant, how) as lookup:
            reply = lookup.scan(how, scanned.first(), scanned.first(), 10)
            assert reply.error == -errno.ENOTSUP, variant


@pytest.mark.parametrize("how", CARRIERS)
def test_bad_bounds_are_refused(scanned, how):
    with scanned.lookup("idx", how) as lookup:
        u64 = scanned.first() == 0
        good = pack_u64([0, 0]) if u64 else pack_bytes([b"", b""])
        other = pack_bytes([b"", b""]) if u64 else pack_u64([0, 0])
        ask = lambda packed, **fields: lookup.ask_packed(how, packed, **{"flags": SCAN, "n_keys": 3, "key_type": 1 if u64 else KEY_BYTES,  # noqa: E731
                                                                         **fields})
        assert not ask(good).error
        assert ask(other, key_type=KEY_BYTES if u64 else 1).error == -errno.EINVAL
        fails_with(errno.EPROTO, ask, good, n_keys=0)
        fails_with(errno.E2BIG, ask, good, n_keys=(1 << 20) + 1)
        fails_with(errno.EPROTO, ask, good + bytes(8) if u64 else good[:4])
        fails_with(errno.EPROTO, ask, b"")
        if not u64:
            for ends in ((5, 3), (1 << 31, 1 << 31), (3, 2), (1, 300), (300, 301)):
                packed = ends[0].to_bytes(4, "little") + ends[1].to_bytes(4, "little") + b"abcde"
                try:
                    assert ask(packed).error == -errno.EPROTO, ends
                except OSError as error:
                    assert error.errno in (errno.EPROTO, errno.E2BIG), (ends, error)
        assert not ask(good).error


def rows(version, n=3000):
    return [(key, f"{version}:{key}") for key in range(1, n + 1)]


@pytest.mark.concurrent
@pytest.mark.parametrize("how", ["shared", "message"])
def test_a_switch_in_the_middle_of_a_scan(store, make_daemon, how):
    """Pieces asked for of the version that began are of it, or there are none any more; never of another."""
    store.publish("ads", rows(1), "--key", "u64", "--value", "bytes", "--kind", "idx", "--shards", "3")
    daemon = make_daemon("n1", "--keep", "0")
    daemon.wait_current("ads", 1)
    with Lookup(daemon.path("ads", "batch")) as lookup, Lookup(daemon.path("ads", "v", 1, "batch")) as leased:
        for one in (lookup, leased):
            if how == "shared":
                one.attach(4 << 20)
        first = lookup.scan(how, 0, 0, 100)
        begun = [value for _, _, value in first.records]
        assert first.served == 1 and begun == [value.encode() for _, value in rows(1)[:100]]
        for version in (2, 3):
            store.publish("ads", rows(version))
            daemon.wait_current("ads", version)
            again = lookup.scan(how, 101, 0, 100, flags=WANT_EXACT, version=1)
            if not again.error:
                assert again.served == 1 and {value[:2] for _, _, value in again.records} == {b"1:"}
            else:
                assert again.error == -errno.ESTALE
            found, served = leased.scan_all(how, 0, 0, 250)  # a lease keeps it whole
            assert served == 1 and [value for _, value in found] == [value.encode() for _, value in rows(1)]
            found, served = lookup.scan_all(how, 0, 0, 250)
            assert served == version and [value for _, value in found] == [value.encode() for _, value in rows(version)]


@pytest.mark.concurrent
def test_scans_among_switches_never_mix(store, make_daemon):
    """One reply is of one version, however often it is switched meanwhile."""
    store.publish("ads", rows(1, 2000), "--key", "u64", "--value", "bytes", "--kind", "idx")
    daemon = make_daemon()
    daemon.wait_current("ads", 1)
    store.publish("ads", rows(2, 2000))
    daemon.wait_current("ads", 2)
    with Lookup(daemon.path("ads", "batch")) as lookup:
        lookup.attach(4 << 20)
        seen = set()
        for turn in range(40):
            link = daemon.path("ads", f"t{turn}")
            os.symlink(f"v/{1 + turn % 2}", link)
            os.rename(link, daemon.path("ads", "current"))
            for start in (0, 700, 1999):
                reply = lookup.scan("shared", start, 0, 5000)
                assert {value.split(b":")[0] for _, _, value in reply.records} == {str(reply.served).encode()}
                assert len(reply.records) == 2000 - max(start, 1) + 1 and not reply.has_more
                seen.add(reply.served)
        assert seen == {1, 2}


# --- libfkv ---


def hexed(key):
    return key.hex() or "-"


def entries(lines):
    """[(key as printed, value)] of client_probe's `more`, and whether the scan has ended."""
    ended = lines[-1:] == ["end"]
    pairs = [line.split(" ") for line in (lines[:-1] if ended else lines)]
    return [(key, None if value == "-" else bytes.fromhex(value)) for key, value in pairs], ended


def printed(pairs):
    return [(str(key) if isinstance(key, int) else key.hex(), value) for key, value in pairs]


@pytest.mark.parametrize("transport", ["shared", "message"])
def test_scans_of_libfkv(scanned, transport):
    rng = random.Random(transport)
    u64 = scanned.first() == 0
    with Probe(scanned.daemon.path(scanned.chain.table("idxz")), transport) as probe:
        for start, end in scanned.bounds(rng)[:24]:
            words = ("scan", start, end) if u64 else ("scanb", hexed(start), hexed(end))
            assert probe.ask(*words, 300) == [f"version {len(scanned.chain.versions)}"]
            found, ended = entries(probe.ask("more", 1000))
            assert ended
            same(found, printed(scanned.truth(start, end)[:300]))
        words = ("scan", 0, 0) if u64 else ("scanb", "-", "-")
        probe.ask(*words, 0)
        found = []
        while True:
            some, ended = entries(probe.ask("more", rng.choice((1, 7, 500))))
            found += some
            if ended:
                break
        same(found, printed(scanned.truth(scanned.first(), None)))


def test_prefixes_of_libfkv(scanned):
    if scanned.first() == 0:
        with Probe(scanned.daemon.path(scanned.chain.table("idx"))) as probe:  # numbers have none
            assert refusal(probe.ask, "scanp", "61", 10).code == errno.EINVAL
        return
    with Probe(scanned.daemon.path(scanned.chain.table("idx"))) as probe:
        for prefix in (b"a", b"user/", b"user/0001", b"\xff", b"\xff" * 255, b"\0", b"no such", b"a" * 8):
            probe.ask("scanp", hexed(prefix), 0)
            found, ended = entries(probe.ask("more", 100000))
            same(found, [pair for pair in printed(scanned.truth(b"", None)) if bytes.fromhex(pair[0]).startswith(prefix)])
            assert ended


def test_libfkv_says_why_other_kinds_are_not_scanned(scanned):
    for variant in ("mem", "blk"):
        with Probe(scanned.daemon.path(scanned.chain.table(variant))) as probe:
            words = ("scan", 0, 0, 0) if scanned.first() == 0 else ("scanb", "-", "-", 0)

            def scan():
                probe.ask(*words)
                probe.ask("more", 1)

            wrong = refusal(scan)
            assert wrong.code == errno.ENOTSUP and "idx" in wrong.text, wrong.text


@pytest.mark.concurrent
def test_a_scan_of_libfkv_stays_with_its_version(store, make_daemon):
    """From its first entry to its last, through switches and a version that the node no longer keeps."""
    n = 20000
    store.publish("ads", rows(1, n), "--key", "u64", "--value", "bytes", "--kind", "idx", "--shards", "2")
    daemon = make_daemon("n1", "--keep", "0")
    daemon.wait_current("ads", 1)
    with Probe(daemon.path("ads")) as probe:
        assert probe.ask("scan", 0, 0, 0) == ["version 1"]
        found, _ = entries(probe.ask("more", 5))
        for version in (2, 3, 4):
            store.publish("ads", rows(version, n))
            daemon.wait_current("ads", version)
            found += entries(probe.ask("more", 4000))[0]
        rest, ended = entries(probe.ask("more", n))
        assert ended and [value for _, value in found + rest] == [value.encode() for _, value in rows(1, n)]
        assert probe.ask("scan", 0, 0, 0) == ["version 4"]


# --- fkv scan, fkv stat ---


def fkv_scan(scanned, variant, *args, statuses=(0,)):
    return kinds.fkv(scanned.store, "scan", scanned.chain.table(variant), *args, statuses=statuses)


def test_fkv_scan_by_mount_and_by_store(scanned):
    mount = ["--mount", scanned.daemon.mount]
    dumped = kinds.dump(scanned.store, scanned.chain.table("mem"), len(scanned.chain.versions))
    u64 = scanned.first() == 0
    whole = fkv_scan(scanned, "idx", *mount)
    lines = whole.split(b"\n")[:-1]
    keys = [key for key, _ in scanned.truth(scanned.first(), None)]
    assert len(lines) == len(keys) == len(dumped)
    assert dict(line.split(b"\t", 1) for line in lines) == dumped
    if u64:
        assert [int(line.split(b"\t")[0]) for line in lines] == keys
    assert fkv_scan(scanned, "idxz", *mount) == whole
    for variant in ("idx", "idxz", "blk", "mem"):
        assert fkv_scan(scanned, variant, "--direct") == whole, variant
    ranges = [["--from", keys[100], "--to", keys[150]], ["--from", keys[-1]], ["--to", keys[3]], ["--limit", "7"]] if u64 else \
             [["--prefix", "user/"], ["--prefix", "user/00010"], ["--from", "a", "--to", "b"], ["--prefix", "nothing begins so"]]
    for words in ranges:
        assert fkv_scan(scanned, "idx", *words, *mount) == fkv_scan(scanned, "mem", *words, "--direct"), words
    if u64:
        assert fkv_scan(scanned, "idx", *ranges[0], *mount) == b"".join(line + b"\n" for line in lines[100:150])


def test_fkv_scan_refuses_other_kinds_with_a_sentence(scanned):
    for variant in ("mem", "blk"):
        done = scanned.store.fkv("scan", scanned.chain.table(variant), "--mount", scanned.daemon.mount, check=False)
        assert done.returncode == 2 and "idx" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_fkv_stat_accounts_for_every_byte(scanned):
    version = len(scanned.chain.versions)
    for variant in ("mem", "blk", "idx", "idxz"):
        table = scanned.chain.table(variant)
        stat = json.loads(scanned.store.fkv("stat", table, "--json").stdout)
        directory = os.path.join(scanned.store.path, "tables", table, "v", str(version), "parts")
        size = sum(os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory))
        where = stat["all"]["where"]
        counts = [row["bytes"] if isinstance(row, dict) else row for row in (where.values() if isinstance(where, dict) else where)]
        assert sum(counts) == stat["all"]["bytes"] == size, (variant, stat["all"])
        assert scanned.store.fkv("stat", table, "--shards").stdout
