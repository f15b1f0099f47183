"""Memory that was promised and is not taken yet, so that what does not fit under our cgroup's limit is left out and not begun.

Over its limit a cgroup loses a process, most likely the one with the answer. A look without the twin, or without the list of
processes, says so and names the rule all the same. Where there is no limit nothing is ever refused, nor waited for.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from agent.host.command import memory_of
from agent.host.memory_limit import Left, MemoryLimit, find

MIB = 1024 * 1024
# For what does not ask: what the front takes more in a look than before it (6 MiB, measured), and small programs.
_RESERVE = 8 * MIB
# Who has some is done with it within a second, but for templates, which are ended for somebody else.
_PATIENCE = 2.0
_GLANCE = 0.02
NO_ROOM = "there is no room for it"


class NoRoomError(Exception):
    """It does not fit; the message is a sentence."""


@dataclass(eq=False, slots=True)
class Claim:
    """A promise of `size` bytes, taken by the process `pid` once that is known."""

    size: int
    pid: int = 0

    @property
    def taken(self) -> int:
        """How much of it is taken, in bytes: memory of that process that is no file's."""
        try:
            return min(self.size, memory_of(self.pid))
        except OSError:  # it has not begun, or has ended
            return 0


class Room:
    """The promises of one process. Safe to use from several threads."""

    def __init__(self, limit: MemoryLimit | None = None) -> None:
        self._limit = find() if limit is None else limit
        self._lock = Lock()
        self._claims: list[Claim] = []
        self._spare: Callable[[], None] = lambda: None

    def when_short(self, spare: Callable[[], None]) -> None:
        """Has `spare` called, from any thread, where somebody waits: it returns what it can do without."""
        self._spare = spare

    def claim(self, most: int, least: int = 0, *, wait: bool = True) -> Claim:
        """A promise of `most` bytes, or of what there is but at least `least` (0: all of them); `release` ends it.

        Waits, unless told not to, for others to return what they have. Raises `NoRoomError`.
        """
        deadline = time.monotonic() + (_PATIENCE if wait else 0.0)
        while True:
            with self._lock:
                left = self._limit.left()
                free = most if left is None else left.bytes - _RESERVE - sum(each.size - each.taken for each in self._claims)
                if free >= (least or most):
                    claim = Claim(min(most, free))
                    self._claims.append(claim)
                    return claim
                later = free + sum(each.size for each in self._claims)
            if left is not None and (later < (least or most) or time.monotonic() >= deadline):
                raise NoRoomError(_sentence(left, max(0, free), least or most))
            self._spare()
            time.sleep(_GLANCE)

    def release(self, claim: Claim) -> None:
        """Returns what was promised."""
        with self._lock:
            self._claims.remove(claim)

    @contextmanager
    def claimed(self, most: int, least: int = 0) -> Iterator[Claim]:
        """`claim` for as long as this is entered."""
        claim = self.claim(most, least)
        try:
            yield claim
        finally:
            self.release(claim)


def _sentence(left: Left, free: int, wanted: int) -> str:
    return (
        f"{NO_ROOM}: it takes {wanted / MIB:.0f} MiB, and of our memory limit of {left.limit / MIB:.0f} MiB "
        f"{free / MIB:.0f} are left"
    )
