# SPDX-License-Identifier: Apache-2.0
"""What the benchmark cases share: a store and a daemon, running programs, and the report (table, JSON, plot)."""

import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("FKV_BUILD", os.path.join(ROOT, "build", "bench-build")))
OUT = os.path.join(ROOT, "build", "bench")
FKV = os.path.join(BUILD, "builder", "cli", "fkv")
FKVD = os.path.join(BUILD, "fuse", "fkvd")

_started = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - _started:5.0f} s] {text}", file=sys.stderr, flush=True)


def program(name):
    return os.path.join(BUILD, "tests", "bench", name)


def run(*command, **options):
    """Runs to the end and returns standard output; standard error passes through."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"{os.path.basename(str(command[0]))} failed with status {done.returncode}\n{done.stdout}")
    return done.stdout


def run_json(*command):
    return json.loads(run(*command))


class Daemon:
    """One fkvd: its mount, its cache, its log. Stopped, with nothing left mounted, by stop()."""

    def __init__(self, directory, store, node="bench", poll_ms=None):
        self.dir, self.store, self.node, self.poll_ms = directory, store, node, poll_ms
        self.mount, self.cache, self.log = (os.path.join(directory, name) for name in ("mnt", "cache", "fkvd.log"))
        self.process = None

    def start(self, memory="16G", options=()):
        os.makedirs(self.dir, exist_ok=True)
        poll = ["--poll", str(self.poll_ms)] if self.poll_ms else []
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [FKVD, "--foreground", "--store", self.store, "--mount", self.mount, "--memory", memory,
                 "--cache", self.cache, "--node", self.node, *poll, *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if os.path.ismount(self.mount):
            subprocess.run(["umount", "-l", self.mount], check=False)

    def fail(self, what):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            sys.exit(f"{what}:\n{log.read()}")

    def wait(self, what, condition, timeout_s=300, pause_s=0.05):
        """condition's first true value. OSError counts as not yet: the mount may still be on its way."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                value = condition()
                if value:
                    return value
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                self.fail(f"fkvd {self.node}: {what}: did not happen")
            time.sleep(pause_s)

    def wait_current(self, table, version=1, timeout_s=300):
        link = os.path.join(self.mount, table, "current")
        self.wait(f"serving {table} version {version}", lambda: os.readlink(link) == f"v/{version}", timeout_s)

    def read(self, name):
        with open(os.path.join(self.mount, ".fkvd", name), encoding="utf-8") as file:
            return file.read()

    def table_status(self, table):
        """What status.json says of a table; None before the daemon knows it."""
        tables = json.loads(self.read("status.json"))["node"]["tables"]
        return next((t for t in tables if t["name"] == table), None)

    def version_state(self, table, version):
        status = self.table_status(table) or {"versions": []}
        return next((v["state"] for v in status["versions"] if v["version"] == version), None)

    def metric(self, name):
        """The value of a metric without labels; None when there is none."""
        for line in self.read("metrics").splitlines():
            words = line.split()
            if words[0] == name:
                return float(words[1])
        return None

    def cpu_seconds(self):
        return process_cpu_seconds(self.process.pid)

    def pin(self, cpus):
        """Every thread on these CPUs."""
        for tid in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(tid), cpus)


def process_cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Place:
    """A directory for a case, and the daemons in it; gone at the end, whatever happens."""

    def __init__(self, parent=OUT):
        os.makedirs(parent, exist_ok=True)
        self.dir = tempfile.mkdtemp(prefix="fkv-bench-" if parent != OUT else "work-", dir=parent)
        self.daemons = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in self.daemons:
            daemon.stop()
        if any(os.path.ismount(daemon.mount) for daemon in self.daemons):
            print(f"a mount is left below {self.dir}", file=sys.stderr)
            return
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def daemon(self, name, store, **options):
        """Not yet started."""
        self.daemons.append(Daemon(self.path(name), store, name, **options))
        return self.daemons[-1]


class Fleet(Place):
    """A directory store and one daemon."""

    def __init__(self):
        super().__init__()
        self.store = self.path("store")
        self.node = self.daemon("bench", self.store, poll_ms=100)
        self.mount = self.node.mount
        self.fkv("init", self.store)

    def fkv(self, *args):
        return run(FKV, *args, env=dict(os.environ, FKV_STORE=self.store, FKV_MOUNT=self.mount))

    def generate(self, table, n_keys, stamp=1):
        """A sealed build of bench_gen's keys and values."""
        run(program("bench_gen"), self.store, table, n_keys, stamp)

    def start(self, memory="16G"):
        self.node.start(memory)

    def wait_current(self, table, version=1):
        self.node.wait_current(table, version)

    def table_dir(self, table):
        return os.path.join(self.mount, table)

    def files_dir(self, table, version=1):
        return os.path.join(self.store, "tables", table, "v", str(version))

    def pin(self, cpus):
        self.node.pin(cpus)


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} CPUs, {model}, {memory:.0f} GiB, Linux {platform.release()}"


