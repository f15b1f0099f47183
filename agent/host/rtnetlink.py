"""Links, addresses and routes from the kernel's own mouth (rtnetlink(7)), in the namespace in which the socket was opened.

A small reader of our own because the broker has no third-party code and `ip -j` is one more program to have. Message layouts
are those of include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h. It asks and never sets.
"""

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

from agent.model.capture import Interface, Route

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, device type, index, flags, change
_ADDRESS = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst/src length, tos, table, protocol, scope, type, flags
_NEXTHOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, hops, index

_ERROR, _DONE = 2, 3
_REQUEST, _DUMP, _DUMP_INTERRUPTED = 0x1, 0x300, 0x10
_GETLINK, _GETADDR, _GETROUTE = 18, 22, 26
_IFF_UP = 0x1
_TABLE_MAIN = 254
_CLONED = 0x200  # a cached exception, no route of its own
_ROUTE_KINDS = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable"}
_ROUTE_KINDS |= {8: "prohibit", 9: "throw", 10: "nat"}
_BITS = {socket.AF_INET: 32, socket.AF_INET6: 128}

# The kernel answers a read in microseconds; a second without a word means that there will be none.
_PATIENCE = 1.0
# The kernel fills at most 32 KiB per read of a dump (net/netlink/af_netlink.c).
_BUFFER = 64 * 1024
# A dump that was disturbed by a change is asked again; on a node that changes its links this often nothing is stable.
_ATTEMPTS = 5


