# SPDX-License-Identifier: Apache-2.0
"""A real Slurm on loopback, for tests: tests/lib/slurm.sh as a class.

    cluster = Slurm(work_dir, 2, "--cpus", "1")   # options of slurm.sh
    cluster.start()
    subprocess.run([FKV, ...], env=cluster.env)   # SLURM_CONF and PATH; sbatch, squeue and scancel find the cluster
    job = cluster.sbatch("#!/bin/sh\n...", "--array=0-9")
    cluster.wait_done(job)
    cluster.kill_node("n2"); cluster.start_node("n2"); cluster.restart_ctld(kill=True)
    cluster.clean()                               # for fixtures: nothing stays, whatever happened

Any number run side by side. make_slurm in conftest.py is the fixture.
"""

import contextlib
import os
import subprocess
import time

import fkvtest

SCRIPT = os.path.join(fkvtest.ROOT, "tests", "lib", "slurm.sh")

# slurmctld looks for jobs to start once a second, and a job that lost its node waits for six.
PATIENCE_S = max(60, fkvtest.PATIENCE_S)
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}


class Slurm:
    def __init__(self, directory, n_nodes=2, *options):
        self.directory = os.path.join(str(directory), "slurm")
        self.words = [str(n_nodes), *map(str, options)]
        self.env = None

    def run(self, *args):
        # What a daemon would say on this pipe after the script's end must not be waited for: they have files of their own.
        done = subprocess.run([SCRIPT, args[0], self.directory, *map(str, args[1:])], capture_output=True, text=True,
                              check=False, timeout=300, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"slurm.sh {args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self):
        self.run("start", *self.words)
        shown = subprocess.run(["bash", "-c", f"eval \"$('{SCRIPT}' env '{self.directory}')\" && echo \"$SLURM_CONF|$PATH\""],
                               capture_output=True, text=True, check=True).stdout.strip()
        conf, path = shown.split("|", 1)
        self.env = dict(os.environ, SLURM_CONF=conf, PATH=path)
        return self

    def stop(self):
        self.run("stop")

    def clean(self):
        if os.path.exists(os.path.join(self.directory, "options")):
            self.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.clean()

    # --- Nodes and the controller ---

    def kill_node(self, name, is_told=False):
        """As when it loses power. is_told: slurmctld learns of it now, not in the 10 to 15 s it takes to find out."""
        self.run("kill-node", name)
        if is_told:
            self.ask("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=killed")

    def start_node(self, name):
        self.run("start-node", name)

    def stop_ctld(self, kill=False):
        self.run("stop-ctld", *(["--kill"] if kill else []))

    def start_ctld(self):
        self.run("start-ctld")

    def restart_ctld(self, kill=False):
        """kill: what it had not saved (it does every few seconds) is lost."""
        self.run("restart-ctld", *(["--kill"] if kill else []))

    def wait_saved(self):
        """
        Until the controller has saved what is so now; within five seconds of a change it does. One that is killed before begins again
        what runs already; a node refuses that, and is drained for it.
        """
        path, now = os.path.join(self.directory, "state", "job_state"), time.time()

        def is_saved():
            with contextlib.suppress(FileNotFoundError):
                return now < os.stat(path).st_mtime < time.time() - 6
            return False

        fkvtest.wait_until(is_saved, "the controller has saved its state", PATIENCE_S)

    def node_pids(self, name):
        """slurmd, its helpers and the processes of all jobs there."""
        return [int(pid) for pid in self.run("node-pids", name).split()]

    # --- Jobs ---

    def ask(self, *command, check=True, user=None):
        """Runs a command of Slurm, perhaps as another user."""
        switch = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        done = subprocess.run([*switch, *map(str, command)], env=self.env, capture_output=True, text=True, check=False,
                              timeout=120, stdin=subprocess.DEVNULL)
        if check:
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def sbatch(self, script, *options, user=None):
        """Submits a script; returns the job's number. What it prints goes to log-JOB_ELEMENT.out beside the cluster."""
        path = os.path.join(self.directory, "script.sh")
        with open(path, "w", encoding="utf-8") as file:
            file.write(script if script.startswith("#!") else "#!/bin/sh\n" + script)
        done = self.ask("sbatch", "--parsable", "--open-mode=append", "--output", self.log_path("%A", "%a"),
                        "--chdir", "/", *options, path, user=user)
        return int(done.stdout.split(";")[0])

    def log_path(self, job, element):
        directory = os.path.join(self.directory, "jobs")
        if not os.path.isdir(directory):
            os.mkdir(directory)
            os.chmod(directory, 0o1777)  # other users' jobs write here too
        return os.path.join(directory, f"{job}_{element}.out")

    def jobs(self, *numbers):
        """{"12_0": (state, reason, node)} of jobs and elements, also ended ones, for ten minutes."""
        done = self.ask("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N",
                        *(["--jobs=" + ",".join(map(str, numbers))] if numbers else []))
        rows = (line.strip().split("|") for line in done.stdout.splitlines())
        return {name: (state, reason, node) for name, state, reason, node in rows}

    def states(self, *numbers):
        return {name: state for name, (state, _, _) in self.jobs(*numbers).items()}

    def wait_done(self, *numbers, timeout_s=PATIENCE_S):
        """Until they have ended; returns {"12_0": state}."""
        fkvtest.wait_until(lambda: set(self.states(*numbers).values()) <= ENDED, f"jobs {numbers} have ended", timeout_s)
        return self.states(*numbers)

    def node_states(self):
        """{"n1": "idle"}; a node that is to answer and does not has a star."""
        done = self.ask("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %t")
        return dict(line.split() for line in done.stdout.splitlines())

    def log(self):
        with open(os.path.join(self.directory, "log", "slurmctld.log"), encoding="utf-8", errors="replace") as file:
            return file.read()
