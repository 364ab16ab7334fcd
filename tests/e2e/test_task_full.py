# SPDX-License-Identifier: Apache-2.0
"""A store without room in each stage of a task: it fails and says so, and goes on when there is room."""

import json
import os

import fkvtest
import pytest
from disktest import PAGE, LoopDisk
from tasktest import SHAPE, built, parts, recorded, show, staged, task_dir, write_rows


@pytest.fixture
def disk(work_dir):
    made = LoopDisk(work_dir, 48)
    yield made
    made.end()


@pytest.fixture
def full_store(disk):
    return fkvtest.Store(os.path.join(disk.path, "store"))


def run_until(store, task, stage):
    """All stages before that one."""
    for name, count in (("plan", None), ("map", "pieces"), ("reduce", "groups"), ("seal", None)):
        if name == stage:
            return
        for index in range(show(store, task)[count]) if count else (0,):
            store.fkv("stage", task, name, "--index", index)


def run_stage(store, task, stage):
    words = ["--index", "0"] if stage in ("map", "reduce") else []
    return store.fkv("stage", task, stage, *words, check=False)


def publish_when_sealed(store, task):
    """As if it had been submitted with --then publish."""
    path = os.path.join(task_dir(store, task), "{}.json")
    for name in ("job", "plan"):
        with open(path.format(name), encoding="utf-8") as file:
            document = json.load(file)
        (document if name == "job" else document["job"])["then"] = "publish"
        with open(path.format(name), "w", encoding="utf-8") as file:
            json.dump(document, file)


# Room for marks and what is told, but not for the work.
LEAVE = {"plan": 3, "map": 40, "reduce": 40, "seal": 3, "publish": 3}


@pytest.mark.parametrize("stage", LEAVE)
def test_without_room_it_fails_and_goes_on_later(full_store, disk, work_dir, stage):
    rows = write_rows(os.path.join(work_dir, "a.tsv"), range(1, 8001))
    expected = built(full_store, "ads", rows, *SHAPE, "--shards", "2")
    task = recorded(full_store, "tight", "ads", rows, piece=400 << 10, reduce_tasks=2, shards=2)
    run_until(full_store, task, stage)
    if stage == "publish":
        publish_when_sealed(full_store, task)
    ballast = disk.fill(leave=LEAVE[stage] * PAGE)
    done = run_stage(full_store, task, "seal" if stage == "publish" else stage)
    assert done.returncode == 3 and "No space left" in done.stderr, done.stderr
    status = show(full_store, task)
    assert status["state"] == "failed" and "No space left" in status["reason"], status
    assert status["failed_stage"] == ("seal" if stage == "publish" else stage)
    os.unlink(ballast)
    full_store.fkv("task", "retry", task, "--wait")
    assert show(full_store, task)["state"] == ("published" if stage == "publish" else "sealed")
    made = os.path.join(full_store.path, "tables", "ads", "v", "1") if stage == "publish" else staged(full_store, "ads", task)
    assert parts(made) == expected
