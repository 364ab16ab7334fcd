# SPDX-License-Identifier: Apache-2.0
"""Tables on disk when something breaks: keys fail or are served rightly, never wrongly, and the node mends what it can by itself."""

import glob
import os
import random
import signal
import subprocess
import time

import checker
import disktest
import fkvtest
import pytest
from disktest import PAGE, Answers, LoopDisk, all_right, expected, flip, is_intact, parts_of, publish, tail_off, wait_all_right
from fkvtest import Lookup, wait_until
from kinds import DISK_KINDS
from test_client import Probe

N = 12000  # of 300 bytes: some 1,000 blocks

REFUSE = os.path.join(fkvtest.BUILD, "tests", "e2e", "progs", "refuse")


def bad_blocks(daemon):
    return daemon.metrics().get("fkv_disk_bad_blocks_total", 0)


def read_errors(daemon):
    return daemon.metrics().get("fkv_disk_read_errors_total", 0)


def version_of(daemon, version, table="ads"):
    """What status.json says of a version; {} when there is nothing."""
    found = [t for t in daemon.status()["node"]["tables"] if t["name"] == table]
    return next((v for t in found for v in t["versions"] if v["version"] == version), {})


@pytest.fixture(params=DISK_KINDS)
def kind(request):
    return request.param


@pytest.fixture
def served(store, make_daemon, kind):
    """Two parts of one version, and no block cache: every answer comes from the disk."""
    publish(store, 1, N, kind, "--shards", "2")
    daemon = make_daemon("n1", "--block-cache", "0")
    daemon.wait_current("ads", 1)
    assert all_right(daemon, 1, N)
    assert bad_blocks(daemon) == 0 and read_errors(daemon) == 0
    return daemon


def largest_part(daemon):
    return max(parts_of(daemon.cache).values(), key=os.path.getsize)


# --- bytes that changed on the local disk ---


