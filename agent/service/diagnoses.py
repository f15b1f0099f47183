"""Diagnoses as things with a name and a life: queued, running, done or failed. One runs at a time, the last ones are kept.

Whoever asks while one is under way gets that one: ten impatient people in an incident cost the node one look.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Lock

from agent.model.capture import Capture, Stage
from agent.model.report import Report, State
from agent.model.settings import Extras
from agent.service.clock import Clock
from agent.service.host import BrokerGone, HostError
from agent.service.packed import Packed

# A look takes about a second at most; older than ten, the rules may have been changed by the one who asks.
MAXIMUM_AGE = 10.0
# Reports of some ten kilobytes each: enough to see a night's flapping, little enough for a node.
KEPT = 50

_PLAIN = Extras()
_log = logging.getLogger(__name__)


class Progress(StrEnum):
    """Where a diagnosis is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One run. `error` is a sentence when it failed; `finished` is monotonic seconds, for ages only.

    `stages` are those of its look that have ended, in the order in which they did. `passing`: it failed for want of a broker,
    which is started again.
    """

    id: str
    progress: Progress
    asked_at: str
    ended_at: str | None = None
    finished: float | None = None
    error: str = ""
    passing: bool = False
    report: Report | None = None
    stages: tuple[Stage, ...] = ()


class Diagnoses:
    """Runs diagnoses and remembers them. Safe from any thread; `close()` waits for the one under way."""

    def __init__(self, look: Callable[[Extras], Capture], analyse: Callable[[Capture], Report], clock: Clock) -> None:
        self._look, self._analyse, self._clock = look, analyse, clock
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="diagnosis")
        self._kept: dict[str, Diagnosis] = {}
        self._under_way: dict[Extras, tuple[str, Future[None]]] = {}
        self._capture: Packed | None = None
        self._latest: str | None = None
        self._age = 0  # how often what had been seen was no longer so
        self._ended = {Progress.DONE: 0, Progress.FAILED: 0}

    def start(self, extras: Extras = _PLAIN) -> Diagnosis:
        """The diagnosis under way that has what is asked for, or a new one that begins as soon as it can. Does not wait."""
        return self._start(extras)[0]

    def run(self, extras: Extras = _PLAIN) -> Diagnosis:
        """As `start`, when it has ended."""
        diagnosis, future = self._start(extras)
        future.result()
        return self.get(diagnosis.id) or diagnosis

    def recent(self, age: float = MAXIMUM_AGE) -> Diagnosis:
        """The latest that is done if it ended less than `age` seconds ago, else a new one."""
        latest = self.latest()
        if latest and latest.finished is not None and self._clock.monotonic() - latest.finished < age:
            return latest
        return self.run()

    def outdate(self) -> None:
        """What was seen is not so any more: whoever asks next gets a new look. One under way is not waited for."""
        with self._lock:
            self._latest = None
            self._under_way.clear()
            self._age += 1

    def latest(self) -> Diagnosis | None:
        """The last that was done, or None."""
        with self._lock:
            return self._kept.get(self._latest) if self._latest else None

    def capture(self) -> Capture | None:
        """What the latest one saw. Only this one is kept: captures hold whole rulesets."""
        with self._lock:
            kept = self._capture
        return kept.unpack() if kept else None

    def get(self, diagnosis_id: str) -> Diagnosis | None:
        """The one of that id, or None where it never was or is forgotten."""
        with self._lock:
            return self._kept.get(diagnosis_id)

    def hear(self, stage: Stage) -> None:
        """Notes that a stage of the look under way has ended. Whoever looks calls it, from any thread."""
        with self._lock:
            # The pool has one thread: those that wait for it are not looked for.
            running = next((item for item in self._kept.values() if item.progress is Progress.RUNNING), None)
            if running:
                self._kept[running.id] = replace(running, stages=(*running.stages, stage))

    def all(self) -> tuple[Diagnosis, ...]:
        """Those that are kept, newest first."""
        with self._lock:
            return tuple(reversed(self._kept.values()))

    def counts(self) -> dict[str, int]:
        """How many ended since the start, by progress."""
        with self._lock:
            return {progress.value: count for progress, count in self._ended.items()}

    def close(self) -> None:
        """Waits for the one under way and starts no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, extras: Extras) -> tuple[Diagnosis, Future[None]]:
        with self._lock:
            self._under_way = {given: run for given, run in self._under_way.items() if not run[1].done()}
            for given, (diagnosis_id, future) in self._under_way.items():
                if given.cover(extras):
                    return self._kept[diagnosis_id], future
            diagnosis = Diagnosis(id=self._clock.new_id(), progress=Progress.QUEUED, asked_at=self._clock.now())
            self._kept[diagnosis.id] = diagnosis
            self._forget()
            future = self._pool.submit(self._live, diagnosis, extras)
            self._under_way[extras] = (diagnosis.id, future)
            return diagnosis, future

    def _live(self, diagnosis: Diagnosis, extras: Extras) -> None:
        running = replace(diagnosis, progress=Progress.RUNNING)
        with self._lock:
            self._kept[diagnosis.id] = running
            age = self._age
        capture, report, error, passing = None, None, "", False
        try:
            capture = self._look(extras)
            report = self._analyse(capture)
        except BrokerGone as failure:
            error, passing = f"{failure}. It is started again by itself: ask again in a second.", True
        except HostError as failure:
            error = str(failure)
        except Exception as failure:  # noqa: BLE001 - a failed run is a state that its asker must see; the trace goes to the log
            _log.exception("diagnosis %s failed", diagnosis.id)
            error = f"{type(failure).__name__}: {failure}. This is a bug in kubereach; its log has the trace."
        packed = Packed(capture) if capture else None
        with self._lock:
            running = self._kept[diagnosis.id]  # with the stages that were heard of meanwhile
        ended = replace(
            running,
            progress=Progress.DONE if report else Progress.FAILED,
            ended_at=self._clock.now(),
            finished=self._clock.monotonic(),
            error=error,
            passing=passing,
            report=report,
        )
        with self._lock:
            self._kept[diagnosis.id] = ended
            self._ended[ended.progress] += 1
            if report and age == self._age:
                self._latest, self._capture = diagnosis.id, packed

    def _forget(self) -> None:
        """Drops the oldest that was fine; where none was, the oldest. Trouble outlives calm: it is what people look for.

        Those that wait or run stay.
        """
        while len(self._kept) > KEPT:
            older = [item for item in self._kept.values() if item.ended_at and item.id != self._latest]
            if not older:
                return
            fine = [item for item in older if item.report and item.report.state is State.REACHABLE]
            del self._kept[(fine or older)[0].id]
