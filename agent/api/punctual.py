"""uvicorn's HTTP/1.1 protocol with the deadline that it lacks: a client that never ends its headers is hung up on.

Without it a few dozen half-open connections keep everybody else out until they choose to leave.
"""

from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds. curl sends its headers in one packet; the slowest honest client needs a fraction of this.
PATIENCE = 10.0


class PunctualProtocol(H11Protocol):
    """Looks at its connection every `PATIENCE` seconds and closes it when no request began or ended since the last look."""

    _watch: TimerHandle | None = None
    _seen: Any = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn narrows it so too
        """Begins to watch."""
        super().connection_made(transport)
        self._watch = self.loop.call_later(PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends watching."""
        if self._watch:
            self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is self._seen:
            self.transport.close()
            return
        self._seen = self.cycle
        self._watch = self.loop.call_later(PATIENCE, self._look)
