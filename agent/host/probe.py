"""One connect, and what it met: the truth that no ruleset can argue with.

Runs in the front, without privilege, on a socket that the broker opened in the right namespace. Every way in which a connect
can fail is an outcome; nothing here raises. Errno to outcome: measured, see the table in `agent.model.probe.Outcome`.
"""

import array
import errno
import fcntl
import os
import select
import socket
import struct
import time
from dataclasses import replace
from ipaddress import ip_address

from agent.host import handshake, icmp
from agent.model.probe import Outcome, ProbeRequest, ProbeResult
from agent.model.settings import Settings

_BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT, in.h: the port is chosen by connect, which knows both ends
# socket(7), SO_LINGER of no seconds: the end is a reset, after which conntrack forgets the connection in 10 s, not 120, and no
# port of a pod is left in TIME_WAIT. A node that is looked at twice a second would hold hundreds of them.
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)

_SIOCGIFCONF = 0x8912  # include/uapi/linux/sockios.h
_IFREQ = 16 + struct.calcsize("@PPP")  # struct ifreq, if.h: a name and a union whose largest member is struct ifmap
_MOST_ADDRESSES = 256
_GONE = "the pod was taken down meanwhile: its address is not in its network namespace any more"

# Without an ICMP error in the queue; with one, the ICMP decides.
_OUTCOMES = {
    0: Outcome.OPEN,
    errno.ECONNREFUSED: Outcome.RESET,
    errno.ECONNRESET: Outcome.RESET,
    errno.EHOSTUNREACH: Outcome.NO_ROUTE,
    errno.ENETUNREACH: Outcome.NO_ROUTE,
    errno.EACCES: Outcome.NO_ROUTE,  # a `prohibit` route
    errno.ETIMEDOUT: Outcome.TIMEOUT,
    errno.EINVAL: Outcome.BLACKHOLE,
}


def probe(request: ProbeRequest, sock: socket.socket, settings: Settings) -> ProbeResult:
    """Connects `sock`, a fresh TCP socket of the right family and namespace, as `request` says, and closes it.

    Binds to `request.source` where one is given. An open port gets a TLS handshake and one GET without credentials.
    """
    with sock:
        try:
            icmp.listen(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            if request.source:
                sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
                sock.bind((request.source, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and _is_gone(request, sock, bound=False):
                return pod_gone(request)
            return not_tried(request, f"the socket could not be bound to {request.source}: {error.strerror or error}")
        result = _connect(request, sock, settings.connect_timeout)
        if result.outcome is not Outcome.OPEN:
            return replace(result, outcome=Outcome.POD_GONE, detail=_GONE) if _is_gone(request, sock, bound=True) else result
        return replace(result, tls=handshake.shake(sock, request.target, request.port, settings.request_timeout))


def not_tried(request: ProbeRequest, detail: str) -> ProbeResult:
    """The result of a probe that could not be made; `detail` says why."""
    return ProbeResult(request=request, outcome=Outcome.NOT_TRIED, detail=detail)


def pod_gone(request: ProbeRequest) -> ProbeResult:
    """The result of a probe whose pod had vanished, before its socket was bound."""
    return ProbeResult(request=request, outcome=Outcome.POD_GONE, detail=_GONE)


def _is_gone(request: ProbeRequest, sock: socket.socket, *, bound: bool) -> bool:
    """Whether the pod was taken down since it was found: our socket keeps the namespace, and the pod's address is not in it.

    Once we were `bound` to that address it was there; before, only a namespace without any address is one that was taken down.
    For IPv4 only, see `_addresses`.
    """
    if not request.namespace or not request.source or ip_address(request.source).version != 4:
        return False
    held = _addresses(sock)
    if held is None:
        return False
    return request.source not in held if bound else all(ip_address(address).is_loopback for address in held)


def _addresses(sock: socket.socket) -> set[str] | None:
    """The IPv4 addresses in the socket's namespace by SIOCGIFCONF (netdevice(7)), without privilege; None where they are too
    many or cannot be had.
    """
    found = array.array("B", bytes(_IFREQ * _MOST_ADDRESSES))
    place, _ = found.buffer_info()
    asked = bytearray(struct.pack("@iP", len(found), place))
    try:
        fcntl.ioctl(sock, _SIOCGIFCONF, asked)
    except OSError:
        return None
    (size,) = struct.unpack_from("@i", asked)
    # A sockaddr_in after the name's 16 bytes: family, port, address.
    parts = (found[start + 20 : start + 24].tobytes() for start in range(0, size, _IFREQ))
    return {str(ip_address(part)) for part in parts} if size < len(found) else None


def _connect(request: ProbeRequest, sock: socket.socket, timeout: float) -> ProbeResult:
    started = time.monotonic()
    number, answer = _await(sock, request.target, request.port, started + timeout)
    seconds = time.monotonic() - started
    source, sport = _bound(sock)
    outcome = answer.outcome if answer else _OUTCOMES.get(number, Outcome.NOT_TRIED)
    return ProbeResult(
        request=request,
        outcome=outcome,
        errno=errno.errorcode.get(number, str(number)) if number else None,
        icmp=(answer.kind, answer.code) if answer else None,
        offender=answer.offender if answer else "",
        source=source or request.source,
        sport=sport,
        seconds=seconds,
        detail=os.strerror(number) if outcome is Outcome.NOT_TRIED else "",
    )


def _await(sock: socket.socket, target: str, port: int, deadline: float) -> tuple[int, icmp.Icmp | None]:
    """Connects a socket that does not block: the errno (0: connected, ETIMEDOUT: the deadline) and the ICMP answer if any.

    An ICMP error that arrives while the kernel itself holds the socket comes to the queue alone: poll(2) wakes, the socket has
    no errno (net/ipv4/tcp_ipv4.c, tcp_v4_err), and only its peer would prove that it is connected.
    """
    try:
        number = sock.connect_ex((target, port))
    except (OSError, ValueError):  # no address of this family
        return errno.EAFNOSUPPORT, None
    if number != errno.EINPROGRESS:
        return number, icmp.take(sock) if number else None
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            continue
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number == 0 and _has_peer(sock):
            return 0, None
        answer = icmp.take(sock)
        if number or answer:
            return number or (answer.errno if answer else 0), answer
    return errno.ETIMEDOUT, None


def _has_peer(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _bound(sock: socket.socket) -> tuple[str, int | None]:
    """The address and port the kernel chose; after a failed connect it may have forgotten them."""
    try:
        address, port = sock.getsockname()[:2]
    except OSError:
        return "", None
    unspecified = address in ("0.0.0.0", "::")  # noqa: S104  compared, not bound
    return "" if unspecified else address, port or None
