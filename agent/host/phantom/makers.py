"""The process that a phantom's namespace lives and dies with, told from every later one that gets its number.

A DEL that is meant for a dead process' namespace must not meet a stranger's: a pod's interface has the same name in each.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Maker:
    """A process: its number, and when it started, in clock ticks after the machine did (proc(5), stat, field 22)."""

    pid: int
    started: int

    @property
    def netns(self) -> str:
        """The path of its network namespace while it lives. Once it is dead it may be somebody else's."""
        return f"/proc/{self.pid}/ns/net"


def myself() -> Maker:
    """The calling process."""
    return Maker(os.getpid(), _started(os.getpid()))


@contextmanager
def namespace(maker: Maker) -> Iterator[str]:
    """A path that leads to its network namespace until this is left, even if it dies meanwhile; empty where that is gone."""
    try:
        held = os.open(maker.netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # no such process, a zombie (ENOENT) or one that is just going (EACCES): all that was its own goes with it
        yield ""
        return
    try:
        # After the opening: had the number been given away before, it would be another's still.
        same = False
        with suppress(OSError):  # it ended between the two
            same = _started(maker.pid) == maker.started
        yield f"/proc/{os.getpid()}/fd/{held}" if same else ""
    finally:
        os.close(held)


def _started(pid: int) -> int:
    # The second field is a name, which may hold blanks and parentheses; the third is the first after its end.
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(text.rpartition(")")[2].split()[22 - 3])