class Reader:
    """Reads through one netlink socket, which it owns and closes. A context manager. Methods raise `OSError`."""

    def __init__(self) -> None:
        """Opens the socket in the calling thread's network namespace; it stays there wherever it is used."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(_PATIENCE)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def interfaces(self) -> tuple[Interface, ...]:
        """Every interface with its addresses, by index."""
        # Addresses first: one that is seen in a namespace in the making (a twin, marked by a link) has its links beside it.
        addresses: dict[int, list[str]] = {}
        for index, address in filter(None, map(_address, self._dump(_GETADDR))):
            addresses.setdefault(index, []).append(address)
        links = {link.index: (link, master) for link, master in map(_link, self._dump(_GETLINK))}
        return tuple(
            replace(link, master=links[master][0].name if master in links else "", addresses=tuple(addresses.get(index, ())))
            for index, (link, master) in sorted(links.items())
        )

    def routes(self, interfaces: tuple[Interface, ...]) -> tuple[Route, ...]:
        """The main table, IPv4 and IPv6; one `Route` for each next hop of a multipath route."""
        names = {interface.index: interface.name for interface in interfaces}
        return tuple(route for payload in self._dump(_GETROUTE) for route in _routes(payload, names))

    def route_interface(self, address: IPv4Address | IPv6Address) -> int:
        """The index of the interface by which a packet to `address` would leave (`ip route get`).

        Raises `OSError` with the kernel's errno where no route leads there.
        """
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        destination = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address.packed), 1) + address.packed
        body = _ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + destination
        sequence = self._send(_GETROUTE, _REQUEST, body)
        for kind, _, payload in self._messages(sequence):
            if kind not in (_ERROR, _DONE):
                attributes = _attributes(payload[_ROUTE.size :])
                return int.from_bytes(attributes.get(4, b"\0\0\0\0"), "little" if _LITTLE else "big")
        raise OSError("the kernel did not answer a route lookup")

    def _dump(self, question: int, body: bytes = bytes(16)) -> list[bytes]:
        """The payloads of a whole dump, asked again while the kernel says that it changed in the middle."""
        for _ in range(_ATTEMPTS):
            sequence = self._send(question, _REQUEST | _DUMP, body)
            payloads, interrupted = [], False
            for kind, flags, payload in self._messages(sequence):
                interrupted |= bool(flags & _DUMP_INTERRUPTED)
                if kind == _DONE:
                    break
                payloads.append(payload)
            if not interrupted:
                return payloads
        raise OSError(f"links or routes changed during each of {_ATTEMPTS} readings")

    def _send(self, kind: int, flags: int, body: bytes) -> int:
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        return self._sequence

    def _messages(self, sequence: int) -> Iterator[tuple[int, int, bytes]]:
        """(type, flags, payload) of every message that answers `sequence`; an error message is raised."""
        while True:
            data, _, flags, _ = self._socket.recvmsg(_BUFFER)
            if flags & socket.MSG_TRUNC:
                raise OSError("a netlink message was larger than the buffer")
            while len(data) >= _HEADER.size:
                length, kind, marks, answered, _ = _HEADER.unpack_from(data)
                if not _HEADER.size <= length <= len(data):
                    raise OSError("a netlink message has a false length")
                payload, data = data[_HEADER.size : length], data[_aligned(length) :]
                if answered != sequence:
                    continue
                if kind == _ERROR or (kind == _DONE and len(payload) >= 4):
                    (code,) = struct.unpack_from("=i", payload)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                yield kind, marks, payload


_LITTLE = struct.pack("=H", 1) == b"\1\0"


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    """Attribute type (without its flag bits) to value; a later one of the same type wins."""
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            break
        found[kind & 0x3FFF] = data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(value: bytes) -> int:
    return int.from_bytes(value, "little" if _LITTLE else "big")


def _link(payload: bytes) -> tuple[Interface, int]:
    """An interface without addresses, and the index of its master (0: none)."""
    _, _, index, flags, _ = _LINK.unpack_from(payload)
    found = _attributes(payload[_LINK.size :])
    kind = _attributes(found.get(18, b"")).get(1, b"")  # IFLA_LINKINFO, IFLA_INFO_KIND
    link = Interface(index=index, name=_text(found.get(3, b"")), kind=_text(kind), up=bool(flags & _IFF_UP))  # IFLA_IFNAME
    return link, _number(found.get(10, b""))  # IFLA_MASTER


def _address(payload: bytes) -> tuple[int, str] | None:
    """(interface index, address with prefix length); None for a family that is not IP."""
    family, prefix, _, _, index = _ADDRESS.unpack_from(payload)
    found = _attributes(payload[_ADDRESS.size :])
    raw = found.get(2, found.get(1))  # IFA_LOCAL is our end of a point-to-point link, IFA_ADDRESS then the other
    if family not in _BITS or raw is None:
        return None
    return index, f"{ip_address(raw)}/{prefix}"


def _routes(payload: bytes, names: dict[int, str]) -> Iterator[Route]:
    family, length, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(payload)
    found = _attributes(payload[_ROUTE.size :])
    if 15 in found:  # RTA_TABLE: numbers over 255 do not fit the header
        table = _number(found[15])
    if family not in _BITS or table != _TABLE_MAIN or flags & _CLONED:
        return
    destination = ip_address(found[1]) if 1 in found else ip_address(bytes(_BITS[family] // 8))
    for index, gateway in _hops(found):
        yield Route(
            destination=f"{destination}/{length}",
            interface=names.get(index, ""),
            gateway=gateway,
            source=str(ip_address(found[7])) if 7 in found else "",  # RTA_PREFSRC
            kind=_ROUTE_KINDS.get(kind, f"type {kind}"),
        )


def _hops(found: dict[int, bytes]) -> Iterator[tuple[int, str]]:
    """(interface index, gateway) for each way: one, or those of RTA_MULTIPATH."""
    ways = found.get(9, b"")
    if not ways:
        yield _number(found.get(4, b"")), _gateway(found)
    while len(ways) >= _NEXTHOP.size:
        size, _, _, index = _NEXTHOP.unpack_from(ways)
        if not _NEXTHOP.size <= size <= len(ways):
            return
        yield index, _gateway(_attributes(ways[_NEXTHOP.size : size]))
        ways = ways[_aligned(size) :]


def _gateway(found: dict[int, bytes]) -> str:
    raw = found.get(5) or found.get(18, b"")[2:]  # RTA_GATEWAY, or RTA_VIA: a family, then an address of it
    return str(ip_address(raw)) if len(raw) in (4, 16) else ""
