# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping, dying, and starting again."""

import ctypes
import errno
import json
import os
import signal
import subprocess
import threading
import time

import pytest
from fkvtest import FKVD, PATIENCE_S, Lookup, is_mounted, unmount, wait_until

pytestmark = pytest.mark.kinds

ROWS = [(key, f"value-{key}") for key in range(1, 2001)]
SHAPE = ("--key", "u64", "--value", "bytes")


@pytest.fixture
def served(store, make_daemon):
    store.publish("ads", ROWS, *SHAPE)
    daemon = make_daemon()
    daemon.wait_current("ads", 1)
    return daemon


def run(command, timeout=PATIENCE_S, **variables):
    env = {name: value for name, value in os.environ.items() if not name.startswith("FKV_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env={**env, **variables})


# --- clean lives ---


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_and_ends_it(served, signo):
    served.process.send_signal(signo)
    assert served.process.wait(timeout=PATIENCE_S) == 0
    assert not is_mounted(served.mount) and os.listdir(served.mount) == []


def test_a_mount_that_holds_its_dead_daemon_is_taken_away(served):
    """A thread in the kernel keeps the connection open after kill -9: here, this process does."""
    pidfd = os.pidfd_open(served.process.pid)
    for fd in os.listdir(f"/proc/{served.process.pid}/fd"):
        if os.readlink(f"/proc/{served.process.pid}/fd/{fd}") == "/dev/fuse":
            held = ctypes.CDLL(None).syscall(438, pidfd, int(fd), 0)  # pidfd_getfd
    assert held >= 0
    served.kill()
    stuck = subprocess.Popen(["cat", served.path("ads", "current", "key", "7")], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    served.start()
    assert stuck.wait(timeout=PATIENCE_S) != 0
    assert served.read("ads", "current", "key", 7) == b"value-7"
    os.close(held)
    os.close(pidfd)


def test_the_mount_point_may_be_a_link(store, make_daemon, work_dir):
    store.publish("ads", ROWS, *SHAPE)
    os.mkdir(os.path.join(work_dir, "real"))
    os.symlink("real", os.path.join(work_dir, "link"))
    daemon = make_daemon(start=False)
    daemon.mount = os.path.join(work_dir, "link")
    try:
        daemon.start()
        daemon.wait_current("ads", 1)
        daemon.kill()
        daemon.start()  # the dead mount is found, and replaced
        assert daemon.read("ads", "current", "key", 7) == b"value-7"
    finally:
        daemon.clean()
        unmount(os.path.join(work_dir, "real"))


def test_sighup_is_nothing(served):
    served.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert served.read("ads", "current", "key", 1) == b"value-1"


@pytest.mark.concurrent
def test_it_stops_although_files_are_open(served):
    with Lookup(served.path("ads", "batch")) as lookup:
        lookup.attach()
        directory = os.open(served.path("ads"), os.O_RDONLY)
        assert served.stop() == 0
        assert not is_mounted(served.mount)
        with pytest.raises(OSError) as caught:
            lookup.ask_shared([1])
        assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV)
        os.close(directory)


def test_an_unmount_from_outside_ends_it(served):
    assert run(["umount", served.mount]).returncode == 0
    assert served.process.wait(timeout=PATIENCE_S) == 0


def test_detached_it_returns_when_the_mount_answers(store, make_daemon):
    store.publish("ads", ROWS, *SHAPE)
    daemon = make_daemon(start=False)
    done = run(daemon.command())
    try:
        assert done.returncode == 0, done.stderr
        status = daemon.status()
        pid = status["daemon"]["pid"]
        assert daemon.read("ads", "current", "key", 9) == b"value-9"
        assert os.getsid(pid) == pid
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon is gone")
        assert not is_mounted(daemon.mount)
    finally:
        unmount(daemon.mount)


def test_the_service_manager_hears_that_it_is_ready(store, make_daemon, work_dir):
    import socket
    path = os.path.join(work_dir, "notify")
    daemon = make_daemon(start=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(PATIENCE_S)
        os.environ["NOTIFY_SOCKET"] = path
        try:
            daemon.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert listener.recv(100) == b"READY=1"
        daemon.process.terminate()
        assert listener.recv(100) == b"STOPPING=1"


# --- refusals ---


@pytest.mark.parametrize("args,status,text", [
    ([], 2, "--store"),
    (["--store", "x", "--memory", "lots"], 2, "--memory"),
    (["--store", "x", "--poll", "0"], 2, "--poll"),
    (["--store", "x", "--threads", "9999"], 2, "--threads"),
    (["--store", "x", "--log-level", "loud"], 2, "--log-level"),
    (["--store", "x", "--nonsense"], 2, "unrecognized"),
    (["--store", "x", "--mount", "/"], 2, "--mount"),
    (["--store", "x", "/mnt/a", "/mnt/b"], 2, "one mount point"),
])
def test_wrong_words_are_named(args, status, text):
    done = run([FKVD, *args])
    assert done.returncode == status and text in done.stderr


def test_the_environment_names_store_and_mount(store, make_daemon):
    daemon = make_daemon(start=False)
    done = run([FKVD, "--cache", daemon.cache], FKV_STORE=store.url, FKV_MOUNT=daemon.mount)
    try:
        assert done.returncode == 0, done.stderr
        os.kill(daemon.status()["daemon"]["pid"], signal.SIGTERM)
        wait_until(lambda: not is_mounted(daemon.mount), "it is unmounted")
    finally:
        unmount(daemon.mount)


def test_help_teaches():
    done = run([FKVD, "--help"])
    assert done.returncode == 0
    for word in ("--store", "ln -sfn", "--memory", "status.json"):
        assert word in done.stdout


def test_a_store_that_was_never_there_is_named(make_daemon, work_dir):
    daemon = make_daemon(start=False)
    done = run([FKVD, "--store", os.path.join(work_dir, "nowhere"), "--mount", daemon.mount, "--cache", daemon.cache])
    try:
        # With nothing cached and no store there is nothing to serve; either answer must say where it looked.
        assert done.returncode == 0 or "nowhere" in done.stderr
        if done.returncode == 0:
            os.kill(daemon.status()["daemon"]["pid"], signal.SIGTERM)
            wait_until(lambda: not is_mounted(daemon.mount), "it is unmounted")
    finally:
        unmount(daemon.mount)


def test_it_does_not_mount_over_files(make_daemon):
    daemon = make_daemon(start=False)
    os.makedirs(daemon.mount)
    with open(os.path.join(daemon.mount, "precious"), "w", encoding="utf-8") as file:
        file.write("x")
    done = run(daemon.command())
    assert done.returncode == 3 and "precious" in done.stderr
    assert not is_mounted(daemon.mount)


def test_it_does_not_mount_on_a_file(make_daemon):
    daemon = make_daemon(start=False)
    with open(daemon.mount, "w", encoding="utf-8") as file:
        file.write("x")
    done = run(daemon.command())
    assert done.returncode == 2 and "directory" in done.stderr


def test_it_does_not_take_another_s_place(served, make_daemon):
    other = make_daemon("n2", start=False)
    other.mount = served.mount
    done = run(other.command())
    assert done.returncode == 3 and "another fkvd" in done.stderr
    assert served.read("ads", "current", "key", 1) == b"value-1"
    other.mount = other.directory + "/none"


def test_one_daemon_a_cache(served, make_daemon):
    other = make_daemon("n2", start=False)
    other.cache = served.cache
    done = run(other.command())
    assert done.returncode == 3, done.stderr
    assert not is_mounted(other.mount)


def test_it_does_not_cover_another_file_system(make_daemon):
    daemon = make_daemon(start=False)
    os.makedirs(daemon.mount)
    assert run(["mount", "-t", "tmpfs", "none", daemon.mount]).returncode == 0
    try:
        done = run(daemon.command())
        assert done.returncode == 3 and "tmpfs" in done.stderr
    finally:
        unmount(daemon.mount)


# --- deaths ---


def test_a_dead_daemon_s_mount_is_replaced(served):
    served.kill()
    assert is_mounted(served.mount)
    with pytest.raises(OSError) as caught:
        os.statvfs(served.mount)
    assert caught.value.errno == errno.ENOTCONN
    served.start()
    assert served.read("ads", "current", "key", 2) == b"value-2"
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        assert sum(line.split()[1] == served.mount for line in mounts) == 1


def test_it_restarts_into_what_it_served_without_the_store(store, served):
    store.publish("ads", [(k, f"new-{k}") for k, _ in ROWS])
    served.wait_current("ads", 2)
    served.kill()
    store.go_away()
    try:
        served.start()
        assert served.link("ads") == "v/2" and served.read("ads", "current", "key", 3) == b"new-3"
    finally:
        store.come_back()
    store.publish("ads", [(k, f"newer-{k}") for k, _ in ROWS])
    served.wait_current("ads", 3)


def load(path, stop, counts, errors):
    """Reads until told to stop; connects again when the daemon went away; checks every answer."""
    lookup = None
    while not stop.is_set():
        try:
            if lookup is None:
                lookup = Lookup(path)
                lookup.attach()
            reply = lookup.ask_shared(list(range(1, 501)))
            if reply.error == -errno.ENOENT:
                continue
            assert reply.values() == [f"value-{key}".encode() for key in range(1, 501)]
            counts[0] += 1
        except OSError as error:
            if lookup:
                lookup.close()
                lookup = None
            if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV, errno.ENOENT, errno.EIO):
                errors.append(error)
                return
            time.sleep(0.005)
        except BaseException as error:
            errors.append(error)
            return
    if lookup:
        lookup.close()


@pytest.mark.concurrent
def test_killed_under_load_it_comes_back_by_itself(served):
    stop, counts, errors = threading.Event(), [0], []
    readers = [threading.Thread(target=load, args=(served.path("ads", "batch"), stop, counts, errors))
               for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(5):
            goal = counts[0] + 20
            wait_until(lambda: counts[0] > goal or errors, "readers are answered")
            served.kill()
            served.start()
        goal = counts[0] + 20
        wait_until(lambda: counts[0] > goal or errors, "readers are answered again")
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not errors


@pytest.mark.concurrent
def test_killed_while_versions_arrive_it_recovers(store, served):
    for version in range(2, 6):
        store.build("ads", [(k, f"{version}-{k}") for k, _ in ROWS])
        publish = threading.Thread(target=lambda: store.fkv("publish", "ads", "--max-change", "0", "--no-wait"))
        publish.start()
        time.sleep(0.02 * version)
        served.kill()
        publish.join()
        served.start()
        served.wait_current("ads", version)
        assert served.read("ads", "current", "key", 4) == f"{version}-4".encode()


@pytest.mark.concurrent
def test_a_lease_outlives_switches(store, served):
    pinned = Lookup(served.path("ads", "v", 1, "batch"))
    parts = os.open(served.path("ads", "v", 1, "parts"), os.O_RDONLY)
    try:
        for version in range(2, 9):
            store.publish("ads", [(k, f"{version}-{k}") for k, _ in ROWS])
            served.wait_current("ads", version)
        pinned.attach()
        assert pinned.ask_shared([5]).values() == [b"value-5"]
        name = os.listdir(parts)[0]
        assert pinned.info()["version"] == 1 and name.endswith(".part")
        leases = served.status()["daemon"]["leases"]
        assert leases == 2
    finally:
        os.close(parts)
        pinned.close()
    wait_until(lambda: served.status()["daemon"]["leases"] == 0, "the leases are given back")
    wait_until(lambda: "1" not in os.listdir(served.path("ads", "v")), "version 1 is gone")
    wait_until(lambda: not os.path.exists(served.path("ads", "v", 1)), "the kernel forgot it")


def test_it_says_what_it_does(served):
    wait_until(lambda: f"at {served.mount}" in served.log(), "it says where it serves")
    assert json.dumps(served.status())
