"""A stand-in for the kubelet's HTTPS server: enough of it for a scrape to succeed or fail as it does on a real node.

Run as `python -m agent.lab.kubelet --node-ip=... --hostname-override=...`, with the real kubelet's flags in its own command
line, because kubereach reads them there. It serves 401 to everybody, as a kubelet without anonymous authentication does, and
counts the requests that carried an Authorization header: kubereach must never send one. The header itself is not kept.
"""

import argparse
import os
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.lab.handover import READY_VARIABLE
from agent.model.settings import KUBELET_PORT

TOKENS_SEEN = "/lab/tokens-seen"  # not a kubelet's path: how many requests carried a token
REQUEST_SECONDS = 5.0  # a client that says nothing gives its thread back after this
MAX_CONNECTIONS = 32  # a lab has a handful of clients; a flood must not exhaust the machine


class Kubelet(HTTPServer):
    """Listens on every address as a kubelet does. One thread per connection, at most `MAX_CONNECTIONS` of them."""

    address_family = socket.AF_INET6
    request_queue_size = 128

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self.tls = tls
        self.tokens_seen = 0
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(("::", port), Answer)

    def server_bind(self) -> None:
        """Binds one socket for IPv4 and IPv6. Skips HTTPServer's look-up of the host's name, for which nobody waits."""
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
            self._answer(HTTPStatus.UNAUTHORIZED, "Unauthorized")

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


def certify(node: str, now: datetime) -> tuple[bytes, bytes]:
    """A serving certificate and its key, PEM. As a kubelet signs for itself: CN=<node>@<seconds>, a DNS name, no address
    (k8s.io/client-go/util/cert GenerateSelfSignedCertKey).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{node}@{int(now.timestamp())}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


def secure(node: str) -> ssl.SSLContext:
    """A TLS server context with a fresh certificate. `ssl` reads keys from paths only, so they pass through a memory file."""
    certificate, key = certify(node, datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("kubelet-serving")
    try:
        os.write(descriptor, certificate + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def main() -> None:
    """Serves until it is killed: whoever starts it holds it on a leash."""
    parser = argparse.ArgumentParser(prog="kubelet")
    parser.add_argument("--node-ip", required=True)
    parser.add_argument("--hostname-override", required=True)
    parser.add_argument("--port", type=int, default=KUBELET_PORT)
    flags = parser.parse_args()
    # The name that process lists show (proc_pid_comm(5)).
    Path("/proc/self/comm").write_text("kubelet", encoding="ascii")
    with Kubelet(flags.port, secure(flags.hostname_override)) as kubelet:
        _report_ready()
        kubelet.serve_forever(poll_interval=60.0)


def _report_ready() -> None:
    descriptor = os.environ.pop(READY_VARIABLE, None)
    if descriptor is not None:
        with os.fdopen(int(descriptor), "wb") as ready:
            ready.write(b"\n")


if __name__ == "__main__":
    main()
