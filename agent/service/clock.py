"""Time and identity, the only two things that differ between equal runs. Everybody else is handed them."""

import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a run needs besides the host. Tests give a clock that stands still."""

    def now(self) -> str:
        """The time as RFC 3339 in UTC, to the millisecond: `2026-01-31T12:00:00.000Z`."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never go backwards."""
        ...

    def new_id(self) -> str:
        """A name that nothing else has: twelve hexadecimal digits."""
        ...


class SystemClock:
    """The machine's own."""

    def now(self) -> str:
        """The wall clock, in UTC."""
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC."""
        return time.monotonic()

    def new_id(self) -> str:
        """Random: an id in a URL should not tell how many runs there were before."""
        return uuid.uuid4().hex[:12]
