# SPDX-License-Identifier: Apache-2.0
"""Tasks on a real Slurm, for tests: a store of their own, workers that can be stopped in the middle, and what became of them.

    farm = Farm(work_dir, cluster)
    farm.stop_next("map")                      # the next map worker stands still once it has begun
    farm.submit("a", inputs, "mem")
    index, pid, node = farm.wait_stopped("map")
    farm.go_on(); farm.wait("a"); farm.parts("a")

Workers run through a script in place of fkv, which job files may name.
"""

import hashlib
import json
import os
import signal
import subprocess

import fkvtest
from fkvtest import wait_until

# Called as: fkv --store URL stage TASK STAGE [--offset N] [--again]
WORKER = """#!/bin/sh
stage=$5
index=$((${SLURM_ARRAY_TASK_ID:-0} + 0))
[ "$6" != --offset ] || index=$((index + $7))
echo "$4 $stage $index $SLURMD_NODENAME" >>DIR/events
for gate in DIR/fail-$stage DIR/fail-$stage-$index; do
    if rm "$gate" 2>/dev/null; then exit 6; fi
done
is_to_stop() { [ -e "DIR/stop-$stage" ] || [ -e "DIR/stop-$stage-$SLURMD_NODENAME" ]; }
is_to_stop || exec FKV "$@"
FKV "$@" &
pid=$!
while [ ! -e "DIR/store/tasks/$4/work/$stage-$index.json" ] && kill -0 $pid; do sleep 0.005; done
if kill -STOP $pid; then
    echo "$index $pid $SLURMD_NODENAME" >"DIR/new-$pid" && mv "DIR/new-$pid" "DIR/stopped-$stage-$pid"
    is_to_stop || kill -CONT $pid
fi
wait $pid
"""


def digests(directory):
    """{name: digest} of a build's parts; the names are digests too."""
    found = {}
    for name in sorted(os.listdir(os.path.join(directory, "parts"))):
        with open(os.path.join(directory, "parts", name), "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else \
                hashlib.sha256(file.read()).hexdigest()
    assert found
    return found


class Farm:
    """A store, and the cluster whose nodes work for it."""

    def __init__(self, directory, cluster, url=None):
        self.dir, self.cluster = str(directory), cluster
        self.store = os.path.join(self.dir, "store")
        self.url = url or self.store
        self.env = dict(cluster.env, FKV_STORE=self.url)
        self.worker = os.path.join(self.dir, "worker")
        with open(self.worker, "w", encoding="utf-8") as file:
            file.write(WORKER.replace("DIR", self.dir).replace("FKV", fkvtest.FKV))
        os.chmod(self.worker, 0o755)
        self.fkv("init", self.url)

    def fkv(self, *args, check=True, user=None, timeout=120):
        switch = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        done = subprocess.run([*switch, fkvtest.FKV, *map(str, args)], env=self.env, capture_output=True, text=True,
                              check=False, timeout=timeout, stdin=subprocess.DEVNULL, cwd="/")
        if check:
            assert done.returncode == 0, f"fkv {args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def job(self, task, data, **members):
        """A job file; members replace what it says of itself."""
        job = {"table": "t", "task": task, "inputs": [data.path], "schema": dict(data.schema), "memory": "64M", "piece": data.piece,
               "reduce_tasks": 4, "engine": "slurm", "slurm": {"fkv": self.worker}}
        job.update(members)
        path = os.path.join(self.dir, f"{task}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(job, file)
        return path

    def submit(self, task, data, *words, check=True, user=None, **members):
        return self.fkv("submit", self.job(task, data, **members), *words, check=check, user=user)

    def show(self, task):
        return json.loads(self.fkv("task", "show", task, "--json").stdout)

    def state(self, task):
        return self.show(task)["state"]

    def wait(self, task, state="sealed", timeout=100):
        """Until it is over; returns what fkv task show says."""
        done = self.fkv("task", "wait", task, "--timeout", f"{timeout}s", check=False)
        shown = self.show(task)
        assert shown["state"] == state, f"{done.stderr}{self.fkv('task', 'show', task).stdout}{self.logs(task)}{self.queue(task)}"
        return shown

    def logs(self, task):
        return self.fkv("task", "logs", task).stdout

    def parts(self, task, table="t"):
        return digests(os.path.join(self.store, "tables", table, "staging", task))

    # --- Documents of a task ---

    def path(self, task, *names):
        return os.path.join(self.store, "tasks", task, *names)

    def markers(self, task, stage):
        """{name: text}; those of a finished step never change."""
        texts = {}
        for name in os.listdir(self.path(task)):
            if name.startswith(f"{stage}-"):
                with open(self.path(task, name), encoding="utf-8") as file:
                    texts[name] = file.read()
        return texts

    def failures(self, task):
        return [name for name in os.listdir(self.path(task)) if name.startswith("failed-")]

    def jobs(self, task, attempt=1):
        """Numbers of the plan stage's job and of the rest, in order."""
        numbers = []
        for what in ("plan", "rest"):
            path = self.path(task, f"slurm-{attempt}-{what}.json")
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    numbers += json.load(file)["jobs"]
        return numbers

    def queue(self, task):
        """{element: (name, state, reason)} of what Slurm has of a task and has not ended."""
        done = self.cluster.ask("squeue", "--noheader", "--array", "--format=%i|%j|%T|%r")
        rows = (line.strip().split("|") for line in done.stdout.splitlines())
        return {i: (name, state, reason) for i, name, state, reason in rows
                if name.startswith(f"fkv-{task}-") and state not in ("COMPLETING", "COMPLETED")}

    # --- Workers ---

    def touch(self, name):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8"):
            pass

    def stop_next(self, stage, node=None):
        """Workers of a stage, perhaps on one node only, stand still once they have begun; until go_on()."""
        self.touch(f"stop-{stage}" + (f"-{node}" if node else ""))

    def fail_next(self, stage):
        """The next worker of the stage ends with status 6, as when it cannot reach the store."""
        self.touch(f"fail-{stage}")

    def stopped(self, stage):
        found = []
        for name in sorted(os.listdir(self.dir)):
            if name.startswith(f"stopped-{stage}-"):
                with open(os.path.join(self.dir, name), encoding="utf-8") as file:
                    index, pid, node = file.read().split()
                found.append((int(index), int(pid), node))
        return found

    def wait_stopped(self, stage, n=1):
        return wait_until(lambda: len(self.stopped(stage)) >= n and self.stopped(stage), f"{n} {stage} workers stand still", 60)

    def go_on(self):
        """No more are stopped, and those that are work on."""
        for name in os.listdir(self.dir):
            if name.startswith("stop-"):
                os.remove(os.path.join(self.dir, name))
        for name in os.listdir(self.dir):
            if name.startswith("stopped-"):
                with open(os.path.join(self.dir, name), encoding="utf-8") as file:
                    pid = int(file.read().split()[1])
                os.remove(os.path.join(self.dir, name))
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass

    def events(self, task, stage):
        """[(index, node)] of every time that a worker was begun."""
        with open(os.path.join(self.dir, "events"), encoding="utf-8") as file:
            rows = [line.split() for line in file]
        return [(int(index), node) for name, what, index, node in rows if (name, what) == (task, stage)]
