"""A client over one kept connection, whoever answers at its other end and in whatever namespace."""

import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.host import namespaces
from tests.bench.results import NotMeasured

# Longer than any answer here may take: a look at 100,000 rules takes seconds.
PATIENCE = 120.0


class Client:
    """One connection that is kept, whoever answers at its other end: the same for us and for those we are measured beside."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connection = http.client.HTTPConnection("localhost")
        self._connection.connect = self._open  # type: ignore[method-assign]  # the socket may be of another namespace
        self._connect = connect

    def ask(self, method: str, path: str, body: dict[str, object] | None = None) -> tuple[int, bytes]:
        """Status and content of the answer. Raises `OSError`, `http.client.HTTPException`."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else {}
        try:
            return self._once(method, path, content, headers)
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            return self._once(method, path, content, headers)  # servers hang up on a connection that is idle for some seconds

    def close(self) -> None:
        """Ends its connection; the next question would make another."""
        self._connection.close()

    def diagnose(self) -> dict[str, Any]:
        """The report of a new look."""
        status, content = self.ask("POST", "/v1/diagnoses", {})
        answer = json.loads(content)
        if status != http.client.CREATED or not answer.get("report"):
            raise NotMeasured(f"a diagnosis ended with HTTP {status}: {answer.get('detail') or answer.get('error')}")
        report: dict[str, Any] = answer["report"]
        return report

    def _once(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path, content, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # else it waits for the answer to this one for ever
            raise

    def _open(self) -> None:
        self._connection.sock = self._connect()


def connect(port: int) -> socket.socket:
    """A connection to a port of this namespace's loopback."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def in_namespace(path: str, port: int) -> Callable[[], socket.socket]:
    """What connects to a port of the loopback in the namespace at `path`."""
    return lambda: namespaces.inside(path, Path(path).stat().st_ino, lambda: connect(port))
