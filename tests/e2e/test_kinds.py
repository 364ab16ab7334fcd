# SPDX-License-Identifier: Apache-2.0
"""One set of random rows as mem, blk and idx, plain and compressed: the same answers key by key, whoever asks and however."""

import errno
import json
import os
import random
import re
import shutil

import fkvtest
import kinds
import pytest
from conftest import _make_dir
from fkvtest import FORM_F32, Lookup
from kinds import SHAPES, TOO_LONG, Chain, asked_in_batches
from test_client import Probe

SIZES = (1, 2, 37, 3900)


class Served(Chain):
    """A chain published as all its variants, and a daemon that serves them."""

    def __init__(self, shape, directory):
        super().__init__(shape)
        self.directory = directory
        self.store = fkvtest.Store(os.path.join(directory, "store"))
        self.daemon = fkvtest.Daemon(self.store, os.path.join(directory, "n1"), "--keep", "5", "--block-cache", "2M")

    def start(self):
        for variant in self.shape.variants:
            self.publish(self.store, variant, self.directory)
        self.daemon.start()
        last = len(self.versions)
        for table in self.tables().values():
            self.daemon.wait_current(table, last)
            fkvtest.wait_until(lambda t=table: os.path.exists(self.daemon.path(t, "v", last - 1, "batch")), "the one before is there too")
        return self

    def lookup(self, variant, version):
        return Lookup(self.daemon.path(self.table(variant), "v", version, "batch"))

    def loaded(self):
        """Versions that are loaded: the last one, and the one before."""
        return (len(self.versions), len(self.versions) - 1)


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(f"kinds-{name}")) for name in SHAPES])
def served(request):
    path = _make_dir()
    made = Served(SHAPES[request.param], path)
    try:
        yield made.start()
    finally:
        made.daemon.clean()
        shutil.rmtree(path, ignore_errors=True)


def check(answers, truth, known, what):
    """known: what mem answered; the truth where it can be told without the codec."""
    for key, value in answers.items():
        if value is TOO_LONG:
            continue
        true = truth.get(key)
        assert (value is None) == (true is None), (what, key, value and value[:20])
        assert value == known[key], (what, key, value and value[:20], known[key] and known[key][:20])


@pytest.mark.parametrize("how", ["shared", "message", "inline"])
def test_the_same_answers_key_by_key(served, how):
    """Every key of every version, those deleted and those never there, in batches of several sizes, in any order and twice."""
    rng = random.Random(how)
    for version in served.loaded():
        truth = served.versions[version - 1]
        keys = served.keys()
        known = {key: kinds.stored(served.shape, truth[key]) if key in truth else None for key in keys}
        for variant in served.shape.variants:
            with served.lookup(variant, version) as lookup:
                if how == "shared":
                    lookup.attach(32 << 20)
                some = rng.sample(keys, min(len(keys), 400))
                for size, asked in ((3900, keys), (3900, rng.sample(keys, len(keys))), (37, some), (2, some[:60]), (1, some[:60]),
                                    (1000, [*some, *some])):
                    answers = asked_in_batches(lookup, how, asked, size)
                    assert set(answers) == set(asked)
                    if None in [known[key] for key in truth]:  # a vector that is not f32: mem's word for it
                        assert variant == "mem" and asked is keys
                        known = answers
                    check(answers, truth, known, (variant, version, how, size))


@pytest.mark.parametrize("how", ["shared", "message"])
def test_the_same_as_floats(served, how):
    if served.shape.elem == "bytes":  # refused by all
        for variant in served.shape.variants:
            with served.lookup(variant, len(served.versions)) as lookup:
                if how == "shared":
                    lookup.attach()
                assert lookup.ask(how, served.never[:1], flags=FORM_F32).error == -errno.ENOTSUP, variant
        return
    for version in served.loaded():
        truth, known = served.versions[version - 1], None
        for variant in served.shape.variants:
            with served.lookup(variant, version) as lookup:
                if how == "shared":
                    lookup.attach(32 << 20)
                answers = asked_in_batches(lookup, how, served.keys(), 3900, flags=FORM_F32)
                known = known or answers
                check(answers, truth, known, (variant, version, how))


