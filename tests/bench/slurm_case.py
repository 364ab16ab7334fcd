# SPDX-License-Identifier: Apache-2.0
"""Building under Slurm: two nodes of one CPU against one, the local engine beside them, and what a node's death costs.

The nodes are two slurmd on this machine, pinned to a CPU each; on a machine with fewer than two CPUs there is nothing to compare. Times
are a user's: from fkv submit until the build is sealed, with all that Slurm needs to start jobs. Input, runs and parts lie on the disk
that the nodes share, and then in memory, where nothing but the CPUs is shared: one CPU may do what a slow disk can.
"""

import json
import os
import shutil
import subprocess
import sys
import time

import bench

sys.path.insert(0, os.path.join(bench.ROOT, "tests", "e2e"))

from slurm import Slurm  # noqa: E402

STAGES = ("plan", "map", "reduce", "seal")
N_PIECES = 4  # as many as there are reduce tasks; an even number, so that two nodes have the same to do
N_SHARDS = 16


PLACES = (("disk", bench.OUT), ("memory", "/dev/shm"))
FROM = {"disk": "all on one disk", "memory": "all in memory"}


class Farm(bench.Place):
    def __init__(self, quick, parent):
        super().__init__(parent)
        self.n_keys = 600_000 if quick else 32_000_000
        self.memory = "256M" if quick else "1536M"
        self.store, self.data = self.path("store"), self.path("input.rec")
        # The directories of sockets must have short names.
        self.short = os.path.join("/tmp", f"fkv-bench-{os.getpid()}")
        os.mkdir(self.short)
        self.cluster = Slurm(self.short, 2, "--cpus", "1", "--pin", "--memory", "4096")
        self.count, self.parts = 0, None

    def __enter__(self):
        super().__enter__()
        self.cluster.start()
        self.env = dict(self.cluster.env, FKV_STORE=self.store)
        self.fkv("init", self.store)
        made = bench.run_json(bench.program("bench_build"), "input", "records", self.n_keys, self.data)
        self.input_len = made["bytes"]
        return self

    def __exit__(self, *error):
        try:
            self.cluster.clean()
        finally:
            shutil.rmtree(self.short, ignore_errors=True)
            super().__exit__(*error)

    def fkv(self, *args):
        return bench.run(bench.FKV, *args, env=self.env)

    def submit(self, engine, *options):
        self.count += 1
        task = f"t{self.count}"
        job = {"table": "bench", "task": task, "inputs": [self.data], "format": "record",
               "schema": {"kind": "mem", "key": "u64", "value": "bytes[64]", "shards": N_SHARDS},
               "memory": self.memory, "piece": self.input_len // N_PIECES + 1, "reduce_tasks": N_PIECES, "engine": engine,
               "threads": 2, "slurm": {"options": list(options)}}
        path = self.path("job.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(job, file)
        drop_cache(self.data)
        began = time.monotonic()
        self.fkv("submit", path, "--json")
        return task, began

    def task_path(self, task, *names):
        return os.path.join(self.store, "tasks", task, *names)

    def show(self, task):
        return json.loads(self.fkv("task", "show", task, "--json"))

    def finish(self, task, began):
        """Until it is sealed: seconds in all, and each stage's. What it built is compared with what others did, and removed."""
        while not os.path.exists(self.task_path(task, "sealed.json")):
            if any(name.startswith("failed-") for name in os.listdir(self.task_path(task))) or time.monotonic() - began > 1200:
                sys.exit(f"task {task} does not end:\n{self.fkv('task', 'show', task)}{self.fkv('task', 'logs', task)}")
            time.sleep(0.05)
        total = time.monotonic() - began
        shown = self.show(task)
        built = os.path.join(self.store, "tables", "bench", "staging", task)
        parts = sorted(os.listdir(os.path.join(built, "parts")))  # a name has its part's digest
        if self.parts not in (None, parts):
            sys.exit(f"task {task} built other bytes than those before it")
        self.parts = parts
        time.sleep(0.5)
        self.wait_idle()
        shutil.rmtree(built)
        stages = {stage: shown["stages"][stage]["ended"] - shown["stages"][stage]["began"] for stage in STAGES}
        elements = {stage: shown["stages"][stage]["seconds"] / N_PIECES for stage in ("map", "reduce")}
        return {"total": total, "stages": stages, "elements": elements,
                "cpu": sum(shown["stages"][stage]["cpu_seconds"] for stage in STAGES)}

    def wait_idle(self):
        end = time.monotonic() + 60
        while self.cluster.ask("squeue", "--noheader").stdout.strip() and time.monotonic() < end:
            time.sleep(0.1)

    def build(self, engine, *options):
        return self.finish(*self.submit(engine, *options))

    def build_killing(self, stage):
        """n2 dies in the middle of an element, is known to be down, and comes back."""
        task, began = self.submit("slurm")
        end = time.monotonic() + 600
        while not (pid := self.pid_on_n2(task, stage)):
            if time.monotonic() > end:
                sys.exit(f"no {stage} element ran on n2")
            time.sleep(0.01)
        time.sleep(0.4 * self.element_s[stage])
        done = self.markers(task)
        thrown_away = age(pid)
        self.cluster.kill_node("n2", is_told=True)
        self.cluster.start_node("n2")
        made = self.finish(task, began)
        if any(self.markers(task)[marker] != text for marker, text in done.items()):
            sys.exit(f"a finished step of task {task} was done again")
        made["thrown_away"] = thrown_away
        return made

    def markers(self, task):
        texts = {}
        for name in os.listdir(self.task_path(task)):
            if name.startswith(("map-", "reduce-")):
                with open(self.task_path(task, name), encoding="utf-8") as file:
                    texts[name] = file.read()
        return texts

    def pid_on_n2(self, task, stage):
        """Of a worker at that stage; marks say pids."""
        for name in os.listdir(self.task_path(task, "work")):
            try:
                with open(self.task_path(task, "work", name), encoding="utf-8") as file:
                    pid = json.load(file)["pid"]
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if name.startswith(f"{stage}-") and b"SLURMD_NODENAME=n2" in file.read().split(b"\0"):
                        return pid
            except (OSError, ValueError, KeyError):
                pass
        return None


def age(pid):
    """Seconds that a process has run; 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            began = int(stat.read().rsplit(")", 1)[1].split()[19])
    except OSError:
        return 0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began / os.sysconf("SC_CLK_TCK")


def drop_cache(path):
    with open(path, "rb") as data:
        os.posix_fadvise(data.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def burn(cpu, seconds):
    """A process that counts on one CPU; how far it got."""
    script = ("import time\nend = time.monotonic() + %f\nn = 0\nwhile time.monotonic() < end:\n"
              "    for _ in range(1000): n += 1\nprint(n)" % seconds)
    return subprocess.Popen(["taskset", "-c", str(cpu), "/usr/bin/python3", "-c", script], stdout=subprocess.PIPE, text=True)


def two_cpus():
    """What two CPUs do at once, in what one does alone: what there is to be had now, beside whatever else runs here."""
    alone = int(burn(0, 1).communicate()[0])
    both = [burn(cpu, 1) for cpu in (0, 1)]
    return sum(int(p.communicate()[0]) for p in both) / alone


def slurm(quick):
    if os.cpu_count() < 2:
        sys.exit("the slurm case compares two CPUs with one; found one")
    report = bench.Report("slurm", quick)
    bars = []
    for where, parent in PLACES:
        with Farm(quick, parent) as farm:
            bench.say(f"{farm.n_keys:,} keys, {farm.input_len / 1e6:,.0f} MB of records, in {parent}")
            runs, middle, room = compare(farm, 1 if quick else 3)
            if where == "disk":
                kill(farm, runs, middle)
            fill(report, farm, where, runs, middle, room)
            bars += [(f"{name}, {where}", made) for name, made in middle.items()]
    report.note(f"Nodes are two slurmd with a CPU each. All built the same bytes. A killed node is known to be down at once and comes back; "
                "what it threw away is what its one element had run by then. Jobs that lost a node begin again 6 s later, 121 s on a "
                "cluster as it comes.")
    report.finish(draw(bars))


def compare(farm, rounds):
    """What each engine took, its middle round, and what two CPUs did of one before each."""
    runs = {"one node": [], "two nodes": [], "local, two threads": []}
    room = []
    for i in range(rounds):
        room.append(two_cpus())
        runs["one node"].append(farm.build("slurm", "--nodelist=n1"))
        runs["two nodes"].append(farm.build("slurm"))
        runs["local, two threads"].append(farm.build("local"))
        bench.say(f"round {i + 1}: " + ", ".join(f"{name} {made[-1]['total']:.1f} s" for name, made in runs.items()))
    return runs, {name: sorted(made, key=lambda m: m["total"])[len(made) // 2] for name, made in runs.items()}, room


def kill(farm, runs, middle):
    farm.element_s = middle["two nodes"]["elements"]
    for stage in ("map", "reduce"):
        name = f"a node killed in {stage}"
        runs[name] = [farm.build_killing(stage)]
        middle[name] = runs[name][0]
        bench.say(f"{name}: {middle[name]['total']:.1f} s")


def fill(report, farm, where, runs, middle, room):
    undisturbed = middle["two nodes"]["total"]
    ratios = [one["total"] / two["total"] for one, two in zip(runs["one node"], runs["two nodes"])]
    rows = []
    for name, made in runs.items():
        report.figure(f"{where}: {name}: from submit to sealed", "s", [m["total"] for m in made])
        report.figure(f"{where}: {name}: keys", "M/s", [farm.n_keys / m["total"] / 1e6 for m in made])
        has_cpu = not name.startswith("local")  # whose tasks are threads of one process, and each counts all of it
        if has_cpu:
            report.figure(f"{where}: {name}: CPU", "s", [m["cpu"] for m in made])
        for stage in STAGES:
            report.figure(f"{where}: {name}: {stage}", "s", [m["stages"][stage] for m in made])
        first = middle[name]
        killed = ["-", "-"]
        if "thrown_away" in first:
            report.figure(f"{where}: {name}: longer than undisturbed", "s", first["total"] - undisturbed)
            report.figure(f"{where}: {name}: work thrown away", "s", first["thrown_away"])
            killed = [bench.cell_text(first["thrown_away"]), bench.cell_text(first["total"] - undisturbed)]
        rows.append([name, first["total"], *(first["stages"][s] for s in ("map", "reduce", "seal")), first["cpu"] if has_cpu else "-",
                     first["elements"]["map"], first["elements"]["reduce"], farm.n_keys / first["total"] / 1e6, *killed])
    report.figure(f"{where}: two nodes, of one", "", ratios)
    report.figure(f"{where}: two CPUs counting at once, of one", "", room)
    report.table(f"{farm.n_keys:,} u64 keys of 64 bytes, record format, {N_PIECES} map and {N_PIECES} reduce tasks, {FROM[where]}",
                 ["", "s in all", "map", "reduce", "seal", "s CPU", "s a map task", "s a reduce task", "M keys/s", "s thrown away",
                  "s longer"], rows)
    report.at_least(f"two nodes, times one, {FROM[where]}", bench.median(ratios), 1.7)
    report.note(f"{FROM[where].capitalize()}: of what one CPU counts alone, two at once counted {bench.median(room):.2f} times as much just before each "
                "round (2 on a machine with nothing else to do).")


def draw(named):
    bars = [(f'"{name.replace(", ", chr(92) + "n").replace(" killed", chr(92) + "nkilled")}"',
             *(made["stages"][s] for s in ("map", "reduce", "seal")),
             max(0, made["total"] - sum(made["stages"][s] for s in ("map", "reduce", "seal")))) for name, made in named]
    return bench.block("b", bars) + """
set style data histogram
set style histogram rowstacked
set style fill solid 0.85 noborder
set boxwidth 0.6
set title 'From submit to sealed' font ',15'
set ylabel 'seconds'
set yrange [0:*]
set key outside right top
plot $b using 2:xtic(1) lc rgb '#1f5fa8' title 'map', \\
     '' using 3 lc rgb '#d9742b' title 'reduce', \\
     '' using 4 lc rgb '#2e8b57' title 'seal', \\
     '' using 5 lc rgb '#888888' title 'waiting in the queue, planning'
"""


if __name__ == "__main__":
    bench.main(slurm)
