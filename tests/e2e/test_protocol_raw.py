# SPDX-License-Identifier: Apache-2.0
"""The lookup protocol with bare system calls: the three transports, and everything a hostile client may send."""

import ctypes
import errno
import fcntl
import mmap
import os
import random
import signal
import struct
import threading
import time

import pytest
from fkvtest import (ABSENT, ATTACH, FORM_F32, FOUND, INLINE_MAX, IOC_ATTACH, IOC_INLINE, IOC_LOOKUP, KEY_BYTES, KEYS_MAX, MAGIC,
                     MESSAGE_MAX, WANT_AT_LEAST, WANT_EXACT, Lookup, Reply, fails_with, memfd, pack_bytes, pack_u64,
                     request, wait_until)

pytestmark = pytest.mark.kinds

TRANSPORTS = ["shared", "message", "inline"]


@pytest.fixture
def nums(tables):
    with Lookup(tables.path("nums", "batch")) as lookup:
        lookup.attach()
        yield lookup


def answers(lookup):
    """It still works, and answers right."""
    reply = lookup.ask_shared([1, 5000, 2])
    return reply.values() == [b"one-1one-1", None, b"one-2one-2one-2"]


# --- good requests ---


def test_info_says_what_answers(tables, nums):
    info = nums.info()
    assert info["magic"] == MAGIC and info["protocol"] == 1
    assert (info["version"], info["n_keys"], info["key_type"], info["elem"], info["dim"]) == (2, 1000, 1, 0, 0)
    assert info["daemon_id"] != 0
    with Lookup(tables.path("vecs", "v", 1, "batch")) as pinned:
        info = pinned.info()
        assert (info["version"], info["elem"], info["dim"], info["value_len"]) == (1, 2, 4, 8)


@pytest.mark.parametrize("how", TRANSPORTS)
def test_every_transport_gives_the_same_answers(tables, nums, how):
    keys = list(range(990, 1010)) + [0, 2**64 - 1, 990]
    reply = nums.ask(how, keys)
    expected = [tables.tables["nums"].get(key) for key in keys]
    assert reply.values() == [value.encode() if value else None for value in expected]
    assert reply.served == 2 and reply.n_found == 12
    assert set(reply.body[: len(keys)]) == {FOUND, ABSENT}


@pytest.mark.parametrize("how", TRANSPORTS)
def test_byte_keys(tables, how):
    words = tables.tables["words"]
    keys = [word.encode() for word in words] + [b"nothing", b"\0", b"x" * 255]
    with Lookup(tables.path("words", "batch")) as lookup:
        lookup.attach()
        assert lookup.ask(how, keys).values() == [value.encode() for value in words.values()] + [None] * 3


@pytest.mark.parametrize("how", TRANSPORTS)
def test_vectors_as_stored_and_as_floats(tables, how):
    with Lookup(tables.path("vecs", "batch")) as lookup:
        lookup.attach()
        stored = lookup.ask(how, [3, 999])
        assert struct.unpack("<4e", stored.value(0)) == (3.0, 0.5, -1.0, 0.0) and stored.value(1) is None
        floats = lookup.ask(how, [3, 999], flags=FORM_F32)
        assert struct.unpack("<4f", floats.value(0)) == (3.0, 0.5, -1.0, 0.0) and floats.stride == 16


@pytest.mark.parametrize("how", TRANSPORTS)
def test_no_keys_ask_for_the_version(nums, how):
    reply = nums.ask(how, [])
    assert reply.error == 0 and reply.served == 2 and reply.n_found == 0


@pytest.mark.parametrize("how", TRANSPORTS)
def test_the_version_can_be_asked_for(tables, nums, how):
    assert nums.ask(how, [1], flags=WANT_EXACT, version=2).served == 2
    assert nums.ask(how, [1], flags=WANT_AT_LEAST, version=1).served == 2
    old = nums.ask(how, [1], flags=WANT_EXACT, version=1)  # the previous one is still loaded
    assert old.served == 1 and old.values() == [b"old-1old-1"]
    assert nums.ask(how, [1], flags=WANT_EXACT, version=77).error == -errno.ESTALE
    assert nums.ask(how, [1], flags=WANT_AT_LEAST, version=3).error == -errno.EAGAIN
    with Lookup(tables.path("nums", "v", 1, "batch")) as pinned:
        pinned.attach()
        assert pinned.ask(how, [1]).values() == [b"old-1old-1"]
        assert pinned.ask(how, [1], flags=WANT_EXACT, version=2).error == -errno.ESTALE


