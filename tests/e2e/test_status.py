# SPDX-License-Identifier: Apache-2.0
"""fkv status on real nodes, what a terminal sees of it and of a publication, and how ^C ends them."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import fkvtest

ROWS = [(i, f"v{i}") for i in range(1, 101)]
ALTERNATE, BACK = "\x1b[?1049h", "\x1b[?1049l"


def as_json(store, *args):
    return json.loads(store.fkv(*args, "--json").stdout)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, store, *args, rows=24, columns=100):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(FKV_STORE=store.url if hasattr(store, "url") else store.path, TERM="xterm")
            os.execv(fkvtest.FKV, [fkvtest.FKV, *args])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.status = None

    def read(self, timeout_s=0.05):
        """What came meanwhile; False when the command has closed it."""
        if select.select([self.fd], [], [], timeout_s)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            self.text += data.decode(errors="replace")
            return bool(data)
        return True

    def wait_for(self, pattern):
        def seen():
            self.read()
            return re.search(pattern, self.text)
        return fkvtest.wait_until(seen, f"the terminal shows {pattern}")

    def press(self, keys):
        os.write(self.fd, keys)

    def end(self):
        """Its wait status, when it has ended."""
        end = time.monotonic() + fkvtest.PATIENCE_S
        while self.read() and time.monotonic() < end:
            pass
        os.close(self.fd)
        self.fd = -1
        _, self.status = os.waitpid(self.pid, 0)
        return self.status

    def clean(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.fd >= 0:
            os.close(self.fd)


@pytest.fixture
def terminal(store):
    made = []

    def make(*args, **size):
        made.append(Terminal(store, *args, **size))
        return made[-1]

    yield make
    for one in made:
        one.clean()


@pytest.fixture
def ads(store, make_daemon):
    nodes = [make_daemon("n1"), make_daemon("n2", "--label", "eu")]
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    return nodes


def wait_well(store):
    fkvtest.wait_until(lambda: store.fkv("status", "--check", check=False).returncode == 0, "all is well")


def test_a_fleet_that_is_well_is_one_line_a_table(store, ads):
    wait_well(store)
    text = store.fkv("status").stdout
    assert "all 2 serve 1" in text and "2 live; 0 problems" in text, text
    assert "n1" not in text, "nothing is said of nodes that are as they should be"
    text = store.fkv("status", "--all").stdout
    assert re.search(r"^n1 .* ads +1  ok$", text, re.M) and re.search(r"^n2 .* ads +1  ok$", text, re.M), text
    text = store.fkv("status", "--node", "n2").stdout
    assert "labels   eu" in text and re.search(r"^ads +1 +1  serving", text, re.M), text
    text = store.fkv("status", "ads").stdout
    assert re.search(r"^  current +1 ", text, re.M), text
    done = store.fkv("status", "--node", "nosuch", check=False)
    assert done.returncode == 1 and "node nosuch has not reported" in done.stderr


def test_json_has_all_that_the_manual_names(store, ads):
    wait_well(store)
    page = os.path.join(fkvtest.ROOT, "docs", "man", "fkv-status.1")
    with open(page, encoding="utf-8") as file:
        manual = file.read()
    status = as_json(store, "status")

    def members(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from members(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from members(inner)

    missing = {key for key in members(status) if not re.search(rf"\b{key}\b", manual)}
    assert not missing, missing
    table = status["tables"][0]
    assert (table["current"], table["live_nodes"], table["serving_current"], table["next"]) == (1, 2, 2, None)
    assert [(n["node"], n["live"], n["tables"][0]["held"]) for n in status["nodes"]] == [("n1", True, "none"), ("n2", True, "none")]
    assert len(status["nodes"][0]["instance"]) == 32 and 0 < status["nodes"][0]["poll_s"] < 1
    assert abs(status["nodes"][0]["clock_ahead_s"]) < 5


def test_check_names_the_first_problem_and_fails(store, ads):
    wait_well(store)
    path = os.path.join(store.path, "nodes", "n2.json")
    with open(path, encoding="utf-8") as file:
        beat = json.load(file)
    beat["node"], beat["time_ns"] = "n3", beat["time_ns"] - 3600 * 10**9
    with open(os.path.join(store.path, "nodes", "n3.json"), "w", encoding="utf-8") as file:
        json.dump(beat, file)
    fkvtest.wait_until(lambda: as_json(store, "status")["gone_nodes"] == 1, "the store lists it")
    done = store.fkv("status", "--check", check=False)
    assert done.returncode == 3 and "1 problem; n3: gone: silent for 60 min" in done.stderr, done.stderr
    assert re.search(r"^n3 .*gone: silent for", done.stdout, re.M), done.stdout
    with open(os.path.join(store.path, "nodes", "n4.json"), "w", encoding="utf-8") as file:
        file.write("{")
    fkvtest.wait_until(lambda: as_json(store, "status")["unreadable"] == 1, "the store lists it")
    done = store.fkv("status", "--check", check=False)
    assert "2 problems; 1 heartbeat cannot be read" in done.stderr, done.stderr
    # Whoever waits for nodes is warned of what nobody can judge.
    store.build("ads", ROWS)
    done = store.fkv("publish", "ads")
    assert "1 node cannot be judged" in done.stderr and "serving on 2 of 2 live nodes" in done.stdout, done.stderr


def test_watching_in_a_pipe_prints_one_picture_after_the_other(store, ads):
    wait_well(store)
    env = dict(os.environ, FKV_STORE=store.url if hasattr(store, "url") else store.path)
    with subprocess.Popen([fkvtest.FKV, "status", "--watch=100ms", "--json"], env=env, text=True, stdout=subprocess.PIPE) as process:
        try:
            seen = [json.loads(process.stdout.readline()) for _ in range(3)]
        finally:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=fkvtest.PATIENCE_S)
    assert process.returncode == 0
    assert [one["live_nodes"] for one in seen] == [2, 2, 2] and seen[0]["time"] < seen[2]["time"]


def test_watching_on_a_terminal_gives_it_back(store, ads, terminal):
    wait_well(store)
    watch = terminal("status", "--watch=100ms", rows=12, columns=100)
    watch.wait_for(r"all 2 serve 1(.|\n)*\x1b\[H(.|\n)*all 2 serve 1")
    store.fkv("pin", "ads", "1", "--node", "n9")
    watch.press(b"\x03")
    assert watch.end() == 0
    assert watch.text.startswith(ALTERNATE) and watch.text.rstrip().endswith(BACK)
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", watch.text).splitlines()
    assert max(map(len, lines)) < 120, "no line is wider than the screen"


def test_watching_goes_on_while_the_store_is_away(store, ads, terminal):
    if not hasattr(store, "server"):
        pytest.skip("a directory that was opened does not go away; FKV_TEST_STORE=nfs4 does")
    wait_well(store)
    watch = terminal("status", "--watch=100ms", columns=200)
    watch.wait_for("all 2 serve 1")
    store.go_away()
    watch.wait_for("CANNOT BE ASKED, all below is .* old")
    store.come_back()
    watch.text = ""
    watch.wait_for("answered in")
    watch.press(b"\x03")
    assert watch.end() == 0


def test_a_publication_shows_each_node_that_is_not_there_yet(store, ads, terminal):
    ads[1].process.send_signal(signal.SIGSTOP)
    try:
        store.build("ads", ROWS)
        publish = terminal("publish", "ads")
        publish.wait_for(r"1 of 2 live nodes ready, .*\r\n  n2  ads 2  not seen yet")
        ads[1].process.send_signal(signal.SIGCONT)
        assert publish.end() == 0
        assert "activated: serving on 2 of 2 live nodes" in publish.text
        assert re.search(r"switched within .* of each other", publish.text)
    finally:
        ads[1].process.send_signal(signal.SIGCONT)


def test_interrupting_says_how_things_stand(store, ads, terminal):
    ads[1].process.send_signal(signal.SIGSTOP)
    try:
        store.build("ads", ROWS)
        publish = terminal("publish", "ads")
        publish.wait_for("n2  ads 2  not seen yet")
        publish.press(b"\x03")
        assert os.WTERMSIG(publish.end()) == signal.SIGINT
        assert "nothing was switched; fkv activate ads goes on from here" in publish.text
        rollback = terminal("activate", "ads=2", "--quorum", "1")
        assert rollback.end() == 0, rollback.text
        assert "serving on 1 of 2 live nodes" in rollback.text and "the others follow" in rollback.text
        wait = terminal("activate", "ads")
        wait.wait_for("n2  ads 2")
        wait.press(b"\x03")
        assert os.WTERMSIG(wait.end()) == signal.SIGINT and "nodes follow by themselves" in wait.text
    finally:
        ads[1].process.send_signal(signal.SIGCONT)
    ads[1].wait_current("ads", 2)
