# SPDX-License-Identifier: Apache-2.0
"""The Slurm that other tests use: what it starts, loses and does to jobs, as they rely on it."""

import os
import time

import fkvtest
import pytest
from fkvtest import wait_until

OK = "COMPLETED"
TELL = 'echo "$(date +%s.%N) $1 $SLURM_ARRAY_TASK_ID $SLURMD_NODENAME ${SLURM_RESTART_COUNT:-0}" >>EVENTS\n'


class Events:
    """What jobs write down: (when, what, element, node, restarts)."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "events")
        with open(self.path, "w", encoding="utf-8"):
            os.chmod(self.path, 0o666)
        self.tell = f"tell() {{ {TELL.replace('EVENTS', self.path).strip()}; }}\n"

    def rows(self):
        with open(self.path, encoding="utf-8") as file:
            rows = [line.rstrip("\n").split(" ") for line in file]
        return [(float(when), what, element, node, int(restarts)) for when, what, element, node, restarts in rows]

    def told(self, what):
        return [(element, node, restarts) for _, said, element, node, restarts in self.rows() if said == what]


def is_running(pid):
    """A zombie is not."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read() != b""
    except OSError:
        return False


@pytest.fixture
def events(work_dir):
    return Events(work_dir)


@pytest.fixture
def cluster(make_slurm):
    return make_slurm(2, "--cpus", "1")


def test_slurm__an_array_runs_on_both_nodes(cluster, events):
    job = cluster.sbatch(events.tell + "tell run; sleep 1", "--array=0-1")
    assert cluster.wait_done(job) == {f"{job}_0": OK, f"{job}_1": OK}
    assert sorted((element, node) for element, node, _ in events.told("run")) in (
        [("0", "n1"), ("1", "n2")], [("0", "n2"), ("1", "n1")])


@pytest.mark.slow
def test_slurm__elements_of_a_killed_node_run_again_on_the_other(cluster, events):
    job = cluster.sbatch(events.tell + "tell begin; sleep 2; tell end", "--array=0-3", "--requeue")
    after = cluster.sbatch(events.tell + "tell after", f"--dependency=afterok:{job}")
    wait_until(lambda: len(events.told("begin")) == 2, "both nodes are busy")
    (lost,) = [element for element, node, _ in events.told("begin") if node == "n2"]
    cluster.kill_node("n2")
    assert cluster.node_pids("n2") == []
    assert set(cluster.wait_done(job, after).values()) == {OK}
    assert (lost, "n1", 1) in events.told("end")
    others = [(element, restarts) for element, _, restarts in events.told("begin") if element != lost]
    assert sorted(others) == [(str(n), 0) for n in range(4) if str(n) != lost]
    assert events.rows()[-1][1] == "after"
    cluster.start_node("n2")
    assert cluster.node_states() == {"n1": "idle", "n2": "idle"}


@pytest.mark.slow
def test_slurm__a_node_reported_down_loses_its_jobs_at_once(cluster, events):
    job = cluster.sbatch(events.tell + "tell begin; [ -n \"$SLURM_RESTART_COUNT\" ] || sleep 60", "--nodelist=n1")
    wait_until(lambda: events.told("begin"), "it runs")
    cluster.kill_node("n1", is_told=True)
    assert cluster.jobs(job)[str(job)][0] == "PENDING"
    cluster.start_node("n1")
    assert cluster.wait_done(job) == {str(job): OK}


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True], ids=["term", "kill"])
def test_slurm__the_queue_outlives_the_controller(cluster, events, kill):
    gate = events.path + "-end"
    job = cluster.sbatch(events.tell + f"tell run; while [ ! -e {gate} ]; do sleep 0.2; done", "--array=0-1")
    waits = cluster.sbatch(events.tell + "tell after", f"--dependency=afterok:{job}")
    wait_until(lambda: len(events.told("run")) == 2, "both run")
    if kill:
        cluster.wait_saved()
    cluster.restart_ctld(kill=kill)
    assert set(cluster.jobs(job, waits)) == {f"{job}_0", f"{job}_1", str(waits)}
    with open(gate, "w", encoding="utf-8"):
        pass
    assert set(cluster.wait_done(job, waits).values()) == {OK}
    assert len(events.told("run")) == 2


def test_slurm__a_chain_runs_in_order(cluster, events):
    previous, jobs = None, []
    for what, array in (("plan", None), ("map", "0-2"), ("reduce", "0-1"), ("seal", None)):
        options = [f"--array={array}"] if array else []
        if previous:
            options += [f"--dependency=afterok:{previous}", "--kill-on-invalid-dep=yes"]
        previous = cluster.sbatch(events.tell + f"tell {what}; sleep 0.3; tell {what}-end", *options)
        jobs.append(previous)
    assert set(cluster.wait_done(*jobs).values()) == {OK}
    order = [what.split("-")[0] for _, what, _, _, _ in sorted(events.rows())]
    assert order == ["plan"] * 2 + ["map"] * 6 + ["reduce"] * 4 + ["seal"] * 2