@pytest.mark.parametrize("how", TRANSPORTS)
def test_errors_of_a_batch_are_in_its_reply(tables, nums, how):
    assert nums.ask(how, [b"cat"]).error == -errno.EINVAL  # keys of the wrong type
    assert nums.ask(how, [1], flags=FORM_F32).error == -errno.ENOTSUP  # bytes are no vectors
    assert nums.ask(how, [1], deadline_ns=1).error == -errno.ETIMEDOUT
    late = nums.ask(how, [1], deadline_ns=time.monotonic_ns() + 10**10)
    assert late.error == 0


def test_a_table_without_a_current_version_says_so(store, daemon):
    store.publish("new", [(1, "x")], "--key", "u64", "--value", "bytes", activate=("--no-activate",))
    wait_until(lambda: os.path.exists(daemon.path("new", "v", 1, "batch")), "the candidate is here")
    assert daemon.link("new") is None
    with Lookup(daemon.path("new", "batch")) as lookup, Lookup(daemon.path("new", "v", 1, "batch")) as pinned:
        lookup.attach()
        info = lookup.info()
        assert info["version"] == 0 and info["key_type"] == 0 and info["daemon_id"] != 0
        for how in TRANSPORTS:
            assert lookup.ask(how, [1]).error == -errno.ENOENT
            assert lookup.ask(how, [1], flags=WANT_AT_LEAST, version=1).error == -errno.EAGAIN
            assert lookup.ask(how, [1], flags=WANT_EXACT, version=1).values() == [b"x"]
        assert pinned.ask_inline([1]).values() == [b"x"]
        store.fkv("activate", "new=1")
        daemon.wait_current("new", 1)
        assert lookup.ask_shared([1]).values() == [b"x"] and lookup.info()["version"] == 1


def test_too_little_room_says_how_much_is_needed(nums):
    keys = list(range(1, 501))
    short = nums.ask_shared(keys, out_len=64)
    assert short.error == -errno.ENOSPC
    assert nums.ask_message(keys, out_len=1000).error == -errno.ENOSPC
    whole = nums.ask_shared(keys, out_len=short.body_len)
    while whole.error == -errno.ENOSPC:  # values that vary may need another round
        assert whole.body_len > short.body_len
        short = whole
        whole = nums.ask_shared(keys, out_len=short.body_len)
    assert whole.n_found == 500 and len(whole.body) == whole.body_len


def test_a_reply_can_be_read_in_small_pieces(tables, nums):
    keys = list(range(1, 301))
    nums.write(request(n_keys=300, keys_len=2400, out_len=1 << 20) + pack_u64(keys))
    pieces = []
    while piece := os.read(nums.fd, 101):
        pieces.append(piece)
    data = b"".join(pieces)
    reply = Reply(data, data[128:], 300)
    assert reply.values() == [tables.tables["nums"][key].encode() for key in keys]
    assert os.read(nums.fd, 100) == b""


def test_reading_before_asking_gives_nothing(tables):
    with Lookup(tables.path("nums", "batch")) as lookup:
        assert os.read(lookup.fd, 4096) == b""


def test_a_new_request_replaces_an_unread_reply(nums):
    nums.write(request(n_keys=1, keys_len=8, out_len=4096) + pack_u64([1]))
    assert len(os.read(nums.fd, 10)) == 10
    assert nums.ask_message([2]).values() == [b"one-2one-2one-2"]