def package_version(name):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True, check=False)
    return done.stdout or "?"


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def cell_text(cell):
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 1000:
        return f"{cell:,.0f}"
    return f"{cell:.3g}" if abs(cell) < 100 else f"{cell:.0f}"


def show_table(title, columns, rows):
    """Texts to the left, numbers to the right."""
    texts = [columns] + [[cell_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(columns))]
    left = [all(isinstance(row[i], str) for row in rows) for i in range(len(columns))]
    print(f"\n{title}" if title else "")
    for row in texts:
        print("  " + "  ".join(t.ljust(w) if l else t.rjust(w) for t, w, l in zip(row, widths, left)).rstrip())


class Report:
    """Figures and targets of one case. figures: name, unit, min, median, max; targets: name, value, goal, met."""

    def __init__(self, case, quick):
        self.case, self.quick = case, quick
        self.figures, self.targets, self.notes, self.tables = [], [], [], []

    def figure(self, name, unit, values):
        """values: one a round, or a single number."""
        rounds = values if isinstance(values, list) else [values]
        self.figures.append({"name": name, "unit": unit, "min": min(rounds), "median": median(rounds),
                             "max": max(rounds)})

    def target(self, name, value, goal, met, relation=">="):
        self.targets.append({"name": name, "value": value, "goal": goal, "relation": relation, "met": bool(met)})

    def at_least(self, name, value, goal):
        self.target(name, round(value, 3), goal, value >= goal)

    def at_most(self, name, value, goal):
        self.target(name, round(value, 3), goal, value <= goal, "<=")

    def table(self, title, columns, rows):
        """Shown in place of the list of figures. Cells are text or numbers."""
        self.tables.append((title, columns, rows))

    def note(self, text):
        self.notes.append(text)

    def write(self):
        path = os.path.join(OUT, f"{self.case}.json")
        document = {"case": self.case, "quick": self.quick, "machine": machine(),
                    "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                    "figures": self.figures, "targets": self.targets, "notes": self.notes,
                    "tables": [{"title": title, "columns": columns, "rows": rows}
                               for title, columns, rows in self.tables]}
        with open(path, "w", encoding="utf-8") as out:
            json.dump(document, out, indent=1)
            out.write("\n")
        return path

    def show(self):
        print(f"\n{self.case}{' (quick: smaller data)' if self.quick else ''}: {machine()}")
        for title, columns, rows in self.tables or [self._figures_table()]:
            show_table(title, columns, rows)
        for text in self.notes:
            print("\n" + textwrap.fill(text, 100))
        print()
        for t in self.targets:
            mark = "met   " if t["met"] else "MISSED"
            print(f"{mark}  {t['name']}: {t['value']:g} (goal {t['relation']} {t['goal']:g})")

    def _figures_table(self):
        return "", ["", "median", "min", "max", "unit"], [
            [f["name"], f["median"], f["min"], f["max"], f["unit"]] for f in self.figures]

    def finish(self, gnuplot, height=480):
        """Writes, shows and plots. gnuplot: the script's body."""
        path = self.write()
        self.show()
        svg = os.path.join(OUT, f"{self.case}.svg")
        plot(svg, gnuplot, height)
        print(f"\n{os.path.relpath(path, ROOT)}  {os.path.relpath(svg, ROOT)}")


STYLE = """
set terminal svg size {width},{height} font 'DejaVu Sans,13' background 'white' enhanced
set output '{svg}'
set border 3 lc rgb '#444444' lw 1
set tics nomirror textcolor rgb '#222222'
set grid y lc rgb '#dddddd' lw 1
set key textcolor rgb '#222222' samplen 2
set style line 1 lc rgb '#1f5fa8' lw 2.5 pt 7 ps 0.8
set style line 2 lc rgb '#d9742b' lw 2.5 pt 7 ps 0.8
set style line 3 lc rgb '#2e8b57' lw 2.5 pt 7 ps 0.8
set style line 4 lc rgb '#8a4fb0' lw 2.5 pt 7 ps 0.8
set style line 5 lc rgb '#888888' lw 1.5 dt 2
"""


def block(name, rows):
    """A gnuplot data block."""
    lines = "\n".join("\t".join(str(cell) for cell in row) for row in rows)
    return f"${name} << EOD\n{lines}\nEOD\n"


def plot(svg, script, height):
    text = STYLE.format(svg=svg, width=1260, height=height) + script
    subprocess.run(["gnuplot"], input=text, text=True, check=True)


def main(case):
    """Parses the arguments every case takes and runs it."""
    unknown = [word for word in sys.argv[1:] if word != "--quick"]
    if unknown:
        sys.exit(f"expected --quick, found {unknown[0]}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that daemons and directories go
    case("--quick" in sys.argv[1:])
