# SPDX-License-Identifier: Apache-2.0
"""What tables on disk promise about memory: a budget for tails, a cache with a limit, no page cache, and no harm to tables in memory."""

import os
import random
import statistics
import threading
import time

import disktest
import fkvtest
import pytest
from disktest import Answers, all_right, cached_pages, expected, parts_of, publish
from fkvtest import Lookup, wait_until
from kinds import DISK_KINDS
from test_client import Probe


@pytest.fixture(params=DISK_KINDS)
def kind(request):
    return request.param


@pytest.mark.slow
def test_a_table_a_hundred_times_the_memory_budget(store, make_daemon, kind):
    """Two versions of it are loaded and switched; the same rows as mem are refused, and say by how much."""
    n, length = 13000, 8000
    publish(store, 1, n, kind, length=length)
    daemon = make_daemon("n1", "--memory", "1M", "--block-cache", "1M", start=False)
    daemon.args += ["--fetch-limit", "0"]
    daemon.start()
    daemon.wait_current("ads", 1)
    assert sum(map(os.path.getsize, parts_of(daemon.cache).values())) > 100 << 20
    assert Answers(daemon, 1, n, length=length, step=7).failed == []
    publish(store, 2, n, kind, length=length)
    daemon.wait_current("ads", 2)
    assert Answers(daemon, 2, n, length=length, step=11).failed == []
    assert daemon.metrics()["fkv_memory_used_bytes"] <= 1 << 20
    publish(store, 1, 2000, "mem", table="inmem", length=length, activate=("--max-change", "0", "--no-wait"))

    def refused():
        tables = {t["name"]: t for t in daemon.status()["node"]["tables"]}
        return [v["reason"] for v in tables.get("inmem", {}).get("versions", []) if v["state"] == "failed"]

    assert "memory" in wait_until(refused, "the mem table is refused")[0]


def test_reads_leave_nothing_in_the_page_cache(store, make_daemon, kind):
    """Neither fetching, nor loading, nor lookups: the memory of the host is not filled with blocks that nobody asked to keep."""
    n = 60000
    publish(store, 1, n, kind)
    daemon = make_daemon("n1", "--block-cache", "0")
    daemon.wait_current("ads", 1)
    (part,) = parts_of(daemon.cache).values()
    pages = os.path.getsize(part) // disktest.PAGE
    assert pages > 4000
    rng = random.Random(1)
    with Lookup(daemon.path("ads", "batch")) as lookup:
        lookup.attach(16 << 20)
        for _ in range(20):
            keys = [rng.randint(1, n) for _ in range(3900)]
            assert lookup.ask_shared(keys).values() == [expected(1, key).encode() for key in keys]
    assert cached_pages(part) <= pages // 20, f"{cached_pages(part)} of {pages} pages are in the page cache"


def test_the_block_cache_has_hits_and_a_limit(store, make_daemon, kind):
    n = 40000
    publish(store, 1, n, kind)
    daemon = make_daemon("n1", "--block-cache", "4M")
    daemon.wait_current("ads", 1)
    assert all_right(daemon, 1, n) and all_right(daemon, 1, 2000)
    before = daemon.metrics()
    for _ in range(5):
        assert all_right(daemon, 1, 2000)
    after = daemon.metrics()
    assert after["fkv_block_cache_hits_total"] > before["fkv_block_cache_hits_total"]
    assert 0 < after["fkv_block_cache_bytes"] <= 4 << 20


def test_an_absent_key_costs_blk_no_read_and_idx_none_ever(store, make_daemon, kind):
    publish(store, 1, 20000, kind)
    daemon = make_daemon("n1", "--block-cache", "1M")
    daemon.wait_current("ads", 1)
    with Lookup(daemon.path("ads", "batch")) as lookup:
        lookup.attach(4 << 20)
        lookup.ask_shared([1])
        before = daemon.metrics()["fkv_block_cache_misses_total"]
        reply = lookup.ask_shared(list(range(1 << 40, (1 << 40) + 20000)))
        assert reply.n_found == 0 and not reply.error
        read = daemon.metrics()["fkv_block_cache_misses_total"] - before
    assert read <= (0 if kind == "idx" else 300), f"{read} blocks were looked for"


def test_lookups_in_memory_do_not_wait_behind_a_disk(store, make_daemon, kind):
    """More disk batches than there are threads, without end: a mem table answers in a fraction of the time one of them takes."""
    store.publish("t", [(key, "x" * 4000 + "1") for key in range(1, 1001)], *disktest.SHAPE, "--kind", kind)
    publish(store, 1, 2000, "mem", table="inmem", length=60)
    daemon = make_daemon("n1", "--block-cache", "0", "--threads", "4")
    daemon.wait_current("t", 1)
    daemon.wait_current("inmem", 1)
    clients, ms = 12, 4000
    keys = list(range(1, 1001))
    with Probe(daemon.path("t")) as probe, Lookup(daemon.path("inmem", "batch")) as lookup:
        lookup.attach()
        lookup.ask_shared(keys)
        probe.send("threads", clients, ms)
        took = []
        end = time.monotonic() + ms / 1000 - 1
        time.sleep(0.5)
        while time.monotonic() < end:
            began = time.monotonic()
            reply = lookup.ask_shared(keys)
            took.append(time.monotonic() - began)
            assert reply.n_found == 1000
        (line,) = probe._answer()
    words = line.split()
    assert words[2:] == ["failed", "0", "mixed", "0"], line
    disk_s = clients * ms / 1000 / int(words[1])
    found = f"mem {statistics.median(took) * 1e3:.2f} ms of {len(took)}, disk {disk_s * 1e3:.1f} ms"
    print(found)
    assert len(took) > 20 and statistics.median(took) < disk_s / 4, found


@pytest.mark.concurrent
def test_many_threads_and_tables_at_once(store, make_daemon):
    """All kinds at one daemon, each thread with a table and a carrier of its own."""
    tables = {"one": "blk", "two": "idx", "three": "mem"}
    for table, its_kind in tables.items():
        publish(store, 1, 3000, its_kind, table=table)
    daemon = make_daemon("n1", "--block-cache", "1M")
    for table in tables:
        daemon.wait_current(table, 1)
    errors = []

    def work(table, how):
        try:
            for _ in range(4):
                assert all_right(daemon, 1, 3000, table=table, how=how, batch=700)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(table, how)) for table in tables for how in ("shared", "message")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    assert fkvtest.is_mounted(daemon.mount)
