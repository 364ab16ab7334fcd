#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The host of one slurmd: slurm_node.py COMMAND... runs it, and what it starts stays below this process.

slurmd's helpers (slurmstepd) are made children of init, and a job's processes outlive a killed helper. This process takes
all of them over (a "subreaper"), so that its descendants are the node: killing them is what losing the node means.
It ends when none is left.
"""

import ctypes
import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36


def main():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit(f"slurm_node.py: cannot take over orphans: {os.strerror(ctypes.get_errno())}")
    if os.fork() == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    # Ended by SIGKILL after the others: a signal meant for all of a terminal's processes must not orphan them.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