def test_slurm__what_waits_for_a_failed_job_is_cancelled(cluster):
    fails = cluster.sbatch('[ "$SLURM_ARRAY_TASK_ID" = 0 ] || exit 3', "--array=0-1")
    waits = cluster.sbatch("true", f"--dependency=afterok:{fails}", "--kill-on-invalid-dep=yes")
    last = cluster.sbatch("true", f"--dependency=afterok:{waits}", "--kill-on-invalid-dep=yes")
    states = cluster.wait_done(fails, waits, last)
    assert states == {f"{fails}_0": OK, f"{fails}_1": "FAILED", str(waits): "CANCELLED", str(last): "CANCELLED"}
    assert cluster.jobs(last)[str(last)][1] == "DependencyNeverSatisfied"


@pytest.mark.slow
def test_slurm__an_element_puts_itself_back_in_the_queue(cluster, events):
    """Named by array and element: SLURM_JOB_ID of an array's last element is the array's, and would requeue all of it."""
    job = cluster.sbatch(events.tell + "tell begin; [ $SLURM_ARRAY_TASK_ID = 2 ] && [ -z \"$SLURM_RESTART_COUNT\" ] || exit 0\n"
                         "scontrol requeue ${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID; sleep 60; tell never", "--array=0-2")
    after = cluster.sbatch(events.tell + "tell after", f"--dependency=afterok:{job}")
    assert set(cluster.wait_done(job, after).values()) == {OK}
    begun = sorted((element, restarts) for element, _, restarts in events.told("begin"))
    assert begun == [("0", 0), ("1", 0), ("2", 0), ("2", 1)]
    assert events.told("never") == [] and events.rows()[-1][1] == "after"


def test_slurm__a_killed_batch_script_is_not_run_again(cluster, events):
    job = cluster.sbatch(events.tell + "tell begin; kill -KILL $$", "--requeue")
    assert cluster.wait_done(job) == {str(job): "FAILED"}
    assert len(events.told("begin")) == 1


def test_slurm__other_users_submit_where_they_may(cluster, work_dir):
    said = os.path.join(work_dir, "who")
    with open(said, "w", encoding="utf-8"):
        os.chmod(said, 0o666)
    job = cluster.sbatch(f"id -u >{said}", user=fkvtest.NOBODY)
    assert cluster.wait_done(job) == {str(job): OK}
    with open(said, encoding="utf-8") as file:
        assert file.read() == f"{fkvtest.NOBODY}\n"
    refused = cluster.ask("sbatch", "--partition=staff", "--wrap=true", user=fkvtest.NOBODY, check=False)
    assert refused.returncode == 1
    assert "User's group not permitted to use this partition" in refused.stderr
    held = cluster.sbatch("true", "--hold")
    assert "Access/permission denied" in cluster.ask("scancel", held, user=fkvtest.NOBODY, check=False).stderr
    assert cluster.states(held) == {str(held): "PENDING"}


def test_slurm__pinned_nodes_have_a_cpu_each(make_slurm, events):
    cluster = make_slurm(2, "--cpus", "2", "--pin")
    job = cluster.sbatch(events.tell + "tell \"$(nproc):$(taskset -cp $$ | sed 's/.*: //')\"; sleep 1", "--array=0-3")
    assert set(cluster.wait_done(job).values()) == {OK}
    cpu = {"n1": "1:0", "n2": f"1:{1 % os.cpu_count()}"}
    assert [what for _, what, _, _, _ in events.rows()] == [cpu[node] for _, _, _, node, _ in events.rows()]
    assert {node for _, _, _, node, _ in events.rows()} == {"n1", "n2"}


def test_slurm__clusters_live_side_by_side_and_leave_nothing(make_slurm, events):
    first, second = make_slurm(1), make_slurm(3)
    assert list(first.node_states()) == ["n1"] and list(second.node_states()) == ["n1", "n2", "n3"]
    jobs = [each.sbatch("setsid sleep 321 & exec sleep 321", "--nodelist=n1") for each in (first, second)]
    for each, job in zip((first, second), jobs):
        wait_until(lambda e=each, j=job: set(e.states(j).values()) == {"RUNNING"}, "it runs")
    wait_until(lambda: len(first.node_pids("n1")) == 4, "slurmd, its helper and two sleeps")
    pids = first.node_pids("n1")
    first.stop()
    assert [pid for pid in pids if is_running(pid)] == []
    assert second.states(jobs[1]) == {str(jobs[1]): "RUNNING"}
