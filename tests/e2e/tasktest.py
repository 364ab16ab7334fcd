# SPDX-License-Identifier: Apache-2.0
"""What tests of submitted tasks stand on: inputs, tasks as a pipeline owner sees them, and what was built."""

import hashlib
import json
import os
import subprocess
import time

from fkvtest import FKV

SHAPE = ("--key", "u64", "--value", "bytes")
FINAL = ("sealed", "published", "failed", "cancelled")


def write_rows(path, keys, version=1, length=60):
    """A TSV file whose values depend on key and version."""
    with open(path, "w", encoding="utf-8") as file:
        for key in keys:
            file.write(f"{key}\t{f'{version}:{key}:{key * 2654435761 % (1 << 32):08x};' * (1 + length // 20)}\n")
    return path


def as_json(store, *args, check=True):
    done = store.fkv(*args, "--json", check=check)
    return json.loads(done.stdout)


def show(store, task):
    return as_json(store, "task", "show", task)


def submit(store, *args):
    """The task's name."""
    return as_json(store, "submit", *args)["task"]


def wait(store, task, check=True):
    """Until it is over; (exit status, what show says)."""
    done = store.fkv("task", "wait", task, "--json", check=False)
    status = json.loads(done.stdout)
    assert status["state"] in FINAL, done.stderr
    if check:
        assert done.returncode == 0, done.stderr
    return done.returncode, status


def parts(directory):
    """{name: digest} of the parts of a build or version."""
    found = {}
    folder = os.path.join(directory, "parts")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = hashlib.sha256(file.read()).hexdigest()
    return found


def staged(store, table, task):
    return os.path.join(store.path, "tables", table, "staging", task)


def staging(store, table):
    """Names in the staging directory of a table."""
    folder = os.path.join(store.path, "tables", table, "staging")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def built(store, table, *words):
    """The parts of what `fkv build` makes of the same words."""
    store.fkv("build", table, *words, "--task", "reference")
    return parts(staged(store, table, "reference"))


def task_dir(store, task):
    return os.path.join(store.path, "tasks", task)


def stage(store, task, *args):
    """`fkv stage` as a process of the test's own."""
    return subprocess.Popen([FKV, "stage", task, *map(str, args)], env=dict(os.environ, FKV_STORE=store.url),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _words_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def alive(word):
    """Processes of the local engine that have this word in their command: a task's name, or a store's URL."""
    return [pid for pid in os.listdir("/proc")
            if pid.isdigit() and {b"stage", word.encode()} <= {part.removeprefix(b"file://") for part in _words_of(pid)}]


def recorded(store, name, table, *inputs, shards=None, kind=None, **members):
    """A task that nobody runs: its submitter died as soon as it was on the store. The test runs its stages."""
    schema = {} if members.get("delta") else {"key": "u64", "value": "bytes"}
    if shards:
        schema["shards"] = shards
    if kind:
        schema["kind"] = kind
    job = {"table": table, "task": name, "inputs": list(inputs), "schema": schema, **members}
    for folder in ("work", "log", "runs"):
        os.makedirs(os.path.join(task_dir(store, name), folder))
    with open(os.path.join(task_dir(store, name), "job.json"), "w", encoding="utf-8") as file:
        json.dump(job, file)
    return name


def grow_old(path, seconds):
    """As if nobody had touched a tree for so long."""
    then = time.time() - seconds
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            os.utime(os.path.join(folder, name), (then, then), follow_symlinks=False)
        os.utime(folder, (then, then))