@pytest.mark.parametrize("offset", [0, 1, 8, 4095])
def test_the_longest_message_from_any_address(nums, offset):
    """The kernel cuts a long write that does not start on a page boundary; the daemon puts it together."""
    n = (MESSAGE_MAX - 128) // 8
    keys = [1 + i % 1200 for i in range(n)]
    area = mmap.mmap(-1, MESSAGE_MAX + 4096)
    area[offset : offset + MESSAGE_MAX] = request(n_keys=n, keys_len=8 * n, out_len=1 << 30) + pack_u64(keys)
    assert os.write(nums.fd, memoryview(area)[offset : offset + MESSAGE_MAX]) == MESSAGE_MAX
    data = nums.read_all()
    reply = Reply(data, data[128:], n)
    assert reply.error == 0 and reply.n_found == sum(key <= 1000 for key in keys)
    assert reply.value(0) == b"one-1one-1" and reply.value(n - 1) == (
        None if keys[-1] > 1000 else f"one-{keys[-1]}".encode() * (1 + keys[-1] % 5))


def test_the_largest_shared_batch(nums):
    nums.attach(160 << 20)
    keys = [1 + i % 1000 for i in range(KEYS_MAX)]
    reply = nums.ask_shared(keys)
    assert reply.error == 0 and reply.n_found == KEYS_MAX
    assert reply.value(KEYS_MAX - 1) == f"one-{keys[-1]}".encode() * (1 + keys[-1] % 5)


def test_the_shell_can_ask(tables, work_dir):
    """Opened with O_TRUNC and written by cat: any language can do it."""
    path = os.path.join(work_dir, "request")
    with open(path, "wb") as file:
        file.write(request(n_keys=1, keys_len=8, out_len=4096) + pack_u64([1]))
    batch = tables.path("nums", "batch")
    assert os.system(f"cat {path} > {batch}") == 0
    assert os.system(f"exec 3<>{batch} && cat {path} >&3 && cat <&3 > {path}.reply") == 0
    with open(path + ".reply", "rb") as file:
        data = file.read()
    assert Reply(data, data[128:], 1).values() == [b"one-1one-1"]


# --- arenas ---


def test_an_arena_can_grow_and_be_replaced(nums):
    for length in (4096, 1 << 16, 1 << 22, 4096):
        nums.attach(length)
        assert nums.ask_shared([1]).values() == [b"one-1one-1"]


def test_lookup_without_an_arena_is_refused(tables):
    with Lookup(tables.path("nums", "batch")) as lookup:
        fails_with(errno.EINVAL, lookup.ioctl_lookup, request(n_keys=1, keys_len=8))


def test_an_arena_must_be_sealed_against_shrinking(nums):
    for seal in (0, fcntl.F_SEAL_GROW):
        fd = memfd(8192, seal)
        fails_with(errno.EPERM, nums.attach_fd, fd, 8192)
        os.close(fd)
    assert answers(nums)


def test_a_sealed_arena_cannot_shrink(nums):
    fails_with(errno.EPERM, os.ftruncate, nums.arena_fd, 4096)


@pytest.mark.parametrize("length", [0, 1, 4095, 8192 + 4096, 1 << 40, (1 << 64) - 4096, (1 << 64) - 1])
def test_an_arena_must_be_as_long_as_it_says(nums, length):
    fd = memfd(8192)
    with pytest.raises(OSError) as caught:
        nums.attach_fd(fd, length)
    assert caught.value.errno in (errno.EINVAL, errno.E2BIG)
    os.close(fd)
    assert answers(nums)


def test_only_a_memfd_is_an_arena(tables, nums, work_dir):
    path = os.path.join(work_dir, "file")
    with open(path, "w+b") as file:
        file.truncate(8192)
        with pytest.raises(OSError) as caught:
            nums.attach_fd(file.fileno(), 8192)
        assert caught.value.errno in (errno.EINVAL, errno.EPERM)
    for other in (nums.fd, os.open("/dev/zero", os.O_RDWR), os.open("/", os.O_RDONLY), os.pipe()[0],
                  os.open(tables.path("nums", "batch"), os.O_RDWR)):
        with pytest.raises(OSError):
            nums.attach_fd(other, 8192)
        if other != nums.fd:
            os.close(other)
    for fd in (-1, 9999, 2**31 - 1):
        fails_with(errno.EBADF, nums.attach_fd, fd, 8192)
    fails_with(errno.EPROTO, nums.attach_fd, nums.arena_fd, 8192, magic=0)
    assert answers(nums)


