# SPDX-License-Identifier: Apache-2.0
"""Submitted tasks as a pipeline owner sees them: from the command to a version, or a clear reason why not."""

import json
import os
import resource
import shutil
import signal
import subprocess

import nfs_store
import pytest
from fkvtest import FKV, NOBODY, wait_until
from tasktest import (SHAPE, alive, as_json, built, grow_old, parts, recorded, show, staged, staging, submit, task_dir, wait,
                      write_rows)


@pytest.fixture(autouse=True)
def nobody_left(store):
    """What a task's process still writes when its test is over would be in the way of removing the directory."""
    yield
    wait_until(lambda: not alive(store.url), "tasks' processes have ended")


@pytest.fixture
def rows(work_dir):
    """Two files of rows."""
    return [write_rows(os.path.join(work_dir, f"{name}.tsv"), keys)
            for name, keys in (("a", range(1, 3001)), ("b", range(3001, 4001)))]


CUT = ("--piece", "40K", "--reduce-tasks", "2", "--shards", "3")
CUT_JOB = {"piece": 40 << 10, "reduce_tasks": 2, "shards": 3}


# --- the way it should go ---


def shows_the_end_of_a_long_log(store, task):
    """Whatever lies there: its end, in whole lines, and nothing that a terminal would obey."""
    name = "seal-00000-1-elsewhere-7.log"
    with open(os.path.join(task_dir(store, task), "log", name), "wb") as file:
        for i in range(90000):
            file.write(b"line %07d \xff\x1b[2J %s\n" % (i, b"x" * 50))
        length = file.tell()
    assert length > 4 << 20
    said = store.fkv("task", "logs", task).stdout
    at = said.index(f"== {name}\n")
    lines = said[at:].splitlines()
    assert "the last 4.0 MiB of 6." in lines[1] and lines[1].endswith(f"/tasks/{task}/log/{name}")
    assert lines[2].startswith("line ") and "line 0089999 ? [2J x" in said[at:] and "line 0000000" not in said
    assert "\x1b" not in said
    one = next(one for one in as_json(store, "task", "logs", task)["logs"] if one["name"] == name)
    assert one["text"].startswith("line ") and one["path"] == f"tasks/{task}/log/{name}"
    assert one["left_out"] + len(one["text"]) == length and len(one["text"]) > (4 << 20) - 100
    os.unlink(os.path.join(task_dir(store, task), "log", name))


def shows_logs_of_any_name(store, task):
    """Cleaned, as what lies in them; and each begins on a line of its own."""
    folder = os.path.join(task_dir(store, task), "log").encode()
    names = [b"map-\xc2\x9b2J\xff.log", b"map-a.log"]
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"no end of line" if name == names[0] else b"x" * (5 << 20))
    said = store.fkv("task", "logs", task).stdout
    assert "== map-  2J?.log\nno end of line\n== " in said + "== " and "\x9b" not in said
    logs = as_json(store, "task", "logs", task)["logs"]
    assert next(one for one in logs if one["name"] == "map-  2J?.log")["text"] == "no end of line"
    assert next(one for one in logs if one["name"] == "map-a.log")["path"] == f"tasks/{task}/log/map-a.log"
    for name in names:
        os.unlink(os.path.join(folder, name))


def tells_of_a_log_that_cannot_be_read(store, task):
    """And shows the others."""
    folder = os.path.join(task_dir(store, task), "log")
    before = [one["name"] for one in as_json(store, "task", "logs", task)["logs"]]
    os.mkdir(os.path.join(folder, "map-directory\x1b"))
    os.symlink("/etc/passwd", os.path.join(folder, "map-link"))
    done = store.fkv("task", "logs", task)
    assert all(f"== {name}\n" in done.stdout for name in before) and "== map-directory" not in done.stdout
    assert "log map-directory : " in done.stderr and "log map-link: " in done.stderr and "\x1b" not in done.stderr
    logs = as_json(store, "task", "logs", task)["logs"]
    assert [one["name"] for one in logs if "text" in one] == before
    assert {one["name"]: bool(one["error"]) for one in logs if "error" in one} == {"map-directory ": True, "map-link": True}
    os.rmdir(os.path.join(folder, "map-directory\x1b"))
    os.unlink(os.path.join(folder, "map-link"))


