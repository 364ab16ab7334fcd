# SPDX-License-Identifier: Apache-2.0
"""kill -9 at any moment of a task, again and again until it is done: the bytes are those of a build that nobody disturbed.

FKV_LONG=1 kills 200 times and prints how often in each stage.
"""

import json
import os
import random
import signal
import time

import fkvtest
import pytest
from tasktest import SHAPE, as_json, built, parts, recorded, show, stage, staging, task_dir, write_rows

N_KILLS = 200 if fkvtest.LONG else 12
STAGES = ("plan", "map", "reduce", "seal", "publish")
SHAPE_OF = (*SHAPE, "--kind", "blk", "--duplicates", "last", "--shards", "3")


@pytest.fixture
def inputs(work_dir):
    """Rows with line ends in quotes, so that borders are guessed wrongly and mended, and keys that the other file has too."""
    quoted = os.path.join(work_dir, "a.csv")
    with open(quoted, "w", encoding="utf-8") as file:
        for key in range(1, 3001):
            file.write(f'{key},"first {key}\n{key + 1},looks like a row\n{key},""so does this""\n{"x" * (key % 90)}"\n')
    return [quoted, write_rows(os.path.join(work_dir, "b.tsv"), range(2901, 5001), length=100)]


def under_way(store, task):
    """The stage that is not over yet, by what lies in the task's directory; None when all is done."""
    names = os.listdir(task_dir(store, task))
    if "published.json" in names:
        return None
    if "sealed.json" in names:
        return "publish"
    if "shape.json" in names:
        with open(os.path.join(task_dir(store, task), "shape.json"), encoding="utf-8") as file:
            n_shards = json.load(file)["shards"]
        return "seal" if sum(name.startswith("reduce-") for name in names) >= n_shards else "reduce"
    if "plan.json" not in names:
        return "plan"
    with open(os.path.join(task_dir(store, task), "plan.json"), encoding="utf-8") as file:
        n_pieces = len(json.load(file)["pieces"])
    return "reduce" if sum(name.startswith("map-") for name in names) >= n_pieces else "map"


def record(store, name, inputs):
    return recorded(store, name, name, *inputs, kind="blk", duplicates="last", shards=3, piece=12 << 10, reduce_tasks=2,
                    threads=2, then="publish")


def lengths(store, task):
    """Runs it undisturbed; {stage: seconds}."""
    took, now, began = {}, None, time.monotonic()
    process = stage(store, task, "all")
    while process.poll() is None:
        is_at = under_way(store, task)
        if is_at != now:
            took[now], now, began = time.monotonic() - began, is_at, time.monotonic()
        time.sleep(0.001)
    assert process.returncode == 0, process.communicate()
    process.communicate()
    return {name: took.get(name, 0.02) for name in STAGES}


def kill_once(store, task, target, seconds):
    """Runs it and kills it some time after the target stage began; the stage it died in, None when it was faster."""
    process = stage(store, task, "all")
    while process.poll() is None and STAGES.index(under_way(store, task) or STAGES[-1]) < STAGES.index(target):
        time.sleep(0.001)
    time.sleep(seconds)
    if process.poll() is None:
        process.kill()
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors
    return under_way(store, task) if process.returncode else None


@pytest.mark.slow
def test_killed_at_any_moment_it_gives_the_same_bytes(store, inputs):
    seed = int(os.environ.get("FKV_SEED", time.time()))
    rng = random.Random(seed)
    print(f"FKV_SEED={seed}")
    expected = built(store, "reference", *inputs, *SHAPE_OF)
    took = lengths(store, record(store, "t0", inputs))
    assert parts(os.path.join(store.path, "tables", "t0", "v", "1")) == expected
    kills, n_tasks = dict.fromkeys(STAGES, 0), 0
    while sum(kills.values()) < N_KILLS or not all(kills.values()):
        assert n_tasks < 2 * N_KILLS, f"stages that were never hit: {kills}"
        n_tasks += 1
        task = record(store, f"t{n_tasks}", inputs)
        for target in STAGES:
            died_in = kill_once(store, task, target, rng.uniform(0, took[target]))
            if died_in:
                kills[died_in] += 1
            # A short stage of a busy machine is over before the blow falls: then it must fall sooner.
            took[target] *= 1.1 if died_in == target else 0.6
        process = stage(store, task, "all")
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        # Published once, whole, with nothing left beside it.
        assert show(store, task)["state"] == "published"
        assert [v["version"] for v in as_json(store, "ls", task)["versions"]] == [1]
        folder = os.path.join(store.path, "tables", task, "v", "1", "parts")
        left = [name for name in os.listdir(folder) if name.startswith(".tmp-")]
        assert not left, f"temporary files of dead workers in a version: {left}"
        assert parts(os.path.join(store.path, "tables", task, "v", "1")) == expected, f"{task}: other bytes"
        # What dead planners had made is a directory of nobody's, which gc takes.
        assert all(name.startswith(f".work-{task}-") for name in staging(store, task))
    print(f"{sum(kills.values())} kills of {n_tasks} tasks: " + ", ".join(f"{name} {n}" for name, n in kills.items()))
    as_json(store, "gc", "--staging-age", "0", "--sealed-age", "0")
    assert all(staging(store, f"t{i}") == [] for i in range(n_tasks + 1))
