"""TLS with whoever answered, and one GET without credentials: is this a kubelet, and would it talk?

The peer's certificate is not verified, on purpose: a kubelet's often cannot be, and nothing secret is ever sent. What the peer
sends is a stranger's bytes: capped, under one deadline, never raised.
"""

import re
import socket
import ssl
import time
from dataclasses import dataclass, replace
from http import HTTPStatus

from agent.host import alerts, certificate
from agent.model.probe import Tls

# A status line is some twenty bytes; a peer that has sent this much without one does not speak HTTP.
_LINE_LIMIT = 4096
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |$)")
_PATH = "/metrics/resource"  # what metrics-server reads
# A kubelet's refusal is one line of some hundred bytes, and it says who we were taken for.
_EXCERPT = 300


@dataclass(frozen=True, slots=True)
class _Answer:
    """One GET: the status, what went wrong, the beginning of the body, and seconds to the first byte."""

    status: int | None = None
    error: str = ""
    excerpt: str = ""
    seconds: float | None = None


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
            shaken = time.monotonic() - started
            version, der = secure.version() or "", secure.getpeercert(binary_form=True) or b""
            answer = _get(secure, host, port, deadline)
    except (OSError, ValueError) as error:
        seconds = time.monotonic() - started
        return Tls(ok=False, error=_sentence(error), alert=alerts.alert_of(error), seconds=seconds, handshake_seconds=seconds)
    made = Tls(
        ok=True,
        version=version,
        http_status=answer.status,
        http_error=answer.error,
        http_excerpt=answer.excerpt,
        seconds=time.monotonic() - started,
        handshake_seconds=shaken,
        first_byte_seconds=answer.seconds,
    )
    try:
        shown = certificate.describe(der)
    except ValueError as error:
        return replace(made, error=f"the certificate cannot be read: {error}")
    return replace(
        made,
        subject=shown.subject,
        issuer=shown.issuer,
        sans=shown.sans,
        self_signed=shown.self_signed,
        not_before=shown.not_before,
        not_after=shown.not_after,
        certificate=shown.pem,
    )


def _get(secure: ssl.SSLSocket, host: str, port: int, deadline: _Deadline) -> _Answer:
    """One GET. Reads the status line, and of a 403 the beginning of its body."""
    name = f"[{host}]" if ":" in host else host
    request = f"GET {_PATH} HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: kubereach\r\nConnection: close\r\n\r\n"
    answer, seconds = bytearray(), None
    asked = time.monotonic()
    try:
        deadline.arm(secure)
        secure.sendall(request.encode("ascii"))
        while not _is_enough(answer):
            deadline.arm(secure)
            part = secure.recv(_LINE_LIMIT)
            if not part:
                break
            seconds = time.monotonic() - asked if seconds is None else seconds
            answer += part
    except OSError as error:
        if b"\n" not in answer:
            return _Answer(error=_sentence(error), seconds=seconds)
    status = _status(answer)
    if status is None:
        silent = "it closed the connection without an answer"
        return _Answer(error="it answered no HTTP status line" if answer else silent, seconds=seconds)
    body = bytes(answer).partition(b"\r\n\r\n")[2] if status == HTTPStatus.FORBIDDEN else b""
    return _Answer(status=status, excerpt=body[:_EXCERPT].decode("utf-8", "replace").strip(), seconds=seconds)


def _is_enough(answer: bytearray) -> bool:
    """A status line says all; a 403 also says in its body whom it refused."""
    if b"\n" in answer and _status(answer) != HTTPStatus.FORBIDDEN:
        return True
    return len(answer) > _LINE_LIMIT or bool(bytes(answer).partition(b"\r\n\r\n")[2])


def _status(answer: bytearray) -> int | None:
    found = _STATUS.match(bytes(answer).split(b"\n", 1)[0].rstrip(b"\r"))
    return int(found[1]) if found else None


def _sentence(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)
