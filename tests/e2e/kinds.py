# SPDX-License-Identifier: Apache-2.0
"""The same random rows as tables of every kind, and the truth about them.

A Shape says what keys and values are like; a Chain is its rows as a full version and deltas with tombstones, published as a table of each
variant (kind and compression). Who wants a table of one kind and simple rows uses fkvtest.Store instead.
"""

import errno
import os
import random
import struct
import subprocess
import urllib.parse
from dataclasses import dataclass

import fkvtest
from fkvtest import FKV

KINDS = ("mem", "blk", "idx")
DISK_KINDS = ("blk", "idx")
U64_MAX = (1 << 64) - 1

# table name's ending: what to build it with
VARIANTS = {
    "mem": ("--kind", "mem"),
    "blk": ("--kind", "blk", "--compress", "none"),
    "idx": ("--kind", "idx", "--compress", "none"),
    "blkz": ("--kind", "blk", "--compress", "zstd"),
    "idxz": ("--kind", "idx", "--compress", "zstd"),
}
PLAIN = ("mem", "blk", "idx")

_ESCAPED = [chr(b) if 0x20 <= b < 0x7f and b != 0x5c else f"\\x{b:02x}" for b in range(256)]


def escape(data):
    """Bytes as a field of TSV."""
    return "".join(map(_ESCAPED.__getitem__, data))


def file_name(key):
    """The name of a key's file in the mount."""
    if isinstance(key, int):
        return str(key)
    return urllib.parse.quote(key, safe="").replace(".", "%2E")


# --- keys ---


