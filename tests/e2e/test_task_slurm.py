# SPDX-License-Identifier: Apache-2.0
"""Tasks whose engine is a real Slurm of two nodes: the same bytes, whoever dies."""

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time

import fkvtest
import nfs_store
import pytest
from fkvtest import wait_until
from slurm import Slurm
from slurm_task import Farm, digests

pytestmark = pytest.mark.slow

ARRAY_MAX = 5  # of this cluster: every task has more pieces than one array may have elements
N_NUMBERS = 120_000


class Data:
    def __init__(self, path, key, value, piece):
        self.path, self.piece = path, piece
        self.schema = {"key": key, "value": value, "shards": 8}


def write_numbers(path, n):
    source = random.Random(7)
    with open(path, "w", encoding="ascii") as file:
        for _ in range(n):
            file.write(f"{source.getrandbits(63)}\t{source.getrandbits(240):060x}\n")


@pytest.fixture(scope="module")
def place():
    path = tempfile.mkdtemp(prefix="fkv-e2e-", dir=os.environ.get("FKV_TMP", "/tmp"))
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes(place):
    """The cluster that all tests share; a test that ends a node starts it again."""
    cluster = Slurm(os.path.join(place, "c"), 2, "--cpus", "1", "--max-array", ARRAY_MAX)
    os.makedirs(os.path.dirname(cluster.directory))
    try:
        yield cluster.start()
    finally:
        cluster.clean()


@pytest.fixture
def farm(work_dir, nodes):
    made = Farm(work_dir, nodes)
    yield made
    made.go_on()
    nodes.ask("scancel", "--user=root", check=False)
    for name in ("n1", "n2"):
        if not nodes.node_pids(name):
            nodes.start_node(name)
    wait_until(lambda: not nodes.ask("squeue", "--noheader").stdout.strip(), "the queue is empty", 60)


