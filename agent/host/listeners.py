"""Who listens on TCP, what a listener threw away, and the cgroup it belongs to, from sock_diag(7).

The kernel is asked for listeners alone: to read /proc/net/tcp costs a look at every bucket of the connections' table.

A packet that a cgroup's BPF filter or a socket filter refuses, and one that finds the accept queue full, is counted by the
listener itself (net/ipv4/tcp_ipv4.c, tcp_v4_rcv; include/net/tcp.h, tcp_listendrop): the only counter behind netfilter's INPUT.
"""

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.host.rtnetlink import _DONE, _ERROR, _HEADER, _aligned, _attributes, _number

_SOCK_DIAG, _BY_FAMILY = 4, 20
_REQUEST_DUMP = 0x301
_TCP, _LISTEN = 6, 10
_SKMEMINFO, _CGROUP_ID = 7, 21  # INET_DIAG_SKMEMINFO, INET_DIAG_CGROUP_ID
_SK_MEMINFO_DROPS = 8
_REQUEST = struct.Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states, an empty socket id
# inet_diag_msg: family, source port in network order, source address, inode.
_ANSWER = struct.Struct("=B3xH2x16s44xI")
_LENGTHS = {socket.AF_INET: 4, socket.AF_INET6: 16}
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Heard:
    """The listeners on one port: packets they dropped so far, and the ids of their cgroups (v2; 0 is none)."""

    drops: int
    cgroups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Listening:
    """One listener. `inode` is what /proc/PID/fd calls its socket."""

    address: str
    port: int
    inode: int


def everyone() -> tuple[Listening, ...]:
    """The listeners of the calling thread's namespace. Raises `OSError`, where the kernel has no tcp_diag too."""
    found = []
    for payload in _listeners(extensions=0):
        family, source, address, inode = _ANSWER.unpack_from(payload)
        text = socket.inet_ntop(family, address[: _LENGTHS[family]])
        found.append(Listening(text, socket.ntohs(source), inode))
    return tuple(found)


def ask(port: int) -> Heard | None:
    """The listeners on `port` in the calling thread's namespace, None where there is none. Raises `OSError`."""
    drops: list[int] = []
    cgroups: list[int] = []
    for payload in _listeners(extensions=1 << (_SKMEMINFO - 1)):
        _, source, _, _ = _ANSWER.unpack_from(payload)
        if socket.ntohs(source) != port:
            continue
        found = _attributes(payload[_ANSWER.size :])
        memory = found.get(_SKMEMINFO, b"")
        if len(memory) >= 4 * (_SK_MEMINFO_DROPS + 1):
            drops.append(struct.unpack_from("=I", memory, 4 * _SK_MEMINFO_DROPS)[0])
        cgroups.append(_number(found.get(_CGROUP_ID, b"")))
    return Heard(sum(drops), tuple(cgroups)) if cgroups else None


def _listeners(extensions: int) -> Iterator[bytes]:
    """The kernel's word on each, with these of its extensions. Raises `OSError`."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as sock:
        sock.settimeout(_PATIENCE)
        for family in _LENGTHS:
            yield from _dump(sock, _REQUEST.pack(family, _TCP, extensions, 1 << _LISTEN))


def _dump(sock: socket.socket, body: bytes) -> list[bytes]:
    sock.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST_DUMP, 0, 0) + body)
    payloads: list[bytes] = []
    while True:
        data = sock.recv(64 * 1024)
        while len(data) >= _HEADER.size:
            length, kind, _, _, _ = _HEADER.unpack_from(data)
            if not _HEADER.size <= length <= len(data):
                raise OSError("a netlink message has a false length")
            payload, data = data[_HEADER.size : length], data[_aligned(length) :]
            if kind == _DONE:
                return payloads
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", payload)
                raise OSError(-code, os.strerror(-code))
            payloads.append(payload)
