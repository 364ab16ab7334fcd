# SPDX-License-Identifier: Apache-2.0
"""libfkv on real mounts, through client_probe, a program that links it as a user's would."""

import errno
import os
import shutil
import signal
import subprocess
import threading
import time

import fkvtest
import pytest
from fkvtest import BUILD, NOBODY, wait_until

pytestmark = pytest.mark.kinds

PROBE = os.path.join(BUILD, "tests", "e2e", "progs", "client_probe")
TRANSPORTS = ["shared", "message", "inline"]


class Refused(Exception):
    """What the library answered instead: an errno and a sentence."""

    def __init__(self, line):
        _, code, self.text = line.split(" ", 2)
        self.code = int(code)
        super().__init__(f"{errno.errorcode.get(self.code)}: {self.text}")


class Probe:
    """client_probe on a table's directory."""

    def __init__(self, path, transport="auto", timeout_ms=10000, prefix=(), user=None):
        command = [*prefix, PROBE, str(path), transport, str(timeout_ms)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=user)
        self.version = self.transport = self.found = None
        self._answer()

    def _answer(self):
        lines = []
        while (line := self.process.stdout.readline()) != ".\n":
            assert line, f"client_probe ended: {self.process.wait()}"
            lines.append(line.rstrip("\n"))
        if lines and lines[0].startswith("error "):
            raise Refused(lines[0])
        return lines

    def send(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def ask(self, *words):
        self.send(*words)
        return self._answer()

    def get(self, *words):
        """A lookup: {key: bytes or None}; sets version, transport and found."""
        return self.got(self.ask(*words))

    def got(self, lines):
        head, *rest = lines
        _, version, _, self.transport, _, found = head.split()
        self.version, self.found = int(version), int(found)
        pairs = (line.split(" ") for line in rest)
        return {int(key): None if value == "-" else bytes.fromhex(value) for key, value in pairs}

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def refusal(call, *args, **kwargs):
    with pytest.raises(Refused) as caught:
        call(*args, **kwargs)
    return caught.value


def rows(version, n=1000):
    """Values of lengths that differ, whose last character tells the version."""
    return [(i, "x" * (i % 40) + str(version % 10)) for i in range(1, n + 1)]


def publish(store, version, n=1000, *args):
    store.publish("t", rows(version, n), "--key", "u64", "--value", "bytes", *args)


# --- Answers ---


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_values_that_vary(tables, transport):
    with Probe(tables.path("nums"), transport) as probe:
        got = probe.get("u64", 1, 500, 1000, 1001, 7)
        expected = {k: tables.tables["nums"].get(k, "").encode() or None for k in (1, 500, 1000, 1001, 7)}
        assert got == expected
        assert (probe.version, probe.transport, probe.found) == (2, transport, 4)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_byte_keys_of_any_content(tables, transport):
    words = list(tables.tables["words"]) + ["no such word", "x" * 255]
    with Probe(tables.path("words"), transport) as probe:
        got = probe.get("bytes", *(word.encode().hex() for word in words))
        assert list(got.values()) == [v.encode() for v in tables.tables["words"].values()] + [None, None]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_vectors_as_stored_as_floats_and_as_a_matrix(tables, transport):
    with Probe(tables.path("vecs"), transport) as probe:
        assert probe.get("u64", 3)[3].hex() == "0042003800bc0000"
        probe.ask("f32", 1)
        assert probe.get("u64", 3)[3].hex() == "000040400000003f000080bf00000000"
        assert probe.ask("matrix", 4, 7, 101, 8) == ["version 1", "7 0 7 0.5 -1 0", "101 1 0 0 0 0", "8 0 8 0.5 -1 0"]
        wrong = refusal(probe.ask, "matrix", 5, 7)
        assert wrong.code == errno.EINVAL and "vectors of 4 elements, the matrix 5" in wrong.text


def test_shared_memory_is_the_first_choice_and_the_shape_is_told(tables):
    with Probe(tables.path("vecs")) as probe:
        probe.get("u64", 1)
        assert probe.transport == "shared"
        assert probe.ask("shape") == ["version 1 keys 100 type 1 dim 4 len 8 elem f16"]


def test_an_ordinary_user_shares_memory_too(tables):
    with Probe(tables.path("nums"), user=NOBODY) as probe:
        assert probe.get("u64", 1)[1] == tables.tables["nums"][1].encode()
        assert probe.transport == "shared"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_wrong_kind_of_key_is_explained(tables, transport):
    with Probe(tables.path("words"), transport) as probe:
        wrong = refusal(probe.get, "u64", 1)
        assert wrong.code == errno.EINVAL and "use fkv_get_bytes()" in wrong.text
        wrong = refusal(probe.ask, "matrix", 4, 1)
        assert wrong.code == errno.EINVAL
    with Probe(tables.path("nums"), transport) as probe:
        assert refusal(probe.ask, "matrix", 4, 1).code == errno.ENOTSUP


def test_opening_what_is_no_table_says_so(tables, work_dir):
    for path in (tables.path("none"), tables.path("nums", "v", "99"), work_dir):
        wrong = refusal(Probe, path)
        assert wrong.code == errno.ENOENT and str(path) in wrong.text


@pytest.mark.parametrize("transport", ["shared", "message"])
def test_as_many_keys_as_a_batch_may_have(tables, transport):
    with Probe(tables.path("nums"), transport) as probe:
        probe.ask("count", 1, 1 << 20)
        assert probe.got(probe.ask("count", 1, 1 << 20)) == {} and probe.found == 1000
        assert refusal(probe.ask, "count", 1, (1 << 20) + 1).code in (errno.E2BIG, errno.ENOMEM)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_long_values_make_room_for_themselves(store, make_daemon, transport):
    long = {1: "a" * 3_000_000, 2: "", 3: "b" * 200_000, 4: "c"}
    store.publish("t", long.items(), "--key", "u64", "--value", "bytes")
    daemon = make_daemon()
    daemon.wait_current("t", 1)
    with Probe(daemon.path("t"), transport) as probe:
        if transport == "inline":
            wrong = refusal(probe.get, "u64", 4, 1)
            assert wrong.code == errno.E2BIG and "too long" in wrong.text
            assert probe.get("u64", 4, 2, 5) == {4: b"c", 2: b"", 5: None}
            return
        got = probe.get("range", 1, 5)
        assert {key: value.decode() for key, value in got.items()} == long


# --- Ways of travelling ---


class ShutInDaemon(fkvtest.Daemon):
    """A daemon in a pid namespace of its own: it cannot see its callers, nor reach into them."""

    def command(self, *more):
        return ["unshare", "--pid", "--fork", "--kill-child=SIGTERM", *super().command(*more)]

    def answers(self):
        assert self.process.poll() is None, self.log()
        return fkvtest.is_mounted(self.mount) and self.link("t") is not None


def test_a_daemon_that_cannot_see_its_callers_is_asked_otherwise(store, work_dir):
    publish(store, 1)
    daemon = ShutInDaemon(store, os.path.join(work_dir, "shut-in"))
    try:
        daemon.start()
        expected = {key: value.encode() for key, value in rows(1)}
        with Probe(daemon.path("t")) as probe:
            assert probe.get("u64", 5, 6) == {5: expected[5], 6: expected[6]}
            assert probe.transport == "inline"
            assert probe.get("range", 1, 5000) == expected
            assert probe.transport == "message"
        wrong = refusal(Probe, daemon.path("t"), "shared")
        assert "share memory" in wrong.text
    finally:
        daemon.process.send_signal(signal.SIGKILL)  # --kill-child ends the daemon
        daemon.process.wait()
        wait_until(lambda: not fkvtest.is_mounted(daemon.mount) or fkvtest.unmount(daemon.mount), "it is gone")


def test_a_mode_keeps_strangers_out(store, make_daemon):
    publish(store, 1, 1000, "--mode", "0400")
    daemon = make_daemon()
    daemon.wait_current("t", 1)
    wrong = refusal(Probe, daemon.path("t"), user=NOBODY)
    assert wrong.code == errno.EACCES


# --- Versions ---


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_exact_and_at_least_versions(tables, transport):
    with Probe(tables.path("nums"), transport) as probe:
        probe.ask("exact", 1)
        assert probe.get("u64", 5)[5].startswith(b"old") and probe.version == 1
        probe.ask("exact", 9)
        wrong = refusal(probe.get, "u64", 5)
        assert wrong.code == errno.ESTALE and "version 9 is not served here; 2 is current" in wrong.text
        probe.ask("exact", 0)
        probe.ask("atleast", 2)
        assert probe.get("u64", 5)[5].startswith(b"one")
        probe.ask("atleast", 3)
        assert refusal(probe.get, "u64", 5).code == errno.EAGAIN


@pytest.mark.concurrent
def test_batches_follow_the_switch_and_pinned_ones_do_not(store, make_daemon):
    publish(store, 1)
    daemon = make_daemon()
    daemon.wait_current("t", 1)
    with Probe(daemon.path("t")) as follow, Probe(daemon.path("t", "v", 1)) as pinned, \
            Probe(daemon.path("t", "current")) as by_link:
        for version in (2, 3, 4):
            publish(store, version)
            daemon.wait_current("t", version)
            assert follow.get("u64", 40)[40] == str(version).encode() and follow.version == version
            for probe in (pinned, by_link):
                assert probe.get("u64", 40)[40] == b"1" and probe.version == 1
        pinned.ask("exact", 4)
        assert refusal(pinned.get, "u64", 1).code == errno.ESTALE


def test_version_under_a_lease_stays_whole(store, make_daemon):
    publish(store, 1)
    daemon = make_daemon()
    daemon.wait_current("t", 1)
    with Probe(daemon.path("t", "v", 1)) as held:
        assert held.get("u64", 40)[40] == b"1"
        for version in range(2, 9):  # beyond what the cache keeps
            publish(store, version)
            daemon.wait_current("t", version)
        with Probe(daemon.path("t", "v", 1)) as again:
            assert again.get("u64", 40)[40] == b"1"
    wait_until(lambda: not os.path.exists(daemon.path("t", "v", 1)), "it goes with its last lease")


@pytest.mark.concurrent
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_threads_share_a_table_across_switches(store, make_daemon, transport):
    publish(store, 1)
    daemon = make_daemon()
    daemon.wait_current("t", 1)
    with Probe(daemon.path("t"), transport) as probe:
        probe.send("threads", 4, 2500)
        for version in range(2, 6):
            publish(store, version)
            daemon.wait_current("t", version)
        (line,) = probe._answer()
        words = line.split()
        assert int(words[1]) > 100 and words[2:] == ["failed", "0", "mixed", "0"]


# --- A daemon that goes away ---


@pytest.mark.concurrent
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_killed_daemon_is_found_again(store, make_daemon, transport):
    publish(store, 1)
    daemon = make_daemon()
    daemon.wait_current("t", 1)
    expected = {key: value.encode() for key, value in rows(1)}
    with Probe(daemon.path("t"), transport) as probe:
        for _ in range(3):
            assert probe.get("range", 1, 1000) == expected
            daemon.kill()
            probe.send("range", 1, 1000)
            time.sleep(0.2)
            daemon.start(wait=False)
            assert probe.got(probe._answer()) == expected
            wait_until(daemon.answers, "the mount answers")


def test_a_stopped_daemon_is_waited_for_only_until_the_deadline(store, make_daemon):
    publish(store, 1)
    daemon = make_daemon()
    daemon.wait_current("t", 1)
    with Probe(daemon.path("t"), "auto", 5000) as probe:
        probe.get("u64", 1)
        daemon.stop()
        probe.ask("deadline", 300)
        start = time.monotonic()
        wrong = refusal(probe.get, "u64", 1)
        took = time.monotonic() - start
        assert wrong.code == errno.ENOTCONN and "no fkvd answered in time" in wrong.text
        assert 0.25 < took < 3
        daemon.start()
        daemon.wait_current("t", 1)
        probe.ask("deadline", 5000)
        assert probe.get("u64", 40)[40] == b"1"


def test_a_pinned_reader_comes_back_to_its_version_or_is_told(store, make_daemon):
    publish(store, 1)
    daemon = make_daemon()
    daemon.wait_current("t", 1)
    publish(store, 2)
    daemon.wait_current("t", 2)
    with Probe(daemon.path("t", "v", 1)) as former, Probe(daemon.path("t", "v", 2)) as current:
        daemon.kill()
        daemon.start()
        daemon.wait_current("t", 2)
        assert current.get("u64", 40)[40] == b"2"
        wait_until(lambda: os.path.exists(daemon.path("t", "v", 1)), "the previous version is back")
        try:
            assert former.get("u64", 40)[40] == b"1"
        except Refused as refused:  # it asked before version 1 was loaded
            assert refused.code == errno.ESTALE
    with Probe(daemon.path("t", "v", 1)) as lost:
        for version in (3, 4, 5):
            publish(store, version)
            daemon.wait_current("t", version)
        assert lost.get("u64", 40)[40] == b"1"  # leased
        daemon.kill()
        daemon.start()
        daemon.wait_current("t", 5)
        wrong = refusal(lost.get, "u64", 40)
        assert wrong.code == errno.ESTALE and "version 1 is no longer served" in wrong.text


def test_restarts_under_load_fail_nobody(store, make_daemon):
    publish(store, 1)
    daemon = make_daemon()
    daemon.wait_current("t", 1)
    stop = threading.Event()

    def restart_now_and_then():
        while not stop.wait(0.4):
            daemon.kill()
            daemon.start()

    with Probe(daemon.path("t"), "auto", 20000) as probe:
        restarter = threading.Thread(target=restart_now_and_then)
        restarter.start()
        try:
            (line,) = probe.ask("threads", 4, 3000)
        finally:
            stop.set()
            restarter.join()
        assert line.split()[2:] == ["failed", "0", "mixed", "0"], line


# --- The library as installed ---


@pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "src", "client", "libfkv.a")), reason="sanitizer build")
def test_an_outside_program_builds_with_pkg_config(tables, work_dir):
    root = os.path.join(work_dir, "root")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root], check=True,
                   capture_output=True)
    (pc,) = [os.path.join(at, f) for at, _, files in os.walk(root) for f in files if f == "fkv.pc"]
    env = dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(pc), PKG_CONFIG_SYSROOT_DIR=root)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "fkv"], env=env, capture_output=True, text=True,
                           check=True).stdout.split()
    source = os.path.join(fkvtest.ROOT, "tests", "e2e", "progs", "client_probe.c")
    lib = os.path.dirname(os.path.dirname(pc))
    for kind, extra in (("shared", []), ("static", ["-Wl,-Bstatic"])):
        program = os.path.join(work_dir, kind)
        subprocess.run(["gcc", source, *extra, *flags, "-Wl,-Bdynamic", "-pthread", "-o", program], check=True)
        done = subprocess.run([program, tables.path("nums")], env=dict(os.environ, LD_LIBRARY_PATH=lib), text=True,
                              input="u64 1\n", capture_output=True, check=True)
        assert done.stdout.splitlines()[1] == "version 2 transport shared found 1", done.stdout
    assert "libfkv.so.0" in subprocess.run(["ldd", os.path.join(work_dir, "shared")], capture_output=True, text=True,
                                           env=dict(os.environ, LD_LIBRARY_PATH=lib), check=True).stdout
    shutil.rmtree(root)


