"""Packets as bytes, and answers read back: the few headers that the test needs, with right checksums.

Conntrack and REJECT look at checksums: a packet with a wrong one would be INVALID, or be rejected in silence.
"""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

ICMP, TCP, UDP, ICMP6, UNKNOWN = 1, 6, 17, 58, 253
RST = 4
_ICMP_ERRORS, _ICMP6_ERRORS = {3, 4, 5, 11, 12}, set(range(128))


def is_error(protocol: int, kind: int | None) -> bool:
    """Whether it is an ICMP error, which nobody may answer with another (RFC 1122 3.2.2, RFC 4443 2.4)."""
    return kind in (_ICMP_ERRORS if protocol == ICMP else _ICMP6_ERRORS if protocol == ICMP6 else ())


def build(source: str, destination: str, protocol: int, body: bytes, *, ttl: int, tos: int, number: int) -> bytes:
    """An IP packet of the addresses' version; `body` is the transport header, whose checksum is filled in, and payload."""
    one, other = ip_address(source), ip_address(destination)
    body = _with_checksum(one, other, protocol, body)
    if isinstance(one, IPv4Address):
        head = struct.pack(">BBHHHBBH", 0x45, tos, 20 + len(body), number & 0xFFFF, 0x4000, ttl, protocol, 0)
        head += one.packed + other.packed
        return head[:10] + struct.pack(">H", _checksum(head)) + head[12:] + body
    return struct.pack(">IHBB", 6 << 28 | tos << 20, len(body), protocol, ttl) + one.packed + other.packed + body


def answer_of(packet: bytes) -> str | tuple[int, int] | None:
    """What an answer says: "rst", the (type, code) of an ICMP error, or None for anything else."""
    four = packet[0] >> 4 == 4
    protocol, body = (packet[9], packet[20:]) if four else (packet[6], packet[40:])
    if protocol == TCP:
        return "rst" if body[13] & RST else None
    return (body[0], body[1]) if is_error(protocol, body[0]) else None


def _with_checksum(one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address, protocol: int, body: bytes) -> bytes:
    # REJECT takes every protocol that it does not know for one with such a checksum (net/netfilter/utils.c).
    at = {ICMP: 2, TCP: 16, UDP: 6, ICMP6: 2, UNKNOWN: 14}.get(protocol)
    if at is None:
        return body
    bare = protocol == ICMP or (protocol == UNKNOWN and one.version == 4)
    pseudo = b"" if bare else one.packed + other.packed + struct.pack(">IBBBB", len(body), 0, 0, 0, protocol)
    value = _checksum(pseudo + body) or (0xFFFF if protocol == UDP else 0)
    return body[:at] + struct.pack(">H", value) + body[at + 2 :]


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total = (
        sum(struct.unpack(f">{len(data) // 2}H", data))
        if len(data) % 2 == 0
        else sum(struct.unpack(f">{len(data) // 2 + 1}H", data + b"\0"))
    )
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
