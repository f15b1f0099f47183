"""TLS with whoever answered, and one GET without credentials: is this a kubelet, and would it talk?

The peer's certificate is not verified, on purpose: a kubelet's often cannot be, and nothing secret is ever sent. What the peer
sends is a stranger's bytes: capped, under one deadline, never raised.
"""

import re
import socket
import ssl
import time
from dataclasses import dataclass

from agent.host import certificate
from agent.model.probe import Tls

# A status line is some twenty bytes; a peer that has sent this much without one does not speak HTTP.
_LINE_LIMIT = 4096
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |$)")
_PATH = "/metrics/resource"  # what metrics-server reads


@dataclass(frozen=True, slots=True)
class _Deadline:
    at: float

    def arm(self, sock: socket.socket) -> None:
        """Gives the next call on the socket what time is left. Raises `TimeoutError` where nothing is."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)


def shake(sock: socket.socket, host: str, port: int, timeout: float) -> Tls:
    """Handshake and GET on a connected socket within `timeout` seconds in all. The caller closes `sock`. Never raises."""
    started = time.monotonic()
    deadline = _Deadline(started + timeout)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # what a kubelet speaks by default (--tls-min-version)
    try:
        deadline.arm(sock)
        # A duplicate, because wrapping takes the socket away from the caller, who closes it.
        with context.wrap_socket(sock.dup(), suppress_ragged_eofs=True) as secure:
            version, der = secure.version() or "", secure.getpeercert(binary_form=True) or b""
            status, http_error = _get(secure, host, port, deadline)
    except (OSError, ValueError) as error:
        return Tls(ok=False, error=_sentence(error), seconds=time.monotonic() - started)
    seconds = time.monotonic() - started
    try:
        shown = certificate.describe(der)
    except ValueError as error:
        return Tls(
            ok=True,
            error=f"the certificate cannot be read: {error}",
            version=version,
            http_status=status,
            http_error=http_error,
            seconds=seconds,
        )
    return Tls(
        ok=True,
        version=version,
        subject=shown.subject,
        sans=shown.sans,
        self_signed=shown.self_signed,
        http_status=status,
        http_error=http_error,
        seconds=seconds,
    )


def _get(secure: ssl.SSLSocket, host: str, port: int, deadline: _Deadline) -> tuple[int | None, str]:
    """(status, what went wrong) of one GET. Reads the status line and nothing after it."""
    name = f"[{host}]" if ":" in host else host
    request = f"GET {_PATH} HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: kubereach\r\nConnection: close\r\n\r\n"
    line = bytearray()
    try:
        deadline.arm(secure)
        secure.sendall(request.encode("ascii"))
        while b"\n" not in line:
            deadline.arm(secure)
            part = secure.recv(_LINE_LIMIT)
            line += part
            if not part or len(line) > _LINE_LIMIT:
                break
    except OSError as error:
        return None, _sentence(error)
    first = bytes(line).split(b"\n", 1)[0].rstrip(b"\r")
    found = _STATUS.match(first)
    if found is None:
        return None, "it answered no HTTP status line" if line else "it closed the connection without an answer"
    return int(found[1]), ""


def _sentence(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)
