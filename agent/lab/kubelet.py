"""A stand-in for the kubelet's HTTPS server: enough of it for a scrape to succeed or fail as it does on a real node.

Run as `python -m agent.lab.kubelet --node-ip=... --hostname-override=...`, with the real kubelet's flags in its own command
line, because kubereach reads them there. It serves 401 to everybody, as a kubelet without anonymous authentication does
(or what `agent.lab.behaviour` tells it), and
counts the requests that carried an Authorization header: kubereach must never send one. The header itself is not kept.
"""

import argparse
import json
import os
import socket
import ssl
import threading
import time
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from agent.lab.behaviour import AUTHORITY, Behaviour
from agent.lab.handover import BEHAVIOUR_VARIABLE, report_ready
from agent.lab.serving import Signer, certify, secure
from agent.model.codec import from_plain
from agent.model.settings import KUBELET_PORT

TOKENS_SEEN = "/lab/tokens-seen"  # not a kubelet's path: how many requests carried a token
REQUEST_SECONDS = 5.0  # a client that says nothing gives its thread back after this
MAX_CONNECTIONS = 32  # a lab has a handful of clients; a flood must not exhaust the machine


class Kubelet(HTTPServer):
    """Listens on every address as a kubelet does. One thread per connection, at most `MAX_CONNECTIONS` of them."""

    address_family = socket.AF_INET6
    request_queue_size = 128

    def __init__(self, port: int, tls: ssl.SSLContext | None, behaviour: Behaviour | None = None, address: str = "::") -> None:
        """`tls` is None for a kubelet that has no serving certificate."""
        self.tls = tls
        self.behaviour = behaviour or Behaviour()
        self.tokens_seen = 0
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if ":" not in address:
            self.address_family = socket.AF_INET
        super().__init__((address, port), Answer)

    def server_bind(self) -> None:
        """Binds one socket for IPv4 and IPv6. Skips HTTPServer's look-up of the host's name, for which nobody waits."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Hands a connection to a thread; waits while all slots are taken."""
        self._slots.acquire()
        threading.Thread(target=self._converse, args=(request, client_address), daemon=True).start()

    def _converse(self, request: socket.socket, client_address: object) -> None:
        try:
            request.settimeout(REQUEST_SECONDS)
            if self.tls is None:
                _refuse_handshake(request)
                return
            with self.tls.wrap_socket(request, server_side=True) as secured:
                self.finish_request(secured, client_address)
        except OSError:
            pass  # the client went away or speaks no TLS: its business, and a kubelet only logs it
        finally:
            self.shutdown_request(request)
            self._slots.release()


class Answer(BaseHTTPRequestHandler):
    """`/healthz` is open; everything else wants a token that nobody has."""

    server: Kubelet
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers one request and closes: there is nothing to keep a connection for."""
        if self.headers.get("Authorization") is not None:
            self.server.tokens_seen += 1
        if self.path == "/healthz":
            self._answer(HTTPStatus.OK, "ok")
        elif self.path == TOKENS_SEEN:
            self._answer(HTTPStatus.OK, str(self.server.tokens_seen))
        else:
            behaviour = self.server.behaviour
            time.sleep(behaviour.delay)
            self._answer(HTTPStatus(behaviour.status), behaviour.text)

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing: a request line may hold a secret."""


def _refuse_handshake(request: socket.socket | tuple[bytes, socket.socket]) -> None:
    """Answers a ClientHello as Go's crypto/tls does where GetCertificate has none: the fatal alert internal_error (80)."""
    if isinstance(request, socket.socket):
        request.recv(16384)  # a TLS record at most
        request.sendall(b"\x15\x03\x01\x00\x02\x02\x50")


def main() -> None:
    """Serves until it is killed: whoever starts it holds it on a leash."""
    parser = argparse.ArgumentParser(prog="kubelet")
    parser.add_argument("--node-ip", required=True)
    parser.add_argument("--hostname-override", required=True)
    parser.add_argument("--port", type=int, default=KUBELET_PORT)
    parser.add_argument("--address", default="::")
    flags, _ = parser.parse_known_args()  # the others are there to be read in the process list
    behaviour = from_plain(Behaviour, json.loads(os.environ.get(BEHAVIOUR_VARIABLE, "{}")))
    # The name that process lists show (proc_pid_comm(5)).
    Path("/proc/self/comm").write_text(behaviour.name, encoding="ascii")
    tls = None
    if behaviour.serving.signer is not Signer.NOBODY:
        authority = AUTHORITY if AUTHORITY.exists() else None
        tls = secure(*certify(flags.hostname_override, datetime.now(UTC), behaviour.serving, authority))
    with Kubelet(flags.port, tls, behaviour, flags.address) as kubelet:
        report_ready()
        kubelet.serve_forever(poll_interval=60.0)


if __name__ == "__main__":
    main()
