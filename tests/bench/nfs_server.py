# SPDX-License-Identifier: Apache-2.0
"""A real NFS server on loopback for a benchmark: nfs-ganesha, by tests/lib/ganesha.sh."""

import os
import subprocess
import sys

import bench

SCRIPT = os.path.join(bench.ROOT, "tests", "lib", "ganesha.sh")


class Server:
    """Exports a directory as long as it is entered."""

    def __init__(self, state, export):
        self.state, self.export = state, export
        self.pid = self.port = self.mount_port = 0

    def __enter__(self):
        try:
            shown = bench.run(SCRIPT, "start", self.state, self.export)
        except BaseException:
            self.__exit__()
            raise
        facts = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        self.pid, self.port = int(facts["ganesha_pid"]), int(facts["ganesha_port"])
        self.mount_port = int(facts["ganesha_mount_port"])
        return self

    def __exit__(self, *_):
        done = subprocess.run([SCRIPT, "stop", self.state], check=False)
        if done.returncode:
            print(f"ganesha {self.pid} may still run", file=sys.stderr)

    def url(self, version, path=""):
        """Of a path below the export."""
        mount_port = f"&mountport={self.mount_port}" if version == 3 else ""
        return f"nfs://127.0.0.1/fkv/{path}?nfsport={self.port}{mount_port}&version={version}"

    def stand_back(self, nice):
        """Gives way to others, as a server on another host would, or (0) no more."""
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            os.setpriority(os.PRIO_PROCESS, int(tid), nice)

    def cpu_seconds(self):
        return bench.process_cpu_seconds(self.pid)


def about():
    return f"nfs-ganesha {bench.package_version('nfs-ganesha')}, libnfs {bench.package_version('libnfs13')}, loopback"
