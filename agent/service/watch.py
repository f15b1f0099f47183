"""Looks again and again, if asked to: a cheap connect first, a whole diagnosis when what it met is not what it met before."""

import logging
import random
from collections.abc import Callable, Sequence
from threading import Event, Thread

from agent.model.probe import ProbeResult
from agent.service.diagnoses import Diagnoses
from agent.service.host import HostError

# A cluster's nodes restart together and must not look, nor ask their API server, in step.
_JITTER = 0.2

_log = logging.getLogger(__name__)


class Watch:
    """A thread that looks every `interval` seconds, more or less. `close()` ends it after the look under way."""

    def __init__(
        self,
        diagnoses: Diagnoses,
        probe: Callable[[], Sequence[ProbeResult]],
        interval: float,
        spread: Callable[[], float] = random.random,  # not for secrets: it spreads load
    ) -> None:
        """`spread` gives numbers from 0 to 1."""
        self._diagnoses, self._probe, self._interval, self._spread = diagnoses, probe, interval, spread
        self._ended = Event()
        self._met: frozenset[tuple[str, str]] | None = None
        self._thread = Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begins; the first look comes at a random moment of the first interval."""
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def look(self) -> bool:
        """One look. True where it led to a diagnosis."""
        try:
            met = frozenset((result.request.vantage.value, result.outcome.value) for result in self._probe())
        except HostError as error:
            _log.warning("the watch could not look: %s", error)
            return False
        if met == self._met:
            return False
        diagnosis = self._diagnoses.run()
        if diagnosis.report is None:  # tried again at the next look
            _log.warning("the watch's diagnosis failed: %s", diagnosis.error)
            return True
        changed = self._met is not None
        self._met = met
        told = {"state": diagnosis.report.state.value, "diagnosis": diagnosis.id, "changed": changed}
        _log.info("the watch saw: %s", diagnosis.report.summary, extra={"told": told})
        return True

    def _run(self) -> None:
        wait = self._spread() * self._interval
        while not self._ended.wait(wait):
            self.look()
            wait = self._interval * (1 + _JITTER * (self._spread() - 0.5))
