"""A stand-in for the API server: plain HTTP on loopback, a handler that a test writes, and a kubeconfig that leads there."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

# What would lead elsewhere.
ELSEWHERE = ("KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
TOKEN = "our-own"


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON (or these very bytes) and prints nothing; tests keep what it answers in `self.server`."""

    server: Any

    def answer(self, status: int, body: Any) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def told(self) -> Any:
        """The request's body."""
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """Does not print that a client which gave up had gone; what else goes wrong is printed."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def standing_in(
    handler: type[Handler], directory: Path, monkeypatch: pytest.MonkeyPatch, **switches: object
) -> Iterator[ThreadingHTTPServer]:
    """The server, with `switches` as its attributes, and KUBECONFIG naming it, until the block ends."""
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    server = _Server(("127.0.0.1", 0), handler)
    for name, value in switches.items():
        setattr(server, name, value)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "current-context": "c",
    }
    file = directory / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
