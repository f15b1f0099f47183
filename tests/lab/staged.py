"""A served lab as its users have it: the real command in a process of its own, its port, its process tree."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

KUBEREACH = (sys.executable, "-P", "-m", "agent.cli.app")
# Root that becomes an ordinary user for good: uid 1000 in a user namespace, without a capability after exec.
ORDINARY_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
IS_ROOT = os.geteuid() == 0
PRIVILEGES = ("root", "rootless") if IS_ROOT else ("rootless",)
PATIENCE = 30.0
NAMESPACES = ("net", "mnt", "pid", "user")


def command(privilege: str, *arguments: str) -> list[str]:
    """The command line of `kubereach ARGUMENTS` under that privilege."""
    return [*(ORDINARY_USER if IS_ROOT and privilege == "rootless" else ()), *KUBEREACH, *arguments]


def run(privilege: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `kubereach ARGUMENTS` to its end."""
    return subprocess.run(command(privilege, *arguments), capture_output=True, text=True, timeout=PATIENCE, check=False)


@dataclass
class Served:
    """A running `kubereach lab serve`."""

    process: subprocess.Popen[str]
    url: str
    announcement: str

    def descendants(self) -> dict[int, str]:
        """Command lines of the outer process and of all below it, by pid."""
        parents = {pid: parent for pid in pids() if (parent := parent_of(pid)) is not None}
        found = {self.process.pid}
        while grown := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= grown
        return {pid: command_line(pid) for pid in found}

    def pid_of(self, program: str) -> int:
        """The first process below that runs `program`, a command or a module of ours, once there is one."""
        found: list[int] = []

        def look() -> bool:
            assert self.process.poll() is None, f"the lab ended with exit code {self.process.returncode}"
            found[:] = sorted(pid for pid, line in self.descendants().items() if runs(line, program))
            return bool(found)

        await_that(look, f"no process of the lab runs {program}")
        return found[0]


@contextlib.contextmanager
def served(privilege: str, incident: str, *options: str) -> Iterator[Served]:
    """Serves an incident on a free port; the lab is gone at the end, whatever happened."""
    with starting(privilege, incident, *options) as process:
        assert process.stdout is not None
        announcement = ""
        for line in process.stdout:
            announcement += line
            if "Ctrl-C" in line:
                break
        port = re.search(r"curl 127\.0\.0\.1:(\d+)$", announcement, re.MULTILINE)
        assert port, f"the lab did not say where it serves: {announcement!r}, exit code {process.poll()}"
        yield Served(process, f"http://127.0.0.1:{port[1]}", announcement)


@contextlib.contextmanager
def starting(privilege: str, incident: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The process of `lab serve` from its first moment; ended at the end."""
    argv = command(privilege, "lab", "serve", incident, "--port", "0", *options)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def await_that(holds: Callable[[], bool], otherwise: str, patience: float = PATIENCE) -> None:
    """Waits until something holds; fails with `otherwise` when it does not in time."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def runs(line: str, program: str) -> bool:
    """Whether this is the command line of `program` itself, not of somebody who will start it."""
    words = line.split(" ")
    return program == (words[3] if words[1:3] == ["-P", "-m"] and len(words) > 3 else Path(words[0]).name)


def pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return None


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def namespaces_of(pid: int) -> set[str]:
    """The namespaces that keep a lab alive, as `net:[4026531840]`."""
    found = set()
    for kind in NAMESPACES:
        with contextlib.suppress(OSError):
            found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    return found


def namespaces_in_use() -> set[str]:
    """Every namespace that any process lives in or that is mounted here."""
    mounted = set(re.findall(r"(?:net|mnt|pid|user):\[\d+\]", Path("/proc/self/mountinfo").read_text()))
    return mounted.union(*(namespaces_of(pid) for pid in pids()))
