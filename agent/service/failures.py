"""How often the cluster could not be asked or told, by what was to be done: a log has the first of a row, a metric has all."""

from collections.abc import Mapping
from threading import Lock

READ, WRITE, EVENT = "read", "write", "event"


class Failures:
    """The counts of one process since its start. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = dict.fromkeys((READ, WRITE, EVENT), 0)

    def note(self, action: str) -> None:
        """One more."""
        with self._lock:
            self._counts[action] += 1

    def counts(self) -> Mapping[str, int]:
        """By action, those that never failed included."""
        with self._lock:
            return dict(self._counts)