def some_u64(rng, n):
    """Dense runs, random ones, and those at the edges."""
    keys = {0, 1, U64_MAX, U64_MAX - 1, 1 << 63, (1 << 63) - 1, 1 << 32, (1 << 32) - 1, 255, 256, 65535, 65536}
    keys.update(range(10_000, 10_000 + n // 3))
    while len(keys) < n:
        keys.add(rng.getrandbits(rng.choice((16, 32, 48, 64, 64, 64))))
    return sorted(keys)


def some_bytes(rng, n):
    """Of all lengths and bytes; many that begin alike, and many that others begin with."""
    keys = {b"\0", b"\0\0", b"\xff", b"\xff" * 254, b"\xff" * 255, b"/", b"..", b".", b"%", b"a\tb", b"a\nb", b"\\", b"#"}
    keys.update(b"a" * length for length in range(1, 256, 7))
    keys.update(b"user/%06d" % i for i in range(0, n // 3))
    while len(keys) < n:
        stem = rng.choice((b"", b"user/", b"user/0001", b"\xc3\xa9t\xc3\xa9-"))
        keys.add((stem + rng.randbytes(rng.choice((1, 2, 5, 8, 20, 60, 200))))[:255])
    return sorted(keys)


# --- values ---


def varying(rng, _):
    """Mostly short; some are empty, some longer than a block, some much longer."""
    length = rng.choices((0, 1, rng.randint(2, 40), rng.randint(41, 900), rng.randint(3900, 9000), rng.randint(100_000, 140_000)),
                         (20, 20, 600, 250, 40, 1))[0]
    return rng.randbytes(length)


def text(rng, key):
    """Such as compresses with a dictionary, and now and then such as does not."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.choice((3, 60, 700)))
    body = b'{"id": %s, "country": "%s", "clicks": %d, "tags": ["%s", "%s"], "score": 0.%04d}' % (
        str(key).encode(), rng.choice((b"de", b"fr", b"jp", b"br")), rng.randint(0, 999), rng.choice((b"sport", b"news", b"music")),
        rng.choice((b"evening", b"morning")), rng.randint(0, 9999))
    return body * rng.choices((1, 2, 90), (90, 9, 1))[0]


def fixed(length):
    return lambda rng, _: rng.randbytes(length)


def vector(dim):
    """Numbers that every element type can tell; written as text."""
    return lambda rng, _: [rng.choice((0.0, 1.0, -1.0, rng.uniform(-8, 8), rng.uniform(-1, 1) * 1e-3)) for _ in range(dim)]


@dataclass
class Shape:
    name: str
    key: str
    value: str
    n: int
    make: object
    variants: tuple = PLAIN
    shards: int = 1
    big: int = 0  # the length of one value among them

    @property
    def elem(self):
        return self.value.split("[")[0]


SHAPES = {shape.name: shape for shape in (
    Shape("u64-varying", "u64", "bytes", 3000, varying, tuple(VARIANTS), shards=3, big=5 << 20),
    Shape("u64-fixed", "u64", "bytes[12]", 20000, fixed(12), shards=2),
    Shape("u64-fixed-4k", "u64", "bytes[4096]", 600, fixed(4096)),
    Shape("u64-text", "u64", "bytes", 6000, text, tuple(VARIANTS)),
    Shape("bytes-varying", "bytes", "bytes", 3000, varying, tuple(VARIANTS), shards=2),
    Shape("bytes-fixed", "bytes", "bytes[5]", 8000, fixed(5)),
    Shape("u64-f32", "u64", "f32[33]", 1500, vector(33), tuple(VARIANTS)),
    Shape("u64-f16", "u64", "f16[64]", 1500, vector(64)),
    Shape("u64-bf16", "u64", "bf16[7]", 1500, vector(7)),
    Shape("u64-i8", "u64", "i8[100]", 1500, vector(100)),
    Shape("bytes-f16-wide", "bytes", "f16[2500]", 120, vector(2500)),
)}


def field(value):
    """A value as a field of TSV."""
    return ",".join(f"{x!r}" for x in value) if isinstance(value, list) else escape(value)


def stored(shape, value):
    """The bytes a lookup is to give, when they are known without the codec; else None."""
    if isinstance(value, bytes):
        return value
    return struct.pack(f"<{len(value)}f", *value) if shape.elem == "f32" else None


class Chain:
    """versions[i]: {key: value} of version i + 1. levels[i]: what its build was given, None for a tombstone."""

    def __init__(self, shape, seed=1, n_deltas=2):
        rng = random.Random(f"{shape.name}/{seed}")
        self.shape = shape
        pool = (some_u64 if shape.key == "u64" else some_bytes)(rng, shape.n + shape.n // 4)
        order = rng.sample(pool, len(pool))
        late, first = order[: shape.n // 8], order[shape.n // 8 : -(shape.n // 8)]
        self.never = order[-(shape.n // 8):]
        level = {key: shape.make(rng, key) for key in first}
        if shape.big:
            level[first[0]] = rng.randbytes(shape.big)
        self.levels, self.versions = [level], [dict(level)]
        for _ in range(n_deltas):
            now = self.versions[-1]
            living = rng.sample(sorted(now), len(now) // 5)
            change, gone = living[: len(living) // 2], living[len(living) // 2 :]
            level = {key: shape.make(rng, key) for key in change}
            level.update({key: None for key in gone})
            come = [key for key in first + late if key not in now]
            level.update({key: shape.make(rng, key) for key in rng.sample(come, len(come) // 2)})
            self.levels.append(level)
            now = {**now, **level}
            self.versions.append({key: value for key, value in now.items() if value is not None})

    def keys(self):
        """All that ever were, and some that never were."""
        ever = set().union(*self.levels)
        return sorted(ever) + sorted(self.never)

    def write(self, directory, i):
        """The input of level i, in random order."""
        path = os.path.join(directory, f"{self.shape.name}-{i}.tsv")
        if not os.path.exists(path):
            with open(path, "w", encoding="ascii", newline="\n") as file:
                for key, value in self.levels[i].items():
                    name = str(key) if isinstance(key, int) else escape(key)
                    file.write(f"{name}\n" if value is None else f"{name}\t{field(value)}\n")
        return path

    def table(self, variant):
        return f"{self.shape.name}-{variant}"

    def tables(self):
        return {variant: self.table(variant) for variant in self.shape.variants}

    def publish(self, store, variant, directory, table=None, more=()):
        """All its versions, as a table of one variant."""
        table = table or self.table(variant)
        shape = self.shape
        words = ["--key", shape.key, "--value", shape.value, "--shards", shape.shards]
        for i in range(len(self.levels)):
            store.fkv("build", table, self.write(directory, i), *VARIANTS[variant],
                      *(words if i == 0 else ["--delta"]), *more, "--publish", "--max-change", "0")


def fkv(store, *args, statuses=(0,)):
    """What fkv prints, as bytes: values may be any."""
    done = subprocess.run([FKV, *map(str, args)], env=dict(os.environ, FKV_STORE=store.url), capture_output=True, check=False, timeout=120)
    assert done.returncode in statuses, f"fkv {args}: {done.returncode} {done.stderr}"
    return done.stdout


def dump(store, table, version):
    """{key: field as printed} of fkv dump, no line twice."""
    lines = fkv(store, "dump", table, version).split(b"\n")[:-1]
    pairs = dict(line.split(b"\t", 1) for line in lines)
    assert len(pairs) == len(lines), "a key is dumped twice"
    return pairs


def asked_in_batches(lookup, how, keys, size, **fields):
    """{key: value or None} by one carrier, all from one version; a batch that does not fit is asked again in halves."""
    answers, served = {}, set()
    todo = [keys[i : i + size] for i in range(0, len(keys), size)]
    while todo:
        batch = todo.pop()
        halves = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
        if how == "inline" and 128 + len(fkvtest.pack_keys(batch)[1]) > fkvtest.INLINE_MAX:
            todo += halves
            continue
        reply = lookup.ask(how, batch, **fields)
        if reply.error == -errno.ENOSPC and len(batch) > 1:
            todo += halves
            continue
        if reply.error == -errno.ENOSPC and how == "inline":
            answers[batch[0]] = TOO_LONG
            continue
        assert not reply.error, (how, len(batch), os.strerror(-reply.error))
        served.add(reply.served)
        failed = [batch[i] for i in range(len(batch)) if reply.status(i) == fkvtest.FAILED]
        assert not failed, f"{len(failed)} keys could not be read: {failed[:3]}"
        answers.update(zip(batch, reply.values()))
    assert len(served) <= 1, served
    return answers


TOO_LONG = object()  # for an inline reply
