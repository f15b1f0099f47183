"""On what it was measured: processors, versions, load; and whether numbers of a machine in this state may be quoted."""

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from agent import __version__

_TOOLS = ("nft", "iptables", "prometheus-blackbox-exporter", "prometheus-node-exporter")
_LIBRARIES = ("uvicorn", "fastapi", "scapy", "python-iptables", "psutil")
_NUMBER = re.compile(r"v?(\d+\.\d+[\w.]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and when. `load` is the one-minute average before anything began; `commit` empty where there is no git."""

    taken_at: str
    cores: int
    memory_mib: int
    load: float
    kernel: str
    commit: str
    versions: dict[str, str]


def look() -> Machine:
    """This machine, now."""
    versions = {"kubereach": __version__, "Python": platform.python_version()}
    versions |= {tool: _version(tool) for tool in _TOOLS}
    versions |= {name: version(name) for name in _LIBRARIES}
    return Machine(
        taken_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        cores=os.cpu_count() or 1,
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        load=load(),
        kernel=platform.release(),
        commit=_commit(),
        versions=versions,
    )


def load() -> float:
    """Processes that ran or waited for a processor, on the average of the last minute."""
    return round(os.getloadavg()[0], 2)


def refusal(machine: Machine) -> str:
    """Why its numbers may not be quoted; empty where they may."""
    limit = machine.cores / 2
    if machine.load <= limit:
        return ""
    return f"the load is {machine.load} on {machine.cores} cores, and above {limit:g} something else is being measured, too"


def search_path() -> str:
    """Where the references are: beside our interpreter, and where Debian keeps what only root runs."""
    own = str(Path(sys.executable).parent)
    return os.pathsep.join(filter(None, (own, os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))


def _version(tool: str) -> str:
    try:
        done = subprocess.run(
            (tool, "--version"),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": search_path()},
            timeout=10,
        )
    except OSError:
        return "not installed"
    found = _NUMBER.search(done.stdout + done.stderr)
    return found[1] if found else "unknown"


def _commit() -> str:
    commit, changed = _git("rev-parse", "--short=12", "HEAD"), _git("status", "--porcelain", "--", "agent", "tests")
    return f"{commit} with changes" if changed else commit


def _git(*words: str) -> str:
    done = subprocess.run(("git", *words), capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    return done.stdout.strip()