@pytest.mark.concurrent
def test_a_flipped_bit_in_a_block_is_seen_and_mended(store, served):
    """The keys of that block fail at most until the part was fetched again; no value is ever wrong, and other blocks do not care."""
    part = largest_part(served)
    for where in (100, tail_off(part) // PAGE // 2 * PAGE + 2000, tail_off(part) - PAGE + 40):
        before = bad_blocks(served)
        flip(part, where)
        failed = set()
        end = time.monotonic() + fkvtest.PATIENCE_S
        while bad_blocks(served) == before:  # a batch in flight may come from the part that was fetched again
            failed.update(Answers(served, 1, N).failed)
            assert time.monotonic() < end, "the bad block was read and not counted"
        assert len(failed) < 40, failed
        wait_all_right(served, 1, N)
        wait_until(lambda: is_intact(part), "the part was fetched again")
    assert served.link("ads") == "v/1" and served.metrics()["fkv_version_switches_total"] == 1


def test_without_the_store_the_other_keys_are_served_on(store, served):
    part = largest_part(served)
    store.go_away()
    try:
        flip(part, tail_off(part) // PAGE // 3 * PAGE + 777)
        failed = Answers(served, 1, N).failed
        assert 0 < len(failed) < 40
        wait_until(lambda: bad_blocks(served) > 0, "it is counted")
        for how in ("message", "shared"):
            again = Answers(served, 1, N, how=how, batch=500).failed
            assert again == failed
        wait_until(lambda: version_of(served, 1).get("reason") or "block" in str(served.status()["node"]), "status says why")
        with pytest.raises(OSError):
            served.read("ads", "v", 1, "key", failed[0])
        assert served.read("ads", "v", 1, "key", failed[0] + 1000) == expected(1, failed[0] + 1000).encode()
    finally:
        store.come_back()
    wait_all_right(served, 1, N, timeout_s=2 * fkvtest.PATIENCE_S)
    assert is_intact(part)


def test_a_restart_with_a_bad_tail_fetches_the_part_again(store, served):
    part = largest_part(served)
    for where in (tail_off(part) + 5, os.path.getsize(part) - PAGE + 50):
        assert served.stop() == 0
        flip(part, where)
        served.start()
        served.wait_current("ads", 1)
        assert all_right(served, 1, N)
        assert is_intact(part)


def test_a_restart_with_a_bad_tail_and_no_store_serves_the_version_before(store, make_daemon, kind):
    publish(store, 1, N, kind)
    daemon = make_daemon()
    daemon.wait_current("ads", 1)
    first = set(parts_of(daemon.cache))
    publish(store, 2, N, kind)
    daemon.wait_current("ads", 2)
    (name,) = set(parts_of(daemon.cache)) - first
    assert daemon.stop() == 0
    part = parts_of(daemon.cache)[name]
    flip(part, tail_off(part) + 5)
    store.go_away()
    try:
        daemon.start()
        daemon.wait_current("ads", 1)
        assert all_right(daemon, 1, N)
    finally:
        store.come_back()
    daemon.wait_current("ads", 2)
    assert all_right(daemon, 2, N) and is_intact(part)


def test_a_bad_block_from_before_a_restart_is_mended_when_it_is_read(store, served):
    """A start reads tails only, however large the table is."""
    part = largest_part(served)
    assert served.stop() == 0
    flip(part, tail_off(part) // 2 // PAGE * PAGE + 99)
    served.start()
    served.wait_current("ads", 1)
    Answers(served, 1, N)
    wait_all_right(served, 1, N)
    assert bad_blocks(served) > 0
    wait_until(lambda: is_intact(part), "the part was fetched again")


def test_two_blocks_that_changed_places(store, served):
    """Each is a good block; neither is an answer where the other should be."""
    part = largest_part(served)
    with open(part, "r+b", buffering=0) as file:
        one, other = os.pread(file.fileno(), PAGE, 3 * PAGE), os.pread(file.fileno(), PAGE, 20 * PAGE)
        os.pwrite(file.fileno(), other, 3 * PAGE)
        os.pwrite(file.fileno(), one, 20 * PAGE)
        os.fsync(file.fileno())
    Answers(served, 1, N)
    wait_all_right(served, 1, N)
    assert bad_blocks(served) > 0


# --- reads that fail ---


def test_reads_that_end_early(store, served):
    """Somebody cut the part short under the daemon: what is left is served, the rest fails until the part was fetched again."""
    part = largest_part(served)
    os.truncate(part, tail_off(part) // 2 // PAGE * PAGE + 1000)
    failed = Answers(served, 1, N).failed
    assert len(failed) < N
    wait_all_right(served, 1, N)
    assert read_errors(served) + bad_blocks(served) > 0
    wait_until(lambda: is_intact(part), "the part was fetched again")


def test_a_part_that_was_removed_is_served_from_its_open_file(store, served):
    part = largest_part(served)
    os.unlink(part)
    assert all_right(served, 1, N)
    assert served.stop() == 0
    served.start()
    served.wait_current("ads", 1)
    assert all_right(served, 1, N) and is_intact(part)


@pytest.fixture
def loop_disk(work_dir):
    try:
        made = LoopDisk(work_dir, 256)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"no loop device to be had: {error}")
    yield made
    made.end()


@pytest.fixture
def on_loop(store, make_daemon, loop_disk, kind):
    """A daemon whose cache is on a disk of its own, and serves version 1 from there."""
    publish(store, 1, N, kind)
    daemon = make_daemon("n1", "--block-cache", "0", start=False)
    daemon.cache = os.path.join(loop_disk.path, "cache")
    daemon.start()
    daemon.wait_current("ads", 1)
    yield daemon
    daemon.clean()  # before its disk goes


def test_a_disk_with_read_errors(store, on_loop, loop_disk):
    """EIO from the device. Keys that lie there fail, and only they; the part is fetched again to where the disk takes writes."""
    part = largest_part(on_loop)
    extents = loop_disk.extents(part)
    wanted = tail_off(part) // 2
    at = next(disk + wanted - first for first, disk, length in extents if first <= wanted < first + length)
    store.go_away()
    try:
        loop_disk.break_behind(at)
        failed = Answers(on_loop, 1, N).failed
        assert 0 < len(failed) < N
        wait_until(lambda: read_errors(on_loop) > 0, "read errors are counted")
        assert len(Answers(on_loop, 1, N, how="message", batch=300).failed) >= len(failed)
    finally:
        store.come_back()
    wait_all_right(on_loop, 1, N, timeout_s=2 * fkvtest.PATIENCE_S)
    assert on_loop.link("ads") == "v/1"


def test_a_cache_disk_that_fills_up_while_a_version_is_fetched(store, on_loop, loop_disk, kind):
    """The version fails with the reason and the old one serves; with room again it comes up by itself."""
    assert on_loop.stop() == 0
    on_loop.args += ["--cache-limit", "10G"]  # so that only the disk itself can say no
    on_loop.start()
    ballast = loop_disk.fill(leave=2 << 20)
    publish(store, 2, N, kind, activate=("--max-change", "0", "--no-wait"))
    wait_until(lambda: version_of(on_loop, 2).get("state") == "failed", "it fails")
    reason = version_of(on_loop, 2)["reason"]
    assert "space" in reason or "disk" in reason, reason
    assert on_loop.link("ads") == "v/1" and all_right(on_loop, 1, N)
    os.unlink(ballast)
    on_loop.wait_current("ads", 2)
    assert all_right(on_loop, 2, N)


# --- what the kernel may refuse ---


def reader_name(daemon):
    """Which reader the daemon says it has."""
    text = daemon.read(".fkvd", "metrics").decode()
    return [name for name in ("uring", "plain") if f'fkv_disk_reader_info{{reader="{name}"}} 1' in text]


def uring_allowed():
    path = "/proc/sys/kernel/io_uring_disabled"
    if os.path.exists(path):
        with open(path, encoding="ascii") as file:
            return file.read().strip() == "0"
    return True


@pytest.mark.xdist_group("uring")
def test_io_uring_is_used_where_it_may(served):
    assert reader_name(served) == (["uring"] if uring_allowed() else ["plain"])


@pytest.mark.xdist_group("uring")
def test_io_uring_forbidden_by_seccomp(store, make_daemon, kind):
    publish(store, 1, N, kind)
    daemon = make_daemon("n1", "--block-cache", "0", start=False)
    command = daemon.command
    daemon.command = lambda *more: [REFUSE, "uring", *command(*more)]
    daemon.start()
    daemon.wait_current("ads", 1)
    for how in ("shared", "message"):
        assert all_right(daemon, 1, N, how=how)
    assert reader_name(daemon) == ["plain"]
    flip(largest_part(daemon), 5000)
    wait_until(lambda: Answers(daemon, 1, N).failed or bad_blocks(daemon), "the bad block is seen")
    wait_all_right(daemon, 1, N)


@pytest.mark.xdist_group("uring")
def test_io_uring_switched_off_in_the_kernel(store, make_daemon, kind):
    path = "/proc/sys/kernel/io_uring_disabled"
    if not os.path.exists(path):
        pytest.skip("this kernel has no kernel.io_uring_disabled")
    publish(store, 1, N, kind)
    daemon = make_daemon("n1", "--block-cache", "0", start=False)
    with open(path, encoding="ascii") as file:
        before = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write("2")
    try:
        daemon.start()
        daemon.wait_current("ads", 1)
        assert all_right(daemon, 1, N)
        assert reader_name(daemon) == ["plain"]
    finally:
        with open(path, "w", encoding="ascii") as file:
            file.write(before)


def test_a_table_with_more_parts_than_descriptors_is_refused_with_a_sentence(store, make_daemon, kind):
    publish(store, 1, 2000, kind, "--shards", "4")
    daemon = make_daemon(start=False)
    command = daemon.command
    daemon.command = lambda *more: ["prlimit", "--nofile=256:256", *command(*more)]
    daemon.start()
    daemon.wait_current("ads", 1)
    store.publish("ads", [(key, expected(2, key)) for key in range(1, 2001)], *disktest.SHAPE, "--kind", kind, "--shards", "300",
                  activate=("--max-change", "0", "--no-wait"))
    wait_until(lambda: version_of(daemon, 2).get("state") == "failed", "it is refused")
    reason = version_of(daemon, 2)["reason"]
    assert "300" in reason and ("descriptor" in reason or "open files" in reason), reason
    assert daemon.link("ads") == "v/1" and all_right(daemon, 1, 2000)
    publish(store, 3, 2000, kind, "--shards", "4")
    daemon.wait_current("ads", 3)
    assert all_right(daemon, 3, 2000)


@pytest.mark.parametrize("without", ["tmpfs", "direct"])
def test_a_cache_without_direct_reads(store, make_daemon, kind, work_dir, without):
    """tmpfs has had O_DIRECT only since Linux 6.6, so it is refused to the daemon besides, by seccomp."""
    publish(store, 1, N, kind)
    daemon = make_daemon("n1", "--block-cache", "0", "--cache-limit", "1G", start=False)
    if without == "direct":
        command = daemon.command
        daemon.command = lambda *more: [REFUSE, "direct", *command(*more)]
    with disktest.mounted("tmpfs", os.path.join(work_dir, "memory")) as path:
        daemon.cache = os.path.join(path, "cache") if without == "tmpfs" else daemon.cache
        daemon.start()
        try:
            daemon.wait_current("ads", 1)
            assert all_right(daemon, 1, N)
            flip(largest_part(daemon), 5000)
            wait_until(lambda: bad_blocks(daemon) or Answers(daemon, 1, N).failed, "the bad block is seen")
            wait_all_right(daemon, 1, N)
            assert all_right(daemon, 1, N, how="message")
            if without == "direct":  # read through the page cache, and dropped from it
                part = largest_part(daemon)
                assert disktest.cached_pages(part) < os.path.getsize(part) // PAGE // 4
            daemon.kill()
            daemon.start()
            daemon.wait_current("ads", 1)
            assert all_right(daemon, 1, N)
        finally:
            daemon.clean()


# --- versions that go, processes that die, with reads in flight ---


def big_rows(version, n):
    return [(key, value) for key, value in checker.rows("big", version, n)]


@pytest.fixture
def hammered(store, make_daemon, work_dir, kind):
    """Version 1 of `big` (4 KiB a value, no block cache), and checkers that ask without pause."""
    n_keys = 3000
    store.publish("big", big_rows(1, n_keys), *disktest.SHAPE, "--kind", kind, "--shards", "2")
    daemon = make_daemon("n1", "--block-cache", "0", "--keep", "0")
    daemon.n_keys = n_keys
    daemon.wait_current("big", 1)
    checkers = [checker.Checker(daemon.mount, ["big"], os.path.join(work_dir, f"check{i}"), n_keys=n_keys, pause=0, seed=i)
                for i in range(2)]
    try:
        for one in checkers:
            one.wait_more(10)
        daemon.checkers = checkers
        yield daemon
    finally:
        for one in checkers:
            one.clean()
    for one in checkers:
        one.check_events()


@pytest.mark.concurrent
def test_versions_retired_while_their_reads_are_in_flight(store, hammered):
    """Switches, rollbacks and switches by hand under full load: no batch fails, none mixes versions, and descriptors are given back."""
    pid = hammered.process.pid
    for version in (2, 3, 4):
        store.publish("big", big_rows(version, hammered.n_keys))
        hammered.wait_current("big", version)
        for one in hammered.checkers:
            one.wait_more(5)
    for turn in range(10):
        done = subprocess.run(["ln", "-sfn", f"v/{3 + turn % 2}", hammered.path("big", "current")], check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
    subprocess.run(["rm", hammered.path("big", "current")], check=True)
    store.fkv("rollback", "big", "--reason", "test")
    hammered.wait_current("big", 3)
    for one in hammered.checkers:
        one.wait_more(5)
        assert one.stop() > 0
    assert hammered.metrics().get('fkv_failed_keys_total{table="big"}', 0) == 0

    def open_parts():
        links = [os.readlink(link) for link in glob.glob(f"/proc/{pid}/fd/*") if os.path.lexists(link)]
        return [link for link in links if ".part" in link]

    held = set(parts_of(hammered.cache).values())
    wait_until(lambda: not [link for link in open_parts() if link.replace(" (deleted)", "") not in held],
               "files of versions that are gone are closed")


@pytest.mark.concurrent
def test_clients_killed_with_reads_in_flight(store, hammered):
    """Their batches are taken back or answered to nobody: sessions go, and others are served on."""
    rng = random.Random(7)
    for one in hammered.checkers:
        assert one.stop() > 0
    for _ in range(12):
        probes = [Probe(hammered.path("big")) for _ in range(2)]
        for probe in probes:
            probe.send("threads", 4, 5000)
        time.sleep(rng.uniform(0.02, 0.2))
        for probe in probes:
            probe.process.send_signal(signal.SIGKILL)
            probe.close()
    wait_until(lambda: hammered.status()["daemon"].get("sessions", 0) == 0, "the dead leave no session")
    with Lookup(hammered.path("big", "batch")) as lookup:
        lookup.attach(16 << 20)
        keys = list(range(1, 1001))
        assert lookup.ask_shared(keys).values() == [checker.expected("big", 1, key, hammered.n_keys) for key in keys]


@pytest.mark.concurrent
def test_the_daemon_killed_with_reads_in_flight(store, hammered):
    """It serves again at once, from tails alone, and what was asked meanwhile is right."""
    for _ in range(3):
        hammered.kill()
        began = time.monotonic()
        hammered.start()
        hammered.wait_current("big", 1)
        assert time.monotonic() - began < fkvtest.PATIENCE_S
        for one in hammered.checkers:
            one.wait_more(3)
    assert hammered.metrics()["fkv_fetch_bytes_total"] == 0, "a restart fetches nothing"
