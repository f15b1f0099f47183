"""A capture that is kept until somebody asks for it. Its rules are most of it, and those of a large ruleset are all alike.

A node with 5,000 services has 7 MiB of them in legacy tables, and a capture two readings: half a MiB, packed.
"""

import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from agent.model.capture import Capture, Firewall, PartReading, Reading

# In characters. An ordinary node's rules are less: they stay as they are.
_LARGE = 256 * 1024
# The fastest level: 0.1 s where the next makes it half as large and takes twice as long.
_LEVEL = 1


class Packed:
    """One capture."""

    def __init__(self, capture: Capture) -> None:
        self._texts: dict[int, bytes] = {}
        packed = _with_texts(capture, self._put)
        self._capture = packed if self._texts else capture

    def unpack(self) -> Capture:
        """It, as it was."""
        return _with_texts(self._capture, self._get) if self._texts else self._capture

    def _put(self, number: int, text: str) -> str:
        if len(text) < _LARGE:
            return text
        self._texts[number] = zlib.compress(text.encode("utf-8", "surrogateescape"), _LEVEL)
        return ""

    def _get(self, number: int, text: str) -> str:
        packed = self._texts.get(number)
        return text if packed is None else zlib.decompress(packed).decode("utf-8", "surrogateescape")


def _with_texts(capture: Capture, change: Callable[[int, str], str]) -> Capture:
    """It, with what `change` makes of each reading's number and text; the order of its readings is always the same."""
    numbers = count()

    def reading(found: Reading) -> Reading:
        return replace(found, stdout=change(next(numbers), found.stdout))

    def part(found: PartReading) -> PartReading:
        return replace(found, listing=reading(found.listing), save=reading(found.save) if found.save else None)

    def firewall(found: Firewall) -> Firewall:
        return replace(found, readings=tuple(map(reading, found.readings)), parts=tuple(map(part, found.parts)))

    return replace(capture, before=firewall(capture.before), between=firewall(capture.between) if capture.between else None)