# --- The examples ---


def example(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_reader_needs_no_library(tables):
    reader = os.path.join(fkvtest.ROOT, "examples", "read_features.py")
    assert example("/usr/bin/python3", reader, tables.path("nums"), 1, 7777).splitlines() == [
        "version 2", f"  {1:<16} {tables.tables['nums'][1].encode()!r}", f"  {7777:<16} (absent)"]
    assert "[3.0000, 0.5000, -1.0000, 0.0000]" in example("/usr/bin/python3", reader, tables.path("vecs"), 3)
    assert "b'0000'" in example("/usr/bin/python3", reader, tables.path("words", "v", 1), "cat")


def test_words_are_ranked_and_a_watching_reader_sees_the_switch(store, make_daemon, work_dir):
    words = {"north": "1,0", "northeast": "0.7,0.7", "east": "0,1", "south": "-1,0"}
    store.publish("w", words.items(), "--key", "bytes", "--value", "f16[2]")
    daemon = make_daemon()
    daemon.wait_current("w", 1)
    words_list = os.path.join(work_dir, "words.txt")
    with open(words_list, "w", encoding="utf-8") as file:
        file.write("\n".join([*words, "nowhere"]) + "\n")
    ranked = example(os.path.join(BUILD, "examples", "rank_words"), daemon.path("w"), words_list, "north", 2)
    assert '"north" among 4 words, f16[2], version 1' in ranked
    assert [line.split()[1] for line in ranked.splitlines()[2:]] == ["northeast", "east"]
    watcher = subprocess.Popen([os.path.join(BUILD, "examples", "watch_reader"), daemon.path("w"), words_list, "3"],
                               stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    store.publish("w", [*words.items(), ("nowhere", "0,0")])
    seen = watcher.communicate(timeout=60)[0]
    assert watcher.returncode == 0 and "1 switches: 0 failed, 0 mixed" in seen, seen
    assert "version 1: 4 of 5 words" in seen and "version 2: 5 of 5 words" in seen
