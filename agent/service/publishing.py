"""Keeps the cluster's copy of this node's answer true: written when it changes, else every five minutes, and never in a herd.

The pacing is a function of what is known and a random number, so that five thousand agents can be simulated. News is written
at once, calm at a moment of this agent's own within the period; an API server that asks for patience gets it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import Protocol

from agent.cluster.connection import ClusterError
from agent.model.reach import Reach
from agent.service.clock import Clock
from agent.service.failures import READ, WRITE

PERIOD = 300.0
# After a start the own object is read within this time, so that a cluster that restarts its agents does not ask all at once.
SPREAD = 30.0
# How often a wish for a new look is noticed: one small read of the own object.
POLL = 60.0
FIRST_BACKOFF, LONGEST_BACKOFF = 2.0, 300.0
_NOTICE = 1.0

_log = logging.getLogger(__name__)


class Store(Protocol):
    """The own object. Every method raises `ClusterError`."""

    def get(self, node: str) -> Reach | None:
        """As it is now, None where there is none."""
        ...

    def create(self, node: str) -> None:
        """Makes it."""
        ...

    def put_status(self, reach: Reach) -> None:
        """Writes it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When what is due, in monotonic seconds, and what is known.

    `stored` is what the API holds as far as we know (`known`: it was read, and may be None for an object without a status yet);
    `told` is the state and the cause that the cluster heard of last, None before the object was read; `honoured` is the last
    wish for a look that was carried out; before `quiet_until` nothing is sent at all.
    """

    read_at: float
    write_at: float
    stored: Reach | None = None
    known: bool = False
    told: tuple[str, str] | None = None
    honoured: str = ""
    failures: int = 0
    quiet_until: float = 0.0


def begin(now: float, chance: float) -> Pace:
    """A start. `chance` is uniform in [0, 1)."""
    return Pace(read_at=now + chance * SPREAD, write_at=now + chance * PERIOD)


class Publisher:
    """One agent's half of the conversation. `step` does what is due and says when to come again.

    `look` gives the latest answer, or with True a fresh one, None where there is none; `chance` random numbers in [0, 1);
    `failed` hears of each request that failed, whether it was to read the object or to write it.
    """

    def __init__(  # noqa: PLR0913 - everything it touches, so that a simulation can hand it others
        self,
        node: str,
        store: Store,
        *,
        tell: Callable[[Reach], None],
        look: Callable[[bool], Reach | None],
        clock: Clock,
        chance: Callable[[], float],
        failed: Callable[[str], None],
    ) -> None:
        self._node, self._store, self._tell, self._look, self._failed = node, store, tell, look, failed
        self._clock, self._chance = clock, chance
        self.pace = begin(clock.monotonic(), chance())
        self.problem = ""

    def step(self) -> float:
        """Does what is due; returns the seconds until something is. What fails is kept in `problem` and tried again later."""
        now = self._clock.monotonic()
        if now >= self.pace.quiet_until:
            action = READ
            try:
                if now >= self.pace.read_at:
                    self._read(now)
                action = WRITE
                if self.pace.known:
                    self._write(now)
                self.problem = ""
            except ClusterError as error:
                self.problem = str(error)
                self._failed(action)
                self._back_off(now, error)
        pace = self.pace
        due = min(pace.read_at, pace.write_at) if pace.known else pace.read_at
        return max(0.0, max(due, pace.quiet_until) - now)

    def _read(self, now: float) -> None:
        stored = self._store.get(self._node)
        if stored is None:
            self._store.create(self._node)
            stored = Reach(node=self._node)
        honoured = self.pace.honoured or stored.honoured
        if stored.requested not in ("", honoured) and self._look(True) is not None:
            honoured = stored.requested
        later = now + POLL * (0.5 + self._chance())
        told = self.pace.told or (stored.state, stored.cause)
        self.pace = replace(self.pace, stored=stored, known=True, told=told, honoured=honoured, read_at=later, failures=0)

    def _write(self, now: float) -> None:
        due = now >= self.pace.write_at
        found, stored = self._look(due), self.pace.stored or Reach(node=self._node)
        if found is None:
            if due:  # the next turn may find more; until then what the object says is as old as its lookTime
                self.pace = replace(self.pace, write_at=now + PERIOD)
            return
        answer = (found.state, found.cause)
        same = (stored.state, stored.cause) == answer
        since = stored.transition_time if same and stored.transition_time else found.look_time
        found = replace(found, transition_time=since, honoured=self.pace.honoured)
        if found.news != stored.news or due:
            self._store.put_status(found)
            later = now + PERIOD if due else self.pace.write_at
            self.pace = replace(self.pace, stored=found, write_at=later, failures=0)
        if answer != self.pace.told:  # a write whose response was lost was one all the same, and nothing of it was told yet
            self.pace = replace(self.pace, told=answer)
            self._tell(found)

    def _back_off(self, now: float, error: ClusterError) -> None:
        """Later, at a moment of our own: full jitter over a growing time, but never before the server's Retry-After."""
        longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**self.pace.failures)
        later = now + (error.patience or 0.0) + self._chance() * longest
        gone = error.status == 404  # somebody deleted the object: it is read, and made, again
        self.pace = replace(
            self.pace,
            quiet_until=later,
            known=self.pace.known and not gone,
            read_at=later if gone else self.pace.read_at,
            failures=self.pace.failures + 1,
        )


def run(publisher: Publisher, ended: Event) -> None:
    """Steps until `ended` is set. A new answer is noticed within a second."""
    told = ""
    while not ended.wait(min(publisher.step(), _NOTICE)):
        if publisher.problem != told:
            told = publisher.problem
            if told:
                _log.warning("the cluster's copy is not current: %s", told)
            else:
                _log.info("the cluster's copy is current again")
