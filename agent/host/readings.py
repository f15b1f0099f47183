"""The firewall readings that were last answered, so that one of them can be asked for by name.

What the twin loads as root must not come from the front: the front names a reading, and the broker takes its own copy.
"""

from threading import Lock

from agent.model.capture import Firewall

# One look has two readings, and a page may be made meanwhile.
_KEPT = 3
# In characters. More than this is 100,000 rules, which no twin loads in its time.
_LIMIT = 32 * 1024 * 1024


class Readings:
    """The last few readings by digest. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[str, Firewall] = {}

    def keep(self, firewall: Firewall) -> None:
        """Remembers a reading, unless it is too large, and forgets the oldest."""
        if sum(len(reading.stdout) for reading in firewall.readings) > _LIMIT:
            return
        digest = firewall.digest()
        with self._lock:
            self._kept.pop(digest, None)
            self._kept[digest] = firewall
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]

    def find(self, digest: str) -> Firewall | None:
        """The reading of that digest, None where it was forgotten or never was."""
        with self._lock:
            return self._kept.get(digest)
