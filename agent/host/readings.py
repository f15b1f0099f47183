"""The firewall readings that were last answered, so that one of them can be asked for by name.

What the twin loads as root must not come from the front: the front names a reading, and the broker takes its own copy.
"""

from collections.abc import Sequence
from threading import Lock

from agent.host import firewall, nftnetlink
from agent.host.in_parts import Held
from agent.model.capture import PartReading
from agent.model.outline import Outline, Part

# One look has two readings, and a page may be made meanwhile: a third is kept where all are within the limit.
_KEPT, _LOOK = 3, 2
# In characters. More than this is 100,000 rules, which no twin loads in its time.
_LIMIT = 32 * 1024 * 1024


class Readings:
    """The last few readings by digest. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[str, Held] = {}

    def keep(self, held: Held) -> None:
        """Remembers a reading by its firewall's digest, unless it is too large, and forgets the oldest."""
        if _size(held) > _LIMIT:
            return
        digest = held.firewall.digest()
        with self._lock:
            self._kept.pop(digest, None)
            self._kept[digest] = held
            while len(self._kept) > _KEPT or (len(self._kept) > _LOOK and sum(map(_size, self._kept.values())) > _LIMIT):
                del self._kept[next(iter(self._kept))]

    def find(self, digest: str) -> Held | None:
        """The reading of that digest, None where it was forgotten or never was."""
        with self._lock:
            return self._kept.get(digest)


class KnownParts:
    """The parts of a large nftables that were read at its last generation: a look asks for the same ones several times.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._generation = -1
        self._outline: Outline | None = None
        self._known: dict[Part, PartReading] = {}

    def note(self, outline: Outline | None) -> None:
        """What a look has just read."""
        with self._lock:
            self._outline = outline

    def outline(self) -> Outline | None:
        """What there is now; a known outline where the generation is still its own. Raises `OSError`."""
        with self._lock:
            known = self._outline
        with nftnetlink.Reader() as reader:
            if known is not None and reader.generation() == known.generation:
                return known
        found = firewall.read_outline()
        self.note(found)
        return found

    def read(self, generation: int, parts: Sequence[Part]) -> tuple[PartReading, ...] | None:
        """These parts, read now: whose counters count must not be given older ones. As `firewall.read_parts`."""
        found = firewall.read_parts(generation, parts)
        if found is not None:
            self._keep(generation, found)
        return found

    def recall(self, generation: int, parts: Sequence[Part]) -> tuple[PartReading, ...] | None:
        """These parts with any counters of this generation: what is not known is read."""
        with self._lock:
            known = dict(self._known) if generation == self._generation else {}
        missing = [part for part in parts if part not in known]
        found = self.read(generation, missing)
        if found is None:
            return None
        known |= {item.part: item for item in found}
        return tuple(known[part] for part in parts)

    def _keep(self, generation: int, found: Sequence[PartReading]) -> None:
        with self._lock:
            if generation != self._generation:
                self._generation, self._known = generation, {}
            self._known |= {item.part: item for item in found}
            if sum(_length(item) for item in self._known.values()) > _LIMIT:
                self._known = {}


def _size(held: Held) -> int:
    return sum(len(reading.stdout) for reading in held.firewall.readings)


def _length(item: PartReading) -> int:
    return len(item.listing.stdout) + (len(item.save.stdout) if item.save is not None else 0)