def test_a_task_gives_what_a_build_gives(store, rows):
    expected = built(store, "ads", *rows, *SHAPE, "--shards", "3")
    done = store.fkv("submit", "ads", *rows, *SHAPE, *CUT, "--task", "monday", "--wait")
    assert "submitted task monday" in done.stdout and "4,000 keys" in done.stdout and "state      sealed" in done.stdout
    assert parts(staged(store, "ads", "monday")) == expected
    wait_until(lambda: not alive("monday"), "its process has ended")
    status = show(store, "monday")
    assert status["state"] == "sealed" and status["attempt"] == 1 and status["engine"] == "local"
    assert status["n_keys"] == 4000 and status["bad_rows"] == 0 and status["shards"] == 3 and status["groups"] == 2
    assert status["pieces"] > 5 and status["workers"] == []
    for name in ("plan", "map", "reduce", "seal"):
        one = status["stages"][name]
        assert one["done"] == one["n"] and one["ended"] >= one["began"] > 0
    assert not os.path.exists(os.path.join(task_dir(store, "monday"), "runs")), "sorted runs are gone"
    assert store.fkv("task", "ls").stdout.splitlines()[1].split()[:2] == ["monday", "ads"]
    assert [one["task"] for one in as_json(store, "task", "ls")["tasks"]] == ["monday"]
    logs = as_json(store, "task", "logs", "monday")["logs"]
    stages = [one["name"].split("-")[0] for one in logs]
    assert list(dict.fromkeys(stages)) == ["plan", "map", "reduce", "seal"], "in the order in which they ran"
    assert any("rows" in one["text"] for one in logs)
    assert "== map-00000-1-" in store.fkv("task", "logs", "monday").stdout
    shows_the_end_of_a_long_log(store, "monday")
    shows_logs_of_any_name(store, "monday")
    tells_of_a_log_that_cannot_be_read(store, "monday")
    store.fkv("publish", "ads=monday", "--no-activate")