def test_the_same_values_by_libfkv(served):
    keys = random.Random(5).sample(served.keys(), 100)
    truth = served.versions[-1]
    answers = {}
    for variant in served.shape.variants:
        with Probe(served.daemon.path(served.table(variant))) as probe:
            words = keys if served.shape.key == "u64" else [key.hex() for key in keys]
            got = list(probe.get("u64" if served.shape.key == "u64" else "bytes", *words).values())
            assert probe.transport == "shared" and probe.version == len(served.versions)
            assert [value is not None for value in got] == [key in truth for key in keys], variant
            answers[variant] = got
    for variant, got in answers.items():
        assert got == answers["mem"], variant


def test_the_same_key_files(served):
    rng = random.Random(4)
    for version in served.loaded():
        truth = served.versions[version - 1]
        keys = rng.sample(served.keys(), 60) + [key for key, value in truth.items() if len(value) > 100_000][:3]
        for key in keys:
            found = {}
            for variant in served.shape.variants:
                path = served.daemon.path(served.table(variant), "v", version, "key", kinds.file_name(key))
                try:
                    with open(path, "rb") as file:
                        found[variant] = file.read()
                    assert os.stat(path).st_size == len(found[variant])
                except FileNotFoundError:
                    found[variant] = None
            assert (found["mem"] is None) == (key not in truth), (key, version)
            assert all(value == found["mem"] for value in found.values()), (key, version)
            if isinstance(truth.get(key), bytes):
                assert found["mem"] == truth[key]


def printable(key):
    return isinstance(key, int) or re.fullmatch(rb"[a-zA-Z0-9/]+", key)


def test_the_same_by_fkv_get(served):
    keys = [key for key in served.keys() if printable(key) and len(served.versions[-1].get(key, b"")) < 1000]
    keys = random.Random(3).sample(keys, min(len(keys), 40))
    words = [key if isinstance(key, int) else key.decode() for key in keys]
    for how in (["--direct"], ["--mount", served.daemon.mount], ["--direct", "--version", "1"]):
        printed = {}
        for variant in served.shape.variants:
            printed[variant] = kinds.fkv(served.store, "get", served.table(variant), *words, *how, statuses=(0, 1))
        truth = served.versions[0 if "1" in how else -1]
        found = {line.split(b"\t")[0] for line in printed["mem"].split(b"\n") if b"\t" in line}
        assert found >= {str(word).encode() for word, key in zip(words, keys) if key in truth}
        for variant, text in printed.items():
            assert text == printed["mem"], (variant, how)


def test_the_same_by_fkv_dump(served):
    for version in (1, len(served.versions)):
        known = kinds.dump(served.store, served.table("mem"), version)
        assert len(known) == len(served.versions[version - 1])
        for variant in served.shape.variants[1:]:
            assert kinds.dump(served.store, served.table(variant), version) == known, (variant, version)


def sorted_lists(document):
    if isinstance(document, dict):
        return {name: sorted_lists(value) for name, value in document.items() if name != "table"}
    return sorted(document, key=str) if isinstance(document, list) else document


def test_the_same_by_fkv_diff_and_verify(served):
    one, last = served.versions[0], served.versions[-1]
    known = None
    for variant in served.shape.variants:
        table = served.table(variant)
        found = sorted_lists(json.loads(served.store.fkv("diff", table, 1, len(served.versions), "--keys", "--json").stdout))
        known = known or found
        assert found == known, variant
        assert served.store.fkv("verify", table).returncode == 0
    assert known["added"] == len(last.keys() - one.keys()) and known["removed"] == len(one.keys() - last.keys())


def test_memory_is_what_the_kind_promises(served):
    """The daemon's own account: a disk table's memory has no values in it."""
    tables = {table["name"]: table for table in served.daemon.status()["node"]["tables"]}
    memory = {}
    for variant in served.shape.variants:
        versions = tables[served.table(variant)]["versions"]
        memory[variant] = max(version.get("memory", 0) for version in versions)
    for variant in served.shape.variants[1:]:
        if served.shape.name in ("u64-fixed-4k", "u64-varying", "bytes-f16-wide"):
            assert 0 < memory[variant] < memory["mem"] / 2, memory
