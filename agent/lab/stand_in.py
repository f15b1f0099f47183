"""A stand-in for a program of which only the process counts: its name, its flags, its environment, its files.

Run as `python -m agent.lab.stand_in --flag=...` with the real program's flags; its name comes by the environment. It does
nothing until it is killed: whoever starts it holds it on a leash.
"""

import os
import signal
from pathlib import Path

from agent.lab.handover import NAME_VARIABLE, ROOT_VARIABLE, report_ready


def main() -> None:
    """Takes its name and its root directory, and waits."""
    # The name that process lists show (proc_pid_comm(5)).
    Path("/proc/self/comm").write_text(os.environ[NAME_VARIABLE], encoding="ascii")
    root = os.environ.get(ROOT_VARIABLE)
    if root:
        os.chroot(root)
        os.chdir("/")
    report_ready()
    signal.pause()


if __name__ == "__main__":
    main()