def test_an_arena_that_may_not_be_written_is_refused(nums):
    fd = memfd(8192, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    with pytest.raises(OSError):
        nums.attach_fd(fd, 8192)
    os.close(fd)
    fd = memfd(8192)
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    with pytest.raises(OSError):
        nums.attach_fd(reader, 8192)
    os.close(reader)
    os.close(fd)
    assert answers(nums)


def test_holes_in_an_arena_read_as_zeros(nums):
    """Pages taken away under the daemon come back as zeros: keys 0, which are absent."""
    libc = ctypes.CDLL(None, use_errno=True)
    punch = 0x02 | 0x01  # PUNCH_HOLE | KEEP_SIZE
    n = 4096
    nums.attach(1 << 20)
    nums.arena[: 8 * n] = pack_u64([1] * n)
    assert libc.fallocate(nums.arena_fd, punch, ctypes.c_long(0), ctypes.c_long(1 << 20)) == 0
    reply = Reply(nums.ioctl_lookup(request(n_keys=n, keys_len=8 * n, out_off=1 << 16, out_len=1 << 19)),
                  nums.arena[1 << 16 :], n)
    assert reply.error == 0 and reply.n_found == 0


def test_a_closed_arena_stays_with_the_daemon(nums):
    os.close(nums.arena_fd)
    nums.arena_fd = -1
    assert answers(nums)


# --- malformed requests ---

BAD_REQUESTS = [
    (dict(magic=0), errno.EPROTO),
    (dict(flags=0x2), errno.EPROTO),
    (dict(flags=0xC, version=1), errno.EPROTO),
    (dict(flags=0x10), errno.EPROTO),
    (dict(flags=0xFFFFFFFF), errno.EPROTO),
    (dict(flags=WANT_EXACT), errno.EPROTO),
    (dict(key_type=0), errno.EPROTO),
    (dict(key_type=3), errno.EPROTO),
    (dict(keys_len=7), errno.EPROTO),
    (dict(keys_len=9), errno.EPROTO),
    (dict(keys_len=0), errno.EPROTO),
    (dict(keys_len=2**64 - 1), errno.EPROTO),
    (dict(n_keys=0), errno.EPROTO),
    (dict(n_keys=2), errno.EPROTO),
    (dict(n_keys=KEYS_MAX + 1, keys_len=8 * (KEYS_MAX + 1)), errno.E2BIG),
    (dict(n_keys=2**32 - 1, keys_len=8 * (2**32 - 1)), errno.E2BIG),
    (dict(keys_off=2**64 - 8), errno.EPROTO),
    (dict(keys_off=2**64 - 1), errno.EPROTO),
    (dict(keys_off=2**63), errno.EPROTO),
    (dict(key_type=KEY_BYTES, n_keys=2, keys_len=9), errno.EPROTO),
    (dict(key_type=KEY_BYTES, n_keys=1, keys_len=260), errno.EPROTO),
]
BAD_SHARED = BAD_REQUESTS + [
    (dict(keys_off=(1 << 20) - 7), errno.EPROTO),
    (dict(out_off=1), errno.EPROTO),
    (dict(out_off=32), errno.EPROTO),
    (dict(out_off=1 << 20, out_len=1), errno.EPROTO),
    (dict(out_off=64, out_len=1 << 20), errno.EPROTO),
    (dict(out_off=2**64 - 64, out_len=128), errno.EPROTO),
    (dict(out_off=0, out_len=2**64 - 1), errno.EPROTO),
    (dict(out_off=2**63, out_len=2**63), errno.EPROTO),
]
BAD_MESSAGE = BAD_REQUESTS + [
    (dict(keys_off=0), errno.EPROTO),
    (dict(keys_off=127), errno.EPROTO),
    (dict(keys_off=129), errno.EPROTO),
]


def one_key(**fields):
    return request(**{"n_keys": 1, "keys_len": 8, "out_off": 4096, "out_len": 4096, **fields})


@pytest.mark.parametrize("fields,code", BAD_SHARED, ids=str)
def test_a_malformed_lookup_is_refused(nums, fields, code):
    fails_with(code, nums.ioctl_lookup, one_key(**fields))
    assert answers(nums)


@pytest.mark.parametrize("fields,code", BAD_MESSAGE, ids=str)
def test_a_malformed_message_is_refused(nums, fields, code):
    with pytest.raises(OSError) as caught:
        nums.write(one_key(**fields) + pack_u64([1]))
    assert caught.value.errno in (code, errno.E2BIG)
    assert os.read(nums.fd, 4096) == b""
    assert nums.ask_message([1]).values() == [b"one-1one-1"]


@pytest.mark.parametrize("fields,code", BAD_MESSAGE[:-1], ids=str)
def test_a_malformed_inline_request_is_refused(nums, fields, code):
    fails_with(code, nums.ioctl_inline, one_key(**fields) + pack_u64([1]))
    assert nums.ask_inline([1]).values() == [b"one-1one-1"]


def test_reserved_bits_are_refused(nums):
    for at in (100, 112, 120):  # value_len and the two reserved fields
        bad = bytearray(one_key())
        bad[at] = 1
        fails_with(errno.EPROTO, nums.ioctl_lookup, bytes(bad))


@pytest.mark.parametrize("length", [1, 64, 127, 128, 135])
def test_a_short_message_is_refused(nums, length):
    fails_with(errno.EPROTO, nums.write, (one_key() + pack_u64([1]))[:length])
    assert nums.ask_message([1]).values() == [b"one-1one-1"]


def test_a_message_beyond_the_limit_is_refused(nums):
    n = MESSAGE_MAX // 8
    fails_with(errno.E2BIG, nums.write, request(n_keys=n, keys_len=8 * n) + bytes(8 * n))
    assert nums.ask_message([1]).values() == [b"one-1one-1"]


@pytest.mark.parametrize("ends", [[4, 3], [3, 300], [2**32 - 1, 3], [1, 4], [256, 257], [3, 2**32 - 1]], ids=str)
def test_byte_keys_whose_ends_lie_are_refused(tables, ends):
    packed = struct.pack("<2I", *ends) + b"cat"
    with Lookup(tables.path("words", "batch")) as lookup:
        lookup.attach()
        lookup.arena[: len(packed)] = packed
        fields = dict(n_keys=2, key_type=KEY_BYTES, keys_len=len(packed))
        shared = Reply(lookup.ioctl_lookup(request(keys_off=0, out_off=4096, out_len=4096, **fields)), b"", 2)
        assert shared.error == -errno.EPROTO
        lookup.write(request(out_len=4096, **fields) + packed)
        assert Reply(lookup.read_all(), b"", 2).error == -errno.EPROTO
        assert lookup.ask_inline([b"cat"]).values() == [b"0000"]


def test_an_empty_key_is_absent(tables):
    with Lookup(tables.path("words", "batch")) as lookup:
        lookup.attach()
        for how in TRANSPORTS:
            assert lookup.ask(how, [b"", b"cat"]).values() == [None, b"0000"]


def test_other_ioctls_and_other_files_are_enotty(tables, nums):
    for cmd in (0, 0x5401, IOC_LOOKUP ^ 0xFF, IOC_LOOKUP + (8 << 16)):
        with pytest.raises(OSError) as caught:
            fcntl.ioctl(nums.fd, cmd, bytearray(256), True)
        assert caught.value.errno in (errno.ENOTTY, errno.EINVAL, errno.EIO)
    for path in (("nums", "v", 2, "version.json"), (".fkvd", "metrics"), ("nums", "v", 2, "key", 1)):
        fd = os.open(tables.path(*path), os.O_RDONLY)
        fails_with(errno.ENOTTY, fcntl.ioctl, fd, IOC_LOOKUP, bytearray(128), True)
        fails_with(errno.ENOTTY, fcntl.ioctl, fd, IOC_ATTACH, ATTACH.pack(MAGIC, fd, 4096))
        os.close(fd)
    assert answers(nums)


def test_random_requests_harm_nobody(nums):
    rng = random.Random(7)
    for _ in range(2000):
        data = bytearray(one_key())
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(128)] = rng.randrange(256)
        for send in (nums.ioctl_lookup, nums.ioctl_inline, nums.write):
            try:
                send(bytes(data))
            except OSError as error:
                assert error.errno in (errno.EPROTO, errno.E2BIG, errno.EINVAL), error
    assert answers(nums)


