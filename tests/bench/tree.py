"""What processes use, read from /proc: memory, processor time, descriptors, threads."""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event, Thread

_TICKS = os.sysconf("SC_CLK_TCK")
_PAUSE = 0.05


def pss(pids: Iterable[int]) -> float:
    """Proportional set size of all together in MiB (`smaps_rollup`, proc(5)). One that has ended has none."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time of all, and of their children that have ended: fields 14 to 17 of proc(5)'s stat."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def descriptors(pids: Iterable[int]) -> int:
    """Open descriptors of all."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def threads(pids: Iterable[int]) -> int:
    """Threads of all."""
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


class Peak:
    """The most memory that some processes have while it watches. A context manager; `mib` afterwards."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self.mib = 0.0
        self._pids, self._ended = pids, Event()
        self._thread = Thread(target=self._watch, name="peak")

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            self.mib = max(self.mib, pss(self._pids()))
            self._ended.wait(_PAUSE)
