"""The ICMP answer that a connect met, from the socket's error queue: it tells apart what errno alone confuses.

Layouts and constants: include/uapi/linux/errqueue.h, in.h, in6.h; behaviour: ip(7), IP_RECVERR.
"""

import socket
import struct
from dataclasses import dataclass

from agent.model.probe import Outcome

_IP_RECVERR, _IPV6_RECVERR = 11, 25
_EXTENDED = struct.Struct("=IBBBBII")  # sock_extended_err: errno, origin, type, code, pad, info, data
_ORIGIN_ICMP, _ORIGIN_ICMP6 = 2, 3
# A quoted packet and the address of who sent the error fit easily.
_DATA, _ANCILLARY = 512, 512

_MEANINGS = {
    (4, 3, 0): Outcome.NET_UNREACHABLE,
    (4, 3, 3): Outcome.PORT_UNREACHABLE,
    (4, 3, 10): Outcome.HOST_PROHIBITED,
    (4, 3, 13): Outcome.ADMIN_PROHIBITED,
    (6, 1, 0): Outcome.NET_UNREACHABLE,
    (6, 1, 1): Outcome.ADMIN_PROHIBITED,
    (6, 1, 4): Outcome.PORT_UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Icmp:
    """One ICMP error: IP version, type, code, the address that sent it, and the errno that Linux makes of it."""

    version: int
    kind: int
    code: int
    offender: str
    errno: int

    @property
    def outcome(self) -> Outcome:
        """What it says of the connect."""
        return _MEANINGS.get((self.version, self.kind, self.code), Outcome.OTHER_ICMP)


def listen(sock: socket.socket) -> None:
    """Has the kernel keep ICMP errors for this socket. Raises `OSError`."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


def take(sock: socket.socket) -> Icmp | None:
    """The next ICMP error that waits on the socket, without blocking; None where there is none."""
    while True:
        try:
            _, ancillary, _, _ = sock.recvmsg(_DATA, _ANCILLARY, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:  # the queue is empty: EAGAIN, or the connect's own error again
            return None
        for level, kind, data in ancillary:
            if (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
                found = _parse(data)
                if found is not None:
                    return found


def _parse(data: bytes) -> Icmp | None:
    """The error, None where it did not come from the network (SO_EE_ORIGIN_LOCAL)."""
    if len(data) < _EXTENDED.size:
        return None
    errno, origin, kind, code, _, _, _ = _EXTENDED.unpack_from(data)
    if origin not in (_ORIGIN_ICMP, _ORIGIN_ICMP6):
        return None
    return Icmp(4 if origin == _ORIGIN_ICMP else 6, kind, code, _offender(data[_EXTENDED.size :]), errno)


def _offender(address: bytes) -> str:
    """SO_EE_OFFENDER: a sockaddr_in or sockaddr_in6; empty where the kernel does not know."""
    family = struct.unpack_from("=H", address)[0] if len(address) >= 2 else 0
    if family == socket.AF_INET and len(address) >= 8:
        return socket.inet_ntop(socket.AF_INET, address[4:8])
    if family == socket.AF_INET6 and len(address) >= 24:
        return socket.inet_ntop(socket.AF_INET6, address[8:24])
    return ""