@pytest.mark.parametrize("hard", [64, None])
@pytest.mark.parametrize("command", ["build", "submit"])
def test_there_may_be_more_pieces_than_open_files(store, work_dir, command, hard):
    """Beyond the soft limit, and beyond the hard one."""
    paths = [write_rows(os.path.join(work_dir, f"{n}.tsv"), [n, 1000 + n]) for n in range(200 if hard else 48)]
    done = subprocess.run([FKV, command, "ads", *paths, *SHAPE, "--task", "many", "--memory", "64M",
                           *(["--wait"] if command == "submit" else [])],
                          env=dict(os.environ, FKV_STORE=store.url), capture_output=True, text=True, check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                                (40, hard or resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    assert done.returncode == 0, done.stderr
    with open(os.path.join(staged(store, "ads", "many"), "version.json"), encoding="utf-8") as file:
        assert sum(part["keys"] for part in json.load(file)["parts"]) == 2 * len(paths)


def test_submit_without_waiting_says_the_name_alone(store, rows):
    said = as_json(store, "submit", "ads", *rows, *SHAPE)
    assert set(said) == {"task", "attempt"} and said["attempt"] == 1
    status, shown = wait(store, said["task"])
    assert status == 0 and shown["state"] == "sealed"


def test_a_job_file_is_a_task(store, rows, work_dir):
    with open(os.path.join(work_dir, "ads.toml"), "w", encoding="utf-8") as file:
        file.write('table = "ads"\ninputs = ["*.tsv"]\npiece = "40K"\nreduce_tasks = 2\n'
                   '[schema]\nkey = "u64"\nvalue = "bytes"\nshards = 3\n')
    expected = built(store, "ads", *rows, *SHAPE, "--shards", "3")
    task = submit(store, os.path.join(work_dir, "ads.toml"))
    wait(store, task)
    assert parts(staged(store, "ads", task)) == expected
    with open(os.path.join(work_dir, "ads.json"), "w", encoding="utf-8") as file:
        json.dump({"table": "ads", "inputs": ["a.tsv", "b.tsv"], "schema": {"key": "u64", "value": "bytes", "shards": 3}}, file)
    said = as_json(store, "submit", os.path.join(work_dir, "ads.json"), "--wait", "--task", "json")
    assert said["state"] == "sealed" and parts(staged(store, "ads", "json")) == expected


JOB = """
table = "ads"
inputs = ["*.tsv"]
then = "activate"
quorum = 2
[schema]
key = "u64"
value = "bytes"
[validators]
rows_min = {min = 4000}
rows_change = {max_pct = 5}
not_finite = {max_pct = 50}
command = ["true"]
"""


def job_file(work_dir, text=JOB):
    path = os.path.join(work_dir, "ads.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def test_flags_of_what_becomes_of_it_go_before_the_job_file(store, rows, work_dir):
    store.fkv("submit", job_file(work_dir), "--engine", "none", "--task", "over", "--no-activate", "--quorum", "0", "--timeout", "3m",
              "--min-rows", "7", "--max-not-finite", "3", "--check", "false", "--memory", "1G", "--threads", "2",
              "--scratch", "/scratch", "--reason", "why")
    with open(os.path.join(task_dir(store, "over"), "job.json"), encoding="utf-8") as file:
        said = json.load(file)
    assert said["then"] == "publish" and "quorum" not in said and said["memory"] == 1 << 30 and said["threads"] == 2
    assert said["scratch"] == "/scratch" and said["reason"] == "why" and said["timeout"] == 180
    limits = said["validators"]
    assert limits["rows_min"] == {"min": 7} and limits["rows_change"] == {"max_pct": 5}
    assert limits["not_finite"] == {"max": 3} and limits["command"] == ["true", "false"]


@pytest.mark.parametrize("words", [["--format", "tsv"], ["--key", "u64"], ["--shards", "3"], ["--delta"], ["--diff-base"],
                                   ["--duplicates", "last"], ["--compress", "none"], ["--no-filter"], ["--max-bad", "1"],
                                   ["--header"], ["--key-column", "1"], ["--min-distance", "0.1"], ["--owner", "root"],
                                   ["--canary", "n1"], ["--no-wait"]])
def test_flags_that_a_task_would_pass_over_are_refused(store, rows, work_dir, words):
    done = store.fkv("submit", job_file(work_dir), *words, check=False)
    assert done.returncode == 2 and words[0] in done.stderr, done.stderr
    assert "ads.toml" in done.stderr or "fkv publish" in done.stderr
    assert as_json(store, "task", "ls")["tasks"] == []


def test_a_job_file_may_come_from_standard_input(store, rows, work_dir):
    text = JOB.replace('["*.tsv"]', json.dumps(rows)).replace('"activate"', '"stop"')
    done = subprocess.run([FKV, "submit", "-", "--task", "piped", "--wait"], input=text, env=dict(os.environ, FKV_STORE=store.url),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert show(store, "piped")["n_keys"] == 4000


def test_then_publish_makes_a_candidate(store, rows):
    task = submit(store, "ads", *rows, *SHAPE, "--then", "publish")
    _, status = wait(store, task)
    assert status["state"] == "published" and status["version"] == 1 and status["active"] is False
    assert as_json(store, "ls", "ads")["versions"][0]["state"] == "candidate"
    assert "published as version 1" in store.fkv("task", "show", task).stdout
    assert staging(store, "ads") == []


def test_then_activate_switches_a_daemon(store, daemon, rows):
    task = submit(store, "ads", *rows, *SHAPE, "--then", "activate")
    _, status = wait(store, task)
    assert status["state"] == "published" and status["active"] is True
    daemon.wait_current("ads", 1)
    assert daemon.read("ads", "current", "key", 3500).startswith(b"1:3500:")
    changed = write_rows(rows[0] + ".delta.tsv", range(10, 20), version=2)
    said = as_json(store, "submit", "ads", changed, "--delta", "--then", "activate", "--wait")
    assert said["version"] == 2 and said["delta"] is True
    daemon.wait_current("ads", 2)
    assert daemon.read("ads", "current", "key", 15).startswith(b"2:15:")
    assert daemon.read("ads", "current", "key", 21).startswith(b"1:21:")


def test_every_stage_can_be_run_by_hand_and_twice(store, rows):
    expected = built(store, "ads", *rows, *SHAPE, "--shards", "3")
    task = recorded(store, "hand", "ads", *rows, **CUT_JOB)
    store.fkv("stage", task, "plan")
    store.fkv("stage", task, "plan")
    status = show(store, task)
    assert status["state"] == "mapping"
    assert store.fkv("stage", task, "map", check=False).returncode == 2, "no index"
    done = store.fkv("stage", task, "map", "--index", status["pieces"], check=False)
    assert done.returncode == 2 and "expected a piece below" in done.stderr
    early = store.fkv("stage", task, "reduce", "--index", 0, check=False)
    assert early.returncode == 3 and "is not mapped yet" in early.stderr
    for piece in (*range(status["pieces"]), 0):
        store.fkv("stage", task, "map", "--index", piece)
    early = store.fkv("stage", task, "seal", check=False)
    assert early.returncode == 3 and "not" in early.stderr
    for group in (1, 0, 1):
        store.fkv("stage", task, "reduce", "--index", group)
    store.fkv("stage", task, "seal")
    store.fkv("stage", task, "seal")
    store.fkv("stage", task, "all")
    assert show(store, task)["state"] == "sealed"
    assert parts(staged(store, "ads", task)) == expected


# --- the ways it may go wrong ---


def fails(store, task, stage_name, *words, status=None):
    """Waits; the task has failed there, and its reason holds the words."""
    code, shown = wait(store, task, check=False)
    assert shown["state"] == "failed" and shown["failed_stage"] == stage_name, shown
    for word in words:
        assert word in shown["reason"], shown["reason"]
    assert status is None or code == status
    text = store.fkv("task", "show", task).stdout
    assert "state      failed" in text and words[0] in text and f"fkv task retry {task}" in text
    wait_until(lambda: words[0] in store.fkv("task", "logs", task).stdout, "its log says so too")
    return shown


def test_bad_rows_fail_it_and_mended_ones_are_mapped_again(store, work_dir):
    path = os.path.join(work_dir, "a.tsv")
    lines = [f"{key}\tvalue-{key}" for key in range(1, 2001)]
    lines[1500] = "not a number\tx"
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    task = submit(store, "ads", path, *SHAPE, "--piece", "4K")
    shown = fails(store, task, "map", "a.tsv:1501", status=5)
    assert shown["failed_index"] > 0
    # Tried again as it is, it fails again, in another attempt.
    store.fkv("task", "retry", task)
    shown = fails(store, task, "map", "a.tsv:1501", status=5)
    assert shown["attempt"] == 2
    lines[1500] = "1501\tvalue-1501"
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    done = store.fkv("task", "retry", task, "--wait", check=False)
    assert done.returncode == 3 and "changed since the task was planned" in done.stderr and "--remap" in done.stderr
    said = as_json(store, "task", "retry", task, "--remap", "--wait")
    assert said["state"] == "sealed" and said["attempt"] == 4 and said["n_keys"] == 2000
    assert staging(store, "ads") == [task], "the directory of the first plan is gone"
    assert parts(staged(store, "ads", task)) == built(store, "ads", path, *SHAPE)


def test_some_bad_rows_are_left_out_over_all_pieces(store, work_dir):
    path = os.path.join(work_dir, "a.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{key if key % 100 else 'bad'}\tvalue-{key}\n" for key in range(1, 1001))
    done = store.fkv("submit", "ads", path, *SHAPE, "--piece", "2K", "--max-bad", "9", "--wait", check=False)
    assert done.returncode == 5 and "10 bad rows in all" in done.stderr and "--max-bad is 9" in done.stderr
    said = as_json(store, "submit", "ads", path, *SHAPE, "--piece", "2K", "--max-bad", "10", "--wait")
    assert said["bad_rows"] == 10 and said["n_keys"] == 990
    logs = store.fkv("task", "logs", said["task"]).stdout
    assert "a.tsv:100:" in logs or "a.tsv:100" in logs


def test_duplicates_across_pieces_are_named_by_line(store, work_dir):
    path = os.path.join(work_dir, "a.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{17 if key == 1900 else key}\tv\n" for key in range(1, 2001))
    task = submit(store, "ads", path, *SHAPE, "--piece", "1K")
    fails(store, task, "reduce", "a.tsv:17", "a.tsv:1900", status=3)
    said = as_json(store, "submit", "ads", path, *SHAPE, "--piece", "1K", "--duplicates", "last", "--wait")
    assert said["duplicates"] == 1 and said["n_keys"] == 1999


def test_a_missing_input_is_said_by_name(store, work_dir, rows):
    done = store.fkv("submit", "ads", os.path.join(work_dir, "none.tsv"), *SHAPE, check=False)
    assert done.returncode == 1 and "none.tsv" in done.stderr
    assert as_json(store, "task", "ls")["tasks"] == []
    task = recorded(store, "gone", "ads", *rows)
    os.rename(rows[1], rows[1] + ".away")
    done = store.fkv("stage", task, "all", check=False)
    assert done.returncode == 1 and "b.tsv" in done.stderr
    fails(store, task, "plan", "b.tsv", status=1)
    os.rename(rows[1] + ".away", rows[1])
    assert as_json(store, "task", "retry", task, "--wait")["state"] == "sealed"


def test_an_input_that_changes_or_vanishes_after_the_plan(store, rows):
    task = recorded(store, "moving", "ads", *rows, **CUT_JOB)
    store.fkv("stage", task, "plan")
    store.fkv("stage", task, "map", "--index", 0)
    with open(rows[0], "a", encoding="utf-8") as file:
        file.write("5000\tlate\n")
    done = store.fkv("stage", task, "map", "--index", 1, check=False)
    assert done.returncode == 3 and "changed since the task was planned" in done.stderr
    assert show(store, task)["state"] == "failed" and "changed" in show(store, task)["reason"]
    os.unlink(rows[0])
    task_again = store.fkv("stage", task, "map", "--index", 1, check=False)
    assert task_again.returncode == 1 and "a.tsv" in task_again.stderr
    fails(store, task, "map", "a.tsv", status=1)


def test_a_delta_whose_base_moved_is_refused_with_the_reason(store, rows, work_dir):
    store.fkv("submit", "ads", *rows, *SHAPE, "--then", "activate", "--wait")
    tasks = []
    for i in (1, 2):
        path = write_rows(os.path.join(work_dir, f"d{i}.tsv"), range(i * 10, i * 10 + 5), version=i)
        tasks.append(recorded(store, f"delta{i}", "ads", path, delta=True, then="activate"))
        store.fkv("stage", tasks[-1], "plan")
    store.fkv("stage", tasks[0], "all")
    assert as_json(store, "ls", "ads")["current"] == 2
    done = store.fkv("stage", tasks[1], "all", check=False)
    assert done.returncode == 3 and "lies on version 1, but the newest is 2" in done.stderr
    fails(store, tasks[1], "seal", "lies on version 1, but the newest is 2", status=3)
    assert as_json(store, "ls", "ads")["current"] == 2


@pytest.mark.parametrize("is_published", [False, True])
@pytest.mark.parametrize("is_checkpoint", [False, True])
def test_a_build_that_has_the_name_of_the_checkpoint_is_left_alone(store, rows, work_dir, is_published, is_checkpoint):
    """Somebody else's, or a checkpoint of another version."""
    path = write_rows(os.path.join(work_dir, "d.tsv"), range(10, 15), version=2)
    store.fkv("submit", "ads", *rows, *SHAPE, "--then", "activate", "--wait")
    if is_checkpoint:
        store.fkv("build", "ads", path, "--delta", "--publish")
        store.fkv("checkpoint", "ads", "--task", "hourly-checkpoint")
    else:
        store.fkv("build", "ads", rows[0], "--task", "hourly-checkpoint")
    if is_published:
        store.fkv("publish", "ads=hourly-checkpoint", "--max-change", "0")
    newest = as_json(store, "ls", "ads")["current"]
    recorded(store, "hourly", "ads", path, delta=True, then="activate", checkpoint={"levels": 2})
    assert store.fkv("stage", "hourly", "all", check=False).returncode == 3
    found = f"one of version {newest - is_published}" if is_checkpoint else "another build"
    where = f"tables/ads/v/{newest}" if is_published else "tables/ads/staging/hourly-checkpoint"
    fails(store, "hourly", "seal", f"published as version {newest + 1}", f"expected a checkpoint of version {newest + 1}",
          f"found {found} in", where, "fkv checkpoint ads --publish", status=3)
    assert as_json(store, "ls", "ads")["current"] == newest + 1, "the delta, and nothing else"
    assert staging(store, "ads") == ([] if is_published else ["hourly-checkpoint"])
    # What it says helps.
    store.fkv("checkpoint", "ads", "--publish")
    assert as_json(store, "ls", "ads")["current"] == newest + 2
    # A try of the task does not take the table back to its own version.
    store.fkv("task", "retry", "hourly", "--wait")
    assert show(store, "hourly")["state"] == "published"
    with open(os.path.join(task_dir(store, "hourly"), "published.json"), encoding="utf-8") as file:
        assert json.load(file)["active"] is False
    assert as_json(store, "ls", "ads")["current"] == newest + 2


@pytest.mark.parametrize("is_sealed", [False, True])
def test_the_checkpoint_of_a_try_that_died_is_published(store, rows, work_dir, is_sealed):
    """Or it is made, when there is none."""
    path = write_rows(os.path.join(work_dir, "d.tsv"), range(10, 15), version=2)
    store.fkv("submit", "ads", *rows, *SHAPE, "--then", "activate", "--wait")
    store.fkv("build", "ads", rows[0], "--task", "hourly-checkpoint")
    recorded(store, "hourly", "ads", path, delta=True, then="activate", checkpoint={"levels": 2})
    store.fkv("stage", "hourly", "all", check=False)
    shutil.rmtree(staged(store, "ads", "hourly-checkpoint"))
    if is_sealed:
        store.fkv("checkpoint", "ads", "--task", "hourly-checkpoint")
    store.fkv("task", "retry", "hourly", "--wait")
    assert as_json(store, "ls", "ads")["current"] == 3 and staging(store, "ads") == []
    with open(os.path.join(task_dir(store, "hourly"), "published.json"), encoding="utf-8") as file:
        said = json.load(file)
    assert (said["version"], said["checkpoint"]) == (2, 3)


def test_a_delta_of_nothing_is_published(store, work_dir):
    path = os.path.join(work_dir, "v.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{key}\t{key} 0.5\n" for key in range(1, 101))
    store.fkv("submit", "ads", path, "--key", "u64", "--value", "f16[2]", "--then", "publish", "--wait")
    said = as_json(store, "submit", "ads", path, "--diff-base", "--then", "publish", "--wait")
    assert said["state"] == "published" and said["version"] == 2 and said["n_keys"] == said["n_tombstones"] == 0


def test_a_refused_build_is_built_again_from_mended_inputs(store, rows):
    store.fkv("submit", "ads", *rows, *SHAPE, "--then", "publish", "--wait")
    path = rows[1]
    task = submit(store, "ads", path, "--then", "publish")
    fails(store, task, "seal", "row change: -75.0 %", status=3)
    assert not os.path.exists(os.path.join(task_dir(store, task), "runs")), "sorted runs are gone"
    write_rows(path, range(1, 4001), version=2)
    said = as_json(store, "task", "retry", task, "--remap", "--wait")
    assert said["state"] == "published" and said["version"] == 2 and said["n_keys"] == 4000
    assert staging(store, "ads") == [], "nothing of the refused one is left"


def test_nothing_is_removed_for_an_attempt_that_may_not_begin(store, rows):
    task = submit(store, "ads", *rows, *SHAPE, "--piece", "40K")
    wait(store, task)
    os.unlink(os.path.join(task_dir(store, task), "sealed.json"))
    with open(os.path.join(task_dir(store, task), "attempt-10000.json"), "w", encoding="utf-8") as file:
        file.write("{}")
    grow_old(task_dir(store, task), 1000)
    before = sorted(os.listdir(task_dir(store, task)))
    for words in ([], ["--remap"]):
        done = store.fkv("task", "retry", task, *words, check=False)
        assert done.returncode == 3 and "expected fewer than 10000 attempts" in done.stderr, done.stderr
        assert sorted(os.listdir(task_dir(store, task))) == before and staging(store, "ads") == [task]


def test_what_is_published_is_not_mapped_again(store, daemon, rows):
    store.fkv("submit", "ads", rows[0], *SHAPE, "--then", "activate", "--wait")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        task = submit(store, "ads", *rows, "--then", "activate", "--max-change", "0", "--timeout", "1s")
        fails(store, task, "seal", "published as version 2", status=4)
        done = store.fkv("task", "retry", task, "--remap", check=False)
        assert done.returncode == 3 and "is published as version 2 already" in done.stderr
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    said = as_json(store, "task", "retry", task, "--wait")
    assert said["state"] == "published" and said["version"] == 2 and said["active"]


def test_two_full_tasks_on_one_table_make_two_versions(store, rows):
    tasks = [submit(store, "ads", path, *SHAPE, "--then", "publish", "--max-change", "0") for path in rows]
    versions = {wait(store, task)[1]["version"] for task in tasks}
    assert len(versions) == 2  # not always 1 and 2: of two who publish at once, one may give up its number


def test_a_submitter_killed_before_the_first_attempt_leaves_a_task_to_retry(store, rows):
    task = recorded(store, "early", "ads", *rows)
    status = show(store, task)
    assert status["state"] == "queued" and status["attempt"] == 0 and status["engine"] == "local"
    assert "queued" in store.fkv("task", "ls").stdout
    said = as_json(store, "task", "retry", task, "--wait")
    assert said["state"] == "sealed" and said["attempt"] == 1


def test_the_task_outlives_its_submitter(store, rows):
    process = subprocess.Popen([FKV, "submit", "ads", *rows, *SHAPE, "--task", "orphan", "--wait"],
                               env=dict(os.environ, FKV_STORE=store.url), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    wait_until(lambda: os.path.exists(os.path.join(task_dir(store, "orphan"), "attempt-1.json")), "it is recorded")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    if not alive("orphan") and show(store, "orphan")["state"] == "queued":
        store.fkv("task", "retry", "orphan", check=False)  # killed before the engine's process was
    assert wait(store, "orphan")[1]["state"] == "sealed"


def test_a_dead_process_is_noticed(store, rows):
    task = recorded(store, "dead", "ads", *rows, **CUT_JOB)
    store.fkv("stage", task, "plan")
    grow_old(task_dir(store, task), 60)
    done = store.fkv("task", "wait", task, check=False)
    assert done.returncode == 6 and "fkv task retry dead" in done.stderr
    assert show(store, task)["stalled"] is True
    assert "silent" in store.fkv("task", "show", task).stdout
    assert as_json(store, "task", "retry", task, "--wait")["state"] == "sealed"


def test_waiting_has_an_end(store, rows):
    task = recorded(store, "slow", "ads", *rows)
    done = store.fkv("task", "wait", task, "--timeout", "300ms", check=False)
    assert done.returncode == 4 and "it goes on" in done.stderr


@pytest.mark.parametrize("words,status,text", [
    (["task"], 2, "expected ls"),
    (["task", "dance", "x"], 2, "expected ls"),
    (["task", "show"], 2, "expected a task"),
    (["task", "show", "none"], 1, "no task none"),
    (["task", "wait", "none"], 1, "no task none"),
    (["task", "cancel", "none"], 1, "no task none"),
    (["task", "retry", "none"], 1, "no task none"),
    (["task", "logs", "../x"], 2, ""),
    (["stage", "none", "all"], 1, "no task none"),
    (["submit", "ads"], 2, "job file"),
    (["submit", "none.toml"], 1, "none.toml"),
    (["submit", "ads", "/etc/passwd", "--engine", "cray"], 2, "expected local, slurm or none"),
    (["submit", "none.toml", "more.tsv"], 2, "names its inputs itself"),
    (["submit", "none.toml", "--sql", "SELECT 1"], 2, "--sql does not go beside a job file"),
    (["submit", "ads", "/etc/passwd", "--then", "stop", "--publish"], 2, "--publish"),
    (["submit", "ads", "/etc/passwd", "--publish", "--canary", "n1"], 2, "--canary"),
    (["submit", "ads", "nfs://filer/export/x.parquet", *SHAPE], 2, "mount"),
    (["submit", "ads", "/etc/passwd", "--then", "dance"], 2, "expected stop, publish or activate"),
])
def test_wrong_words_are_named(store, words, status, text):
    done = store.fkv(*words, check=False)
    assert done.returncode == status and text in done.stderr, done.stderr


def test_a_name_is_taken_once(store, rows):
    store.fkv("submit", "ads", *rows, *SHAPE, "--task", "monday", "--wait")
    done = store.fkv("submit", "ads", *rows, *SHAPE, "--task", "monday", check=False)
    assert done.returncode == 3 and "is there already" in done.stderr
    done = store.fkv("task", "retry", "monday", check=False)
    assert done.returncode == 3 and "nothing to try again" in done.stderr
    done = store.fkv("task", "cancel", "monday", check=False)
    assert done.returncode == 3 and "nothing to cancel" in done.stderr
    assert parts(staged(store, "ads", "monday"))


# --- giving up ---


def test_cancelled_in_the_middle_leaves_no_staging(store, work_dir):
    path = write_rows(os.path.join(work_dir, "big.tsv"), range(1, 60001), length=200)
    task = submit(store, "ads", path, *SHAPE, "--piece", "512K", "--threads", "2")
    wait_until(lambda: show(store, task)["stages"]["map"]["done"] > 1, "it is under way")
    said = as_json(store, "task", "cancel", task)
    assert said == {"task": task, "state": "cancelled"}
    wait_until(lambda: not alive(task), "its process has stopped")
    assert staging(store, "ads") == []
    code, status = wait(store, task, check=False)
    assert code == 3 and status["state"] == "cancelled"
    assert not os.path.exists(os.path.join(task_dir(store, task), "runs"))
    assert store.fkv("stage", task, "all", check=False).returncode == 3
    done = store.fkv("task", "retry", task, check=False)
    assert done.returncode == 3 and "submit a new one" in done.stderr


@pytest.mark.parametrize("how", ["cancel", "signal"])
def test_a_check_ends_with_its_task(store, rows, work_dir, how):
    mark = os.path.join(work_dir, "pid")
    task = submit(store, "ads", *rows, *SHAPE, "--then", "publish", "--check", f"echo $$ >{mark}.new; mv {mark}.new {mark}; exec sleep 600")
    wait_until(lambda: os.path.exists(mark), "its check runs")
    with open(mark, encoding="utf-8") as file:
        check = int(file.read())
    if how == "cancel":
        assert as_json(store, "task", "cancel", task)["state"] == "cancelled"
    else:
        for pid in alive(task):
            os.kill(int(pid), signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{check}"), "the check is killed")
    wait_until(lambda: not alive(task), "its process has stopped")
    assert "no table ads" in store.fkv("ls", "ads", check=False).stderr
    if how == "cancel":
        assert staging(store, "ads") == []


def test_cancelled_while_it_waits_for_nodes_never_switches(store, daemon, rows):
    store.fkv("submit", "ads", rows[0], *SHAPE, "--then", "activate", "--wait")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        task = submit(store, "ads", *rows, "--then", "activate", "--max-change", "0")
        wait_until(lambda: len(as_json(store, "ls", "ads")["versions"]) == 2, "it is published")
        said = as_json(store, "task", "cancel", task)
        assert said["state"] == "cancelled" and said["version"] == 2
        wait_until(lambda: not alive(task), "its process has stopped")
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    assert show(store, task)["state"] == "cancelled"
    assert as_json(store, "ls", "ads")["current"] == 1


# --- rights and other stores ---


def test_an_author_without_rights_is_told(store, rows, work_dir):
    for path in rows:
        os.chmod(path, 0o644)

    def as_nobody(*words):
        return subprocess.run([FKV, *words], env=dict(os.environ, FKV_STORE=store.url), capture_output=True, text=True,
                              timeout=30, check=False, user=NOBODY, group=NOBODY, extra_groups=[])

    done = as_nobody("submit", "ads", *rows, *SHAPE)
    assert done.returncode == 3 and "ermission denied" in done.stderr
    assert as_json(store, "task", "ls")["tasks"] == []
    # May record tasks, but not build: the task says so.
    os.chmod(os.path.join(store.path, "tasks"), 0o1777)
    done = as_nobody("submit", "ads", *rows, *SHAPE, "--wait")
    assert done.returncode == 3 and "ermission denied" in done.stderr
    task, = [one["task"] for one in as_json(store, "task", "ls")["tasks"]]
    status = show(store, task)
    assert status["state"] == "failed" and "ermission denied" in status["reason"]
    # Whoever may goes on with it.
    assert as_json(store, "task", "retry", task, "--wait")["state"] == "sealed"


@pytest.mark.parametrize("version", [3, 4])
def test_a_store_on_nfs(work_dir, version):
    rows = write_rows(os.path.join(work_dir, "a.tsv"), range(1, 2001))
    store = nfs_store.NfsStore(work_dir, version)
    try:
        expected = built(store, "ads", rows, *SHAPE, "--shards", "3")
        said = as_json(store, "submit", "ads", rows, *SHAPE, *CUT, "--then", "publish", "--wait")
        assert said["state"] == "published"
        assert parts(os.path.join(store.path, "tables", "ads", "v", "1")) == expected
    finally:
        store.end()


# --- gc ---

DAY = 86400


def test_gc_leaves_tasks_that_can_go_on(store, rows):
    task = recorded(store, "paused", "ads", *rows, **CUT_JOB)
    store.fkv("stage", task, "plan")
    store.fkv("stage", task, "map", "--index", 0)
    work, = staging(store, "ads")
    grow_old(os.path.join(store.path, "tables", "ads", "staging"), 2 * DAY)
    os.makedirs(os.path.join(store.path, "tables", "ads", "staging", ".work-nobody-0123456789abcdef", "parts"))
    grow_old(os.path.join(store.path, "tables", "ads", "staging"), 2 * DAY)
    assert as_json(store, "gc")["builds"] == 1, "that of no task"
    assert staging(store, "ads") == [work]
    store.fkv("stage", task, "all")
    assert show(store, task)["state"] == "sealed"


def test_gc_takes_tasks_that_nobody_touched(store, rows):
    ended = submit(store, "ads", *rows, *SHAPE, "--then", "publish", "--task", "ended")
    wait(store, ended)
    never = recorded(store, "never", "ads", *rows, **CUT_JOB)
    store.fkv("stage", never, "plan")
    os.makedirs(os.path.join(task_dir(store, "stillborn"), "work"))
    done = as_json(store, "gc")
    assert done["tasks"] == 0 and done["builds"] == 0
    grow_old(os.path.join(store.path, "tasks"), 2 * DAY)
    assert as_json(store, "gc")["tasks"] == 1, "the one without job.json"
    grow_old(os.path.join(store.path, "tasks"), 8 * DAY)
    grow_old(os.path.join(store.path, "tables", "ads", "staging"), 8 * DAY)
    plan = store.fkv("gc", "--dry-run").stdout
    assert "would remove tasks/ended" in plan and "would remove tasks/never" in plan
    done = as_json(store, "gc")
    assert done["tasks"] == 2 and done["builds"] == 1
    assert os.listdir(os.path.join(store.path, "tasks")) == [] and staging(store, "ads") == []
    assert as_json(store, "verify")["bad"] == 0