@pytest.fixture(scope="module")
def numbers(place):
    path = os.path.join(place, "numbers.tsv")
    write_numbers(path, N_NUMBERS)
    return Data(path, "u64", "bytes", os.path.getsize(path) // 8)


@pytest.fixture(scope="module")
def vectors(place):
    path = os.path.join(place, "vectors.tsv")
    packed = os.path.join(fkvtest.ROOT, "examples", "data", "word-vectors.tsv.zst")
    subprocess.run(["zstd", "-q", "-d", packed, "-o", path], check=True)
    return Data(path, "bytes", "f16[100]", os.path.getsize(path) // 6)


@pytest.fixture(scope="module")
def built(place):
    """built(data, kind="mem"): digests of the parts that `fkv build` makes of it."""
    store = fkvtest.Store(os.path.join(place, "built"))
    known = {}

    def build(data, kind="mem"):
        if (data.path, kind) not in known:
            task = f"built-{len(known)}"
            store.fkv("build", f"table{len(known)}", data.path, "--key", data.schema["key"], "--value", data.schema["value"],
                      "--shards", 8, "--kind", kind, "--memory", "64M", "--task", task)
            known[data.path, kind] = digests(os.path.join(store.path, "tables", f"table{len(known)}", "staging", task))
        return known[data.path, kind]

    return build


# --- Whoever builds it, the bytes are the same ---

@pytest.mark.parametrize("data", ["numbers", "vectors"])
def test_slurm__builds_the_bytes_that_other_engines_build(farm, built, data, request):
    data = request.getfixturevalue(data)
    kinds = ("mem", "blk", "idx")
    for kind in kinds:
        farm.submit(f"s-{kind}", data, schema=dict(data.schema, kind=kind), table=kind)
        farm.submit(f"l-{kind}", data, schema=dict(data.schema, kind=kind), table=kind, engine="local")
    for kind in kinds:
        shown = farm.wait(f"s-{kind}")
        assert shown["pieces"] > ARRAY_MAX and len(farm.jobs(f"s-{kind}")) == 5  # plan, map twice, reduce, seal
        assert {index for index, _ in farm.events(f"s-{kind}", "map")} == set(range(shown["pieces"]))
        farm.wait(f"l-{kind}")
        assert farm.parts(f"s-{kind}", kind) == farm.parts(f"l-{kind}", kind) == built(data, kind)


def test_slurm__a_task_is_published_and_its_runs_are_gone(farm, numbers):
    farm.submit("p", numbers, then="publish", reduce_tasks=1)
    assert farm.wait("p", "published")["version"] == 1
    wait_until(lambda: not farm.queue("p"), "nothing is left in the queue")
    assert not os.path.exists(farm.path("p", "runs"))
    assert "queue" in farm.show("p") and not farm.show("p")["queue"]["lost"]


def test_slurm__a_store_and_inputs_on_nfs_need_no_shared_directory(work_dir, nodes, numbers, built):
    store = nfs_store.NfsStore(work_dir, 4)
    try:
        shutil.copy(numbers.path, store.server.path("numbers.tsv"))
        far = Data(store.server.url(4, "numbers.tsv"), "u64", "bytes", numbers.piece)
        farm = Farm(work_dir, nodes, url=store.url)
        farm.store = store.path
        farm.submit("n", far, slurm={})
        farm.wait("n")
        assert farm.parts("n") == built(numbers)
    finally:
        store.end()


# --- Deaths ---

@pytest.mark.parametrize("stage", ["map", "reduce"])
def test_slurm__a_killed_node_costs_its_running_elements(farm, nodes, numbers, built, stage):
    farm.stop_next(stage, node="n2")
    farm.submit("k", numbers)
    index, pid, node = farm.wait_stopped(stage)[0]
    wait_until(lambda: farm.markers("k", stage), "the other node has done something", 60)
    nodes.kill_node(node, is_told=True)
    assert not os.path.exists(f"/proc/{pid}")
    done = {**farm.markers("k", "map"), **farm.markers("k", "reduce")}
    farm.go_on()
    nodes.start_node(node)
    farm.wait("k")
    assert farm.parts("k") == built(numbers)
    now = {**farm.markers("k", "map"), **farm.markers("k", "reduce")}
    assert {name: now[name] for name in done} == done, "what was finished was not done again"
    again = [i for i, _ in farm.events("k", stage) if [j for j, _ in farm.events("k", stage)].count(i) > 1]
    assert set(again) == {index}
    assert farm.failures("k") == [] and farm.show("k")["attempt"] == 1


@pytest.mark.parametrize("stage", ["plan", "map", "reduce", "seal"])
def test_slurm__a_killed_worker_is_begun_again_where_it_was(farm, numbers, built, stage):
    farm.stop_next(stage)
    farm.submit("w", numbers)
    _, pid, _ = farm.wait_stopped(stage)[0]
    os.kill(pid, signal.SIGKILL)
    farm.go_on()
    farm.wait("w")
    assert farm.parts("w") == built(numbers)
    assert farm.failures("w") == [] and farm.show("w")["attempt"] == 1


def test_slurm__the_controller_is_killed_and_comes_back(farm, nodes, numbers, built):
    farm.stop_next("map")
    farm.submit("c", numbers)
    farm.wait_stopped("map", 2)
    nodes.wait_saved()
    nodes.stop_ctld(kill=True)
    shown = farm.show("c")
    assert shown["state"] == "mapping" and "Unable to contact slurm controller" in shown["queue"]["says"]
    assert not shown["queue"]["lost"]
    refused = farm.submit("never", numbers, check=False)
    assert refused.returncode == 6 and "Unable to contact slurm controller" in refused.stderr
    farm.go_on()
    nodes.start_ctld()
    farm.wait("c")
    assert farm.parts("c") == built(numbers)
    assert farm.failures("c") == []
    # What could not be submitted is a failed task, which can be tried again.
    assert farm.show("never")["state"] == "failed"
    farm.fkv("task", "retry", "never")
    farm.wait("never")


def test_slurm__an_element_that_runs_twice_at_once_is_done_once(farm, numbers, built):
    """As when slurmd loses sight of a script and another node runs the element: both go on, even past the end of the task."""
    farm.stop_next("reduce", node="n2")
    farm.submit("d", numbers)
    index, _, _ = farm.wait_stopped("reduce")[0]
    farm.fkv("stage", "d", "reduce", "--index", index)
    wait_until(lambda: len(farm.markers("d", "reduce")) == 8, "all shards are done", 60)
    farm.fkv("stage", "d", "seal")
    farm.go_on()
    farm.wait("d")
    wait_until(lambda: not farm.queue("d"), "nothing is left in the queue", 60)
    assert farm.parts("d") == built(numbers)
    assert farm.failures("d") == []


def test_slurm__an_io_error_is_tried_again_and_is_no_failure(farm, numbers, built):
    for stage in ("plan", "map", "reduce", "seal"):
        farm.fail_next(stage)
    farm.submit("e", numbers, reduce_tasks=1)
    farm.wait("e")
    assert farm.parts("e") == built(numbers) and farm.failures("e") == []
    assert len(farm.events("e", "seal")) == 2


# --- What an operator does, and sees ---

def test_slurm__what_was_cancelled_by_hand_is_lost_until_it_is_tried_again(farm, nodes, numbers, built):
    farm.stop_next("map", node="n2")
    farm.submit("h", numbers)
    farm.wait_stopped("map")
    wait_until(lambda: farm.markers("h", "map"), "something is mapped", 60)
    nodes.ask("scancel", *farm.jobs("h")[1:])
    wait_until(lambda: not farm.queue("h"), "the queue is empty", 60)
    farm.go_on()
    shown = wait_until(lambda: farm.show("h")["queue"]["lost"] and farm.show("h"), "it is seen to be lost", 60)
    assert shown["state"] == "mapping" and "ended as CANCELLED" in shown["queue"]["says"]
    text = farm.fkv("task", "show", "h").stdout
    assert "lost" in text and "fkv task retry h" in text
    waited = farm.fkv("task", "wait", "h", "--timeout", "60s", check=False)
    assert waited.returncode == 6 and "fkv task retry h" in waited.stderr
    done = farm.markers("h", "map")
    farm.fkv("task", "retry", "h")
    assert farm.wait("h")["attempt"] == 2
    assert farm.parts("h") == built(numbers)
    now = farm.markers("h", "map")
    assert {name: now[name] for name in done} == done


def test_slurm__bad_rows_fail_the_task_and_empty_the_queue(farm, work_dir):
    path = os.path.join(work_dir, "bad.tsv")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{i}\tvalue {i}\n" for i in range(2000))
        file.write("no number\tx\n")
    done = farm.submit("b", Data(path, "u64", "bytes", 4000), "--wait", check=False)
    assert done.returncode == 5
    assert "no number" in done.stderr and ":2001" in done.stderr, done.stderr
    assert farm.state("b") == "failed"
    wait_until(lambda: not farm.queue("b"), "what waited for it is gone from the queue", 60)
    assert farm.events("b", "reduce") == [] and farm.events("b", "seal") == []


def test_slurm__cancelling_clears_the_queue_but_not_of_other_jobs(farm, nodes, numbers):
    farm.stop_next("map")
    farm.submit("x", numbers)
    farm.wait_stopped("map", 2)
    foreign = nodes.sbatch("sleep 60", "--hold", "--job-name=fkv-xx-map")
    path = farm.path("x", "slurm-1-rest.json")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:  # as if a controller that died had given out a number twice
        file.write(text.replace('"jobs":[', f'"jobs":[{foreign},').replace('"jobs": [', f'"jobs": [{foreign}, '))
    assert farm.jobs("x")[1] == foreign
    farm.go_on()
    farm.fkv("task", "cancel", "x")
    wait_until(lambda: not farm.queue("x"), "the queue is empty", 30)
    assert nodes.states(foreign) == {str(foreign): "PENDING"}
    assert farm.state("x") == "cancelled" and farm.events("x", "reduce") == []
    assert not os.path.exists(os.path.join(farm.store, "tables", "t", "staging", "x"))


def test_slurm__held_elements_are_told_and_go_on_with_a_retry(farm, nodes, numbers):
    farm.stop_next("map")
    farm.submit("o", numbers)
    farm.wait_stopped("map", 2)
    held = next(i for i, (name, state, _) in farm.queue("o").items() if state == "PENDING" and name == "fkv-o-map")
    nodes.ask("scontrol", "hold", held)
    queue = farm.show("o")["queue"]
    assert queue["held"] == 1 and queue["running"] == 2 and f"scontrol release {held}" in queue["says"]
    assert "1 held elements of attempt 1 go on" in farm.fkv("task", "retry", "o").stdout
    assert farm.show("o")["queue"]["held"] == 0
    busy = farm.fkv("task", "retry", "o", check=False)
    assert busy.returncode == 3 and "cancel it" in busy.stderr
    farm.go_on()
    assert farm.wait("o")["attempt"] == 1


def test_slurm__a_program_that_is_not_there_is_named(farm, nodes, numbers):
    farm.submit("m", numbers, slurm={"fkv": "/no/such/fkv"})
    queue = wait_until(lambda: farm.show("m")["queue"]["lost"] and farm.show("m")["queue"], "it has ended", 60)
    assert "with status 127" in queue["says"] and "slurm.fkv" in queue["says"]


# --- Those who may not ---

def test_slurm__authors_without_rights_are_told_which(farm, nodes, numbers):
    nobody = fkvtest.NOBODY
    done = farm.submit("r", numbers, check=False, user=nobody)
    assert done.returncode == 3 and "Permission denied" in done.stderr and farm.store in done.stderr
    assert not os.path.exists(farm.path("r"))
    for path, _, _ in os.walk(farm.store):
        os.chmod(path, 0o777)
    done = farm.submit("r", numbers, check=False, user=nobody, slurm={"partition": "staff"})
    assert done.returncode == 3 and "User's group not permitted to use this partition" in done.stderr
    shown = farm.show("r")
    assert shown["state"] == "failed" and "not permitted to use this partition" in shown["reason"]
    # On the other partition it runs, as that user.
    farm.submit("u", numbers, user=nobody, slurm={"fkv": fkvtest.FKV}, table="u")
    farm.wait("u")
    assert os.stat(farm.path("u", "sealed.json")).st_uid == nobody


# --- Other schedulers ---

def test_parallel__a_script_runs_the_stages(work_dir, numbers, built):
    store = fkvtest.Store(os.path.join(work_dir, "store"))
    env = dict(os.environ, FKV=fkvtest.FKV, FKV_STORE=store.path, HOME=work_dir)
    store.fkv("submit", "t", numbers.path, "--key", "u64", "--value", "bytes", "--shards", 8, "--piece", numbers.piece, "--reduce-tasks", 3,
              "--memory", "64M", "--engine", "none", "--task", "p")
    assert json.loads(store.fkv("task", "show", "p", "--json").stdout)["state"] == "queued"
    script = os.path.join(fkvtest.ROOT, "examples", "parallel_task.sh")
    for _ in range(2):  # the second time there is nothing to do
        done = subprocess.run([script, "p", "--jobs", "2"], env=env, capture_output=True, text=True, check=False, timeout=120,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        assert digests(os.path.join(store.path, "tables", "t", "staging", "p")) == built(numbers)
    logs = os.listdir(os.path.join(store.path, "tasks", "p", "log"))
    assert sorted({name.split("-")[0] for name in logs}) == ["map", "plan", "reduce", "seal"]


def test_kubernetes__the_manifest_is_three_jobs_and_a_pods_index_is_understood(work_dir, numbers):
    with open(os.path.join(fkvtest.ROOT, "examples", "kubernetes_task.yaml"), encoding="utf-8") as file:
        jobs = file.read().split("\n---\n")
    assert [line.split("-")[-1] for job in jobs for line in job.splitlines() if line.startswith("  name: fkv-$TASK-")] == ["map", "reduce", "seal"]
    assert [job.count("completionMode: Indexed") for job in jobs] == [1, 1, 0]
    store = fkvtest.Store(os.path.join(work_dir, "store"))
    store.fkv("submit", "t", numbers.path, "--key", "u64", "--value", "bytes", "--piece", numbers.piece, "--engine", "none", "--task", "k")
    store.fkv("stage", "k", "plan")
    env = dict(os.environ, FKV_STORE=store.path, JOB_COMPLETION_INDEX="3")
    subprocess.run([fkvtest.FKV, "--store", store.path, "stage", "k", "map", "--again"], env=env, check=True, timeout=60)
    assert [name for name in os.listdir(os.path.join(store.path, "tasks", "k")) if name.startswith("map-")] == ["map-3.json"]
