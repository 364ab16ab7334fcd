# SPDX-License-Identifier: Apache-2.0
"""A real nfs-ganesha on loopback, for tests: tests/lib/ganesha.sh as a class.

    server = Ganesha(work_dir)           # exports work_dir/export as /fkv, once started
    server.start()
    server.url(4, "store")               # nfs://127.0.0.1/fkv/store?nfsport=…&version=4
    server.kill9(); server.restart()     # the same ports
    server.pause(); server.resume()      # SIGSTOP, SIGCONT
    server.reload("--ro")                # options of ganesha.sh, on the running server
    server.clean()                       # for fixtures: nothing stays, whatever happened

start() returns when the server answers calls; a failure shows the end of the server's log. Any number run side by side.
`proxy` in url() puts a TcpProxy's port (tcp_proxy.py) in place of the server's.
"""

import ctypes
import os
import signal
import subprocess

import fkvtest

SCRIPT = os.path.join(fkvtest.ROOT, "tests", "lib", "ganesha.sh")
PR_SET_CHILD_SUBREAPER = 36


class Ganesha:
    def __init__(self, directory, *options, export=None):
        self.state = os.path.join(str(directory), "ganesha")
        self.export = str(export or os.path.join(str(directory), "export"))
        self.options = options
        self.pid = self.port = self.mount_port = None

    def launch(self, *args):
        """The server is the child of a script that ends: it becomes ours, so that it can be waited for."""
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            output = self.run(*args)
        finally:
            prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        values = dict(line.split("=", 1) for line in output.splitlines() if line.startswith("ganesha_") and "=" in line)
        self.pid = int(values["ganesha_pid"])
        self.port, self.mount_port = int(values["ganesha_port"]), int(values["ganesha_mount_port"])
        return self

    def run(self, *args):
        done = subprocess.run([SCRIPT, *args], capture_output=True, text=True, check=False, timeout=120,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"ganesha.sh {args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self):
        os.makedirs(self.export, exist_ok=True)
        return self.launch("start", self.state, self.export, *self.options)

    def restart(self):
        """Starts a stopped or killed server again, with its ports and options."""
        if self.alive():
            self.stop()
        return self.launch("restart", self.state)

    def reload(self, *options):
        self.run("reload", self.state, *options)

    def alive(self):
        return self.pid is not None and os.path.exists(f"/proc/{self.pid}/stat")

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self):
        if self.alive():
            self.run("stop", self.state)
            self.collect()

    def kill9(self):
        self.signal(signal.SIGKILL)
        self.collect()

    def collect(self):
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        self.pid = None

    def pause(self):
        """Returns when every thread of it is stopped."""
        self.signal(signal.SIGSTOP)
        fkvtest.wait_until(lambda: set(self.thread_states()) == {"T"}, "the server is stopped")

    def thread_states(self):
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/stat", encoding="utf-8") as file:
                yield file.read().rsplit(")", 1)[1].split()[0]

    def resume(self):
        self.signal(signal.SIGCONT)

    def clean(self):
        if self.alive():
            self.stop()

    def url(self, version, path="", proxy=None):
        port = proxy.port if proxy else self.port
        below = f"/{path}" if path else ""
        mount = f"&mountport={self.mount_port}" if version == 3 else ""
        return f"nfs://127.0.0.1/fkv{below}?nfsport={port}{mount}&version={version}"

    def path(self, *names):
        """A file as the server's host sees it. Changing it goes behind the server's back: see --fresh in ganesha.sh."""
        return os.path.join(self.export, *map(str, names))

    def log(self):
        path = os.path.join(self.state, "ganesha.log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.clean()
