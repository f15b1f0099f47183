"""uvicorn's HTTP/1.1 protocol with the deadlines that it lacks, and with problems for answers.

A client that never ends its headers is hung up on, and so is one that never takes its answer: without it a few dozen half-open
connections keep everybody else out until they choose to leave.
"""

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.api.problems import problem

# Seconds. curl sends its headers in one packet; the slowest honest client needs a fraction of this.
PATIENCE = 5.0
# How many times `PATIENCE` an answer may lie in our buffer untaken: slow links take a large capture in parts, but take it.
_UNTAKEN = 6


class PunctualProtocol(H11Protocol):
    """Closes a connection whose request's headers are not there `PATIENCE` seconds after the connect or the last answer."""

    _watch: TimerHandle | None = None
    _since = 0.0
    _untaken = 0
    # Called once the connection is gone; set by whoever counts connections.
    gone: Callable[[], None] | None = None
    # Put into the state of every request of this connection.
    marks: dict[str, Any] | None = None

    @property
    def waiting(self) -> bool:
        """Whether nothing is lost but the client's time when this connection is closed now: it owes us a request."""
        return self.cycle is None or self.cycle.response_complete or self.conn.their_state is not h11.DONE

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn narrows it so too
        """Begins to watch."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, **(self.marks or {})}
        self._since = self.loop.time()
        self._watch = self.loop.call_later(PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends watching."""
        if self._watch:
            self._watch.cancel()
        super().connection_lost(exc)
        if self.gone:
            self.gone()

    def on_response_complete(self) -> None:
        """From here on the next request's headers are awaited."""
        self._since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Answers what is no HTTP, unless an answer has begun, and hangs up."""
        if self.cycle is not None and not self.cycle.response_complete:
            begun, self.cycle.disconnected = self.cycle.response_started, True
            self.cycle.message_event.set()
        else:
            begun = False
        if not begun:
            detail = (
                "This is no HTTP/1.1 request that kubereach takes: its line, its headers or its body's framing is malformed."
            )
            response = problem(HTTPStatus.BAD_REQUEST, "The request is not understood", detail, headers={"Connection": "close"})
            head = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in response.raw_headers)
            self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{head}\r\n".encode("ascii") + bytes(response.body))
        self.transport.close()

    def _look(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        left = self._since + PATIENCE - self.loop.time() if idle else PATIENCE
        self._untaken = self._untaken + 1 if not idle and self.flow.write_paused else 0
        if left <= 0 or self._untaken >= _UNTAKEN:
            self.transport.abort()
            return
        self._watch = self.loop.call_later(left, self._look)
