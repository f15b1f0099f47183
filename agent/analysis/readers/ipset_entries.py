"""What one entry of an ipset says, dimension by dimension: an address, a network, a port, an interface, a mark.

Written forms are ipset's own (lib/parse.c and lib/print.c of ipset); what a packet offers to each dimension is the kernel's
(net/netfilter/ipset/ip_set_getport.c and the kadt functions of each type). A form that is not known here gives None.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import NamedTuple

from agent.analysis.readers.addresses import WIDTH, parse_address, parse_network, parse_range
from agent.analysis.readers.icmp_types import ICMP6_TYPES, ICMP_TYPES
from agent.analysis.readers.intervals import between, exactly, masked
from agent.analysis.readers.numerals import parse_number
from agent.analysis.readers.services import parse_port, parse_protocol
from agent.model.packet import PROTOCOLS, TCP, Field
from agent.model.ruleset import Intervals, Names, Test

Span = tuple[int, int]
_ICMP, _ICMP6, _UDP = PROTOCOLS["icmp"], PROTOCOLS["ipv6-icmp"], PROTOCOLS["udp"]
_PORTED = {TCP, _UDP, PROTOCOLS["sctp"], PROTOCOLS["udplite"]}
# iptables' words for a whole type; ipset has no words for these, and means one type and code.
_CATEGORIES = {"destination-unreachable", "redirect", "time-exceeded", "ttl-exceeded", "parameter-problem"}


class Cell(NamedTuple):
    """What one dimension asks of which fields, field by field."""

    fields: tuple[Field, ...]
    tests: tuple[Test, ...]


def read_span(text: str, family: str) -> Span | None:
    """`address`, `address/length` or `first-last` as the first and the last address; IPv6 may stand in brackets."""
    text = text.replace("[", "").replace("]", "") if family == "ip6" else text
    found = parse_network(text, family) if "/" in text else parse_range(text, family)
    return found.ranges[0] if isinstance(found, Intervals) else None


def read_nets(text: str, family: str) -> list[Span] | None:
    """The same as networks: a range is kept by the kernel as the fewest networks that make it up (ip_set_range_to_cidr)."""
    span = read_span(text, family)
    if span is None or "-" not in text:
        return None if span is None else [span]
    address = IPv4Address if family == "ip" else IPv6Address
    networks = summarize_address_range(address(span[0]), address(span[1]))
    return [(int(each.network_address), int(each.broadcast_address)) for each in networks]


@lru_cache(maxsize=4096)  # a large set repeats a few ports
def read_port(text: str, *, source: bool) -> Cell | None:
    """`80`, `tcp:80`, `udp:53-60`, `icmp:ping`, `icmp:3/1`, `gre:0`: the protocol, and what of it the kernel compares."""
    name, colon, rest = text.rpartition(":")
    protocol = parse_protocol(name) if colon else TCP
    if protocol in _PORTED:
        ports = _read_ports(rest, protocol)
        field = Field.SPORT if source else Field.DPORT
        return None if ports is None else Cell((Field.PROTOCOL, field), (exactly(protocol), ports))
    if protocol in (_ICMP, _ICMP6):
        icmp = _read_icmp(rest, ICMP_TYPES if protocol == _ICMP else ICMP6_TYPES)
        fields = (Field.PROTOCOL, Field.ICMP_TYPE, Field.ICMP_CODE)
        return None if icmp is None else Cell(fields, (exactly(protocol), exactly(icmp[0]), exactly(icmp[1])))
    return Cell((Field.PROTOCOL,), (exactly(protocol),)) if protocol and rest == "0" else None


def read_plain_port(text: str, *, source: bool) -> Cell | None:
    """A port of bitmap:port, which TCP and UDP alone are asked for, without telling them apart (ip_set_get_ip_port)."""
    ports = _read_ports(text.rpartition(":")[2], TCP)
    transports = Intervals(((TCP, TCP), (_UDP, _UDP)))
    return None if ports is None else Cell((Field.PROTOCOL, Field.SPORT if source else Field.DPORT), (transports, ports))


def read_interface(text: str, *, source: bool, wildcard: bool) -> Cell | None:
    """An interface's name; that of a bridge port (`physdev:`) is not followed here."""
    # In `Names` a last `*` stands for any rest.
    if text.startswith("physdev:") or (text.endswith("*") and not wildcard):
        return None
    return Cell((Field.IIF if source else Field.OIF,), (Names((f"{text}*" if wildcard else text,)),))


def read_ether(text: str, *, source: bool) -> Cell | None:
    """A link-layer address; empty for an entry of bitmap:ip,mac that takes the first one that comes."""
    octets = [parse_number(f"0x{each}", 0xFF) for each in text.split(":")] if text else []
    if text and (len(octets) != 6 or None in octets):
        return None
    test = exactly(int.from_bytes(bytes(each or 0 for each in octets), "big")) if octets else between(0, 0xFFFFFFFFFFFF)
    return Cell((Field.ETHER_SADDR if source else Field.ETHER_DADDR,), (test,))


def read_mark(text: str, mask: str) -> Cell | None:
    """A packet mark, compared under the set's `markmask`, which is empty for none."""
    value, bits = parse_number(text, 0xFFFFFFFF), parse_number(mask or "0xffffffff", 0xFFFFFFFF)
    return None if value is None or bits is None else Cell((Field.MARK,), (masked(value & bits, bits, 32),))


def read_mask(text: str, family: str) -> int | None:
    """`netmask 24` or `bitmask 255.255.0.255` as the mask; empty is all ones."""
    width = WIDTH[family]
    length = parse_number(text or str(width), width)
    return parse_address(text, family) if length is None else ((1 << length) - 1) << (width - length)


def _read_ports(text: str, protocol: int) -> Intervals | None:
    first, dash, last = text.partition("-")
    low = parse_port(first, protocol)
    high = parse_port(last, protocol) if dash else low
    return None if low is None or high is None or low > high else between(low, high)


def _read_icmp(text: str, names: dict[str, tuple[int, int | None]]) -> tuple[int, int] | None:
    """(type, code) of `3/1` or of a name, which means one code: that of `echo-request` is 0."""
    found = names.get(text.lower())
    if found is not None:
        return None if text.lower() in _CATEGORIES else (found[0], found[1] or 0)
    kind, _, code = text.partition("/")
    first, second = parse_number(kind, 255), parse_number(code, 255)
    return None if first is None or second is None else (first, second)