# --- clients that change their mind, or die ---


def test_an_arena_may_change_during_the_batch(tables):
    """Keys and offsets flip while the daemon reads them. Whatever comes back, it is a whole answer or an error."""
    stop = threading.Event()
    n = 4096
    with Lookup(tables.path("words", "batch")) as lookup:
        lookup.attach(1 << 20)
        good = pack_bytes([b"cat"] * n)
        libc = ctypes.CDLL(None)
        base = ctypes.addressof(ctypes.c_char.from_buffer(lookup.arena))

        def disturb():
            while not stop.is_set():
                libc.memset(ctypes.c_void_p(base), 0xFF, ctypes.c_size_t(4 * n))  # without the interpreter's lock
                ctypes.memmove(base, good, 4 * n)

        threads = [threading.Thread(target=disturb) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(300):
                done = lookup.ioctl_lookup(request(n_keys=n, key_type=KEY_BYTES, keys_off=0, keys_len=len(good),
                                                   out_off=1 << 19, out_len=1 << 19))
                reply = Reply(done, lookup.arena[1 << 19 :], n)
                assert reply.error in (0, -errno.EPROTO)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            del base
    assert tables.process.poll() is None


def test_keys_and_output_may_overlap(nums):
    """Nobody else is hurt by a client that lets the answer overwrite its own keys."""
    nums.arena[:8000] = pack_u64(range(1, 1001))
    done = nums.ioctl_lookup(request(n_keys=1000, keys_off=0, keys_len=8000, out_off=0, out_len=1 << 20))
    assert Reply(done, nums.arena, 1000).error == 0
    assert answers(nums)


def test_one_file_may_be_used_by_many_threads(tables, nums):
    """Each thread with a region of the arena of its own, and another that attaches again and again."""
    errors = []
    region = 1 << 16

    def ask(slot):
        try:
            base = slot * region
            for i in range(200):
                key = 1 + (i * 7 + slot) % 1000
                nums.arena[base : base + 8] = pack_u64([key])
                done = nums.ioctl_lookup(request(n_keys=1, keys_off=base, keys_len=8, out_off=base + 4096, out_len=4096))
                reply = Reply(done, nums.arena[base + 4096 : base + 8192], 1)
                assert reply.values() == [tables.tables["nums"][key].encode()]
        except BaseException as error:
            errors.append(error)

    def attach():
        for _ in range(100):
            nums.attach_fd(nums.arena_fd, 1 << 20)

    threads = [threading.Thread(target=ask, args=(slot,)) for slot in range(6)] + [threading.Thread(target=attach)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def hammer(path, arena_len):
    """A client that never stops; killed by its parent."""
    with Lookup(path) as lookup:
        lookup.attach(arena_len)
        keys = list(range(1, 1001)) * 16
        while True:
            lookup.ask_shared(keys)
            lookup.ask_message(keys[:1000])


def test_clients_killed_in_the_middle_harm_nobody(tables, nums):
    before = tables.status()["daemon"]
    rng = random.Random(3)
    for _ in range(25):
        pid = os.fork()
        if pid == 0:
            try:
                hammer(tables.path("nums", "batch"), 8 << 20)
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0.05, 0.15))
        assert answers(nums)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert answers(nums)
    after = wait_until(lambda: (lambda d: d["sessions"] == before["sessions"] and d)(tables.status()["daemon"]),
                       "the dead clients' files are closed")
    assert after["leases"] == before["leases"]


def test_counters_count(tables):
    def sample(name):
        return tables.metrics().get(f'{name}{{table="vecs"}}', 0)

    with Lookup(tables.path("vecs", "batch")) as lookup:
        lookup.attach()
        before = {name: sample(name) for name in ("fkv_batches_total", "fkv_keys_total", "fkv_hits_total",
                                                  "fkv_misses_total", "fkv_errors_total", "fkv_batch_seconds_count")}
        lookup.ask_shared([1, 2, 3000])
        lookup.ask_message([1], flags=WANT_EXACT, version=9)
        grown = {name: sample(name) - count for name, count in before.items()}
    assert grown == {"fkv_batches_total": 2, "fkv_keys_total": 3, "fkv_hits_total": 2, "fkv_misses_total": 1,
                     "fkv_errors_total": 1, "fkv_batch_seconds_count": 2}
