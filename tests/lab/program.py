"""Tests whose body runs again as a program of its own, in network, mount and process namespaces made for it."""

import functools
import os
import shlex
import subprocess
import sys
from collections.abc import Callable

_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
PATIENCE = 120.0


def inside(test: Callable[[], None]) -> Callable[[], None]:
    """Runs the test's body there, with a private /run: as the main program its file calls `body` of what it was told."""

    @functools.wraps(test)
    def outside() -> None:
        rootless = () if os.geteuid() == 0 else ("--user", "--map-root-user")
        begin = 'mount -t tmpfs tmpfs /run && exec "$0" "$@"'
        body = (sys.executable, "-W", "error", "-m", test.__module__, test.__name__)
        argv = ["unshare", *rootless, *_NAMESPACES, "sh", "-c", begin, *body]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    outside.__dict__["body"] = test
    return outside


def sh(*commands: str) -> str:
    """Runs commands that must work, one after the other; the output of the last."""
    said = ""
    for command in commands:
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        said = done.stdout
    return said
