"""Ends connections that a fix let in: removes their entries from connection tracking, so that their next packet is new again.

Rules that accept what is ESTABLISHED come first on most nodes, and then a connection outlives the rule that let it in. Numbers
are those of include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from agent.host.errors import HostError
from agent.model.packet import TCP
from agent.model.plan import Flow

_NETLINK_NETFILTER = 12
_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2  # NFNL_SUBSYS_CTNETLINK; IPCTNL_MSG_CT_GET, _DELETE
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_TUPLE_ORIG, _TUPLE_IP, _TUPLE_PROTO = 1, 1, 2
_V4_SRC, _V4_DST, _V6_SRC, _V6_DST = 1, 2, 3, 4
_PROTO_NUM, _PROTO_DST = 1, 3
_TYPE = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_HEADER = 20  # struct nlmsghdr and nfgenmsg


def cut(flow: Flow) -> int:
    """Removes the entries of every TCP connection of a flow; how many there were. Raises `HostError`."""
    family = socket.AF_INET if flow.version == 4 else socket.AF_INET6
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
            sock.settimeout(5.0)
            sock.bind((0, 0))
            tuples = [item for item in _entries(sock, family) if _is_of(item, flow)]
            for item in tuples:
                attribute = struct.pack("=HH", 4 + len(item), _TUPLE_ORIG | 0x8000) + item
                sock.send(_message(_DELETE, _REQUEST | _ACK, family, attribute))
                sock.recv(65536)  # whether it was still there does not matter
    except OSError as error:
        raise HostError(f"connection tracking could not be changed: {error.strerror or error}") from error
    return len(tuples)


def _entries(sock: socket.socket, family: int) -> Iterator[bytes]:
    """The original tuples of every entry, as the kernel writes them."""
    sock.send(_message(_GET, _REQUEST | _DUMP, family))
    while True:
        data = sock.recv(256 * 1024)
        offset = 0
        while offset + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, offset)
            if kind in (_DONE, _ERROR) or length < 16:
                return
            body = data[offset + _HEADER : offset + length]
            yield from (value for name, value in _attributes(body) if name == _TUPLE_ORIG)
            offset += (length + 3) & ~3


def _is_of(item: bytes, flow: Flow) -> bool:
    parts = dict(_attributes(item))
    ends, protocol = dict(_attributes(parts.get(_TUPLE_IP, b""))), dict(_attributes(parts.get(_TUPLE_PROTO, b"")))
    names = (_V4_SRC, _V4_DST) if flow.version == 4 else (_V6_SRC, _V6_DST)
    if protocol.get(_PROTO_NUM) != bytes([TCP]) or protocol.get(_PROTO_DST) != struct.pack("!H", flow.port):
        return False
    source, destination = (ends.get(name) for name in names)
    if source is None or destination is None:
        return False
    return ip_address(source) in ip_network(flow.source) and ip_address(destination) == ip_address(flow.destination)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & _TYPE, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _message(kind: int, flags: int, family: int, body: bytes = b"") -> bytes:
    return struct.pack("=IHHIIBBH", _HEADER + len(body), kind, flags, 1, 0, family, 0, 0) + body
