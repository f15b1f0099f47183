"""What else rtnetlink(7) tells of a packet's way: route lookups as the kernel itself makes them, policy rules, neighbours, the
ends of cables, qdiscs, filters and XDP. It asks and never sets.

Layouts: include/uapi/linux/{rtnetlink,fib_rules,neighbour,if_link,pkt_sched,pkt_cls}.h.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from agent.host.rtnetlink import (
    _ATTRIBUTE,
    _DONE,
    _ERROR,
    _GETLINK,
    _GETROUTE,
    _LINK,
    _REQUEST,
    _ROUTE,
    _ROUTE_KINDS,
    Reader,
    _attributes,
    _number,
    _text,
)
from agent.model.evidence import Lookup, Neighbour, PolicyRule, Program

_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # ndmsg: family, index, state, flags, type
_TRAFFIC = struct.Struct("=BxxxiIII")  # tcmsg: family, index, handle, parent, info
_GETNEIGH, _GETRULE, _GETQDISC, _GETTFILTER = 30, 34, 38, 46
_LOOKUP_TABLE = 0x1000  # RTM_F_LOOKUP_TABLE: say which table decided
_RTA_DST, _RTA_SRC, _RTA_IIF, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 1, 2, 3, 4, 5, 15
_STATES = {0x01: "INCOMPLETE", 0x02: "REACHABLE", 0x04: "STALE", 0x08: "DELAY", 0x10: "PROBE", 0x20: "FAILED"}
_STATES |= {0x40: "NOARP", 0x80: "PERMANENT", 0x00: "NONE"}
_ACTIONS = {1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
# Where filters hang (pkt_sched.h): clsact's two ends, and the older qdisc `ingress`.
_PARENTS = {"clsact": ((0xFFFFFFF2, "ingress"), (0xFFFFFFF3, "egress")), "ingress": ((0xFFFF0000, "ingress"),)}

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Link:
    """An interface's facts that matter here; `peer` is the index of its cable's other end, in whichever namespace."""

    index: int
    name: str
    mtu: int
    master: int
    peer: int
    xdp: int | None  # the id of its XDP program


@dataclass(frozen=True, slots=True)
class Qdisc:
    """A qdisc that filters hang on, and the packets that it threw away so far."""

    index: int
    kind: str
    drops: int


class Lookups(Reader):
    """Asks in the namespace in which it was opened. Methods raise `OSError`, but for what a lookup itself answers."""

    def lookup(self, question: str, source: Address, target: Address, incoming: int = 0) -> Lookup:
        """Which way a packet goes. With `incoming` the kernel takes it as received there and checks its source as it would
        (net/ipv4/fib_frontend.c, fib_validate_source): EXDEV, since Linux 6.14 EINVAL, is its reverse path filter's no. With
        log_martians set, that leaves a line in the kernel's log.
        """
        family = socket.AF_INET if target.version == 4 else socket.AF_INET6
        bits = target.max_prefixlen
        body = _ROUTE.pack(family, bits, bits, 0, 0, 0, 0, 0, _LOOKUP_TABLE)
        body += _attribute(_RTA_DST, target.packed) + _attribute(_RTA_SRC, source.packed)
        body += _attribute(_RTA_IIF, struct.pack("=i", incoming)) if incoming else b""
        names = {link.index: link.name for link in self.links()}
        asked = Lookup(question=question, source=str(source), target=str(target), incoming=names.get(incoming, ""))
        try:
            header, found = self._answer(body)
        except OSError as error:
            number = error.errno or 0
            return replace(asked, errno=errno.errorcode.get(number, str(error)))
        return replace(
            asked,
            kind=_ROUTE_KINDS.get(header[7], f"type {header[7]}"),
            interface=names.get(_number(found.get(_RTA_OIF, b"")), ""),
            gateway=str(ip_address(found[_RTA_GATEWAY])) if _RTA_GATEWAY in found else "",
            table=_number(found[_RTA_TABLE]) if _RTA_TABLE in found else header[4],
        )

    def links(self) -> tuple[Link, ...]:
        """Every interface."""
        return tuple(map(_link, self._dump(_GETLINK)))

    def rules(self) -> tuple[PolicyRule, ...]:
        """`ip rule`, IPv4 and IPv6, in the order of their priority within each family."""
        found = self._dump(_GETRULE, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0))
        return tuple(_rule(payload) for payload in found if payload[0] in (socket.AF_INET, socket.AF_INET6))

    def neighbours(self, place: str, wanted: frozenset[str]) -> tuple[Neighbour, ...]:
        """The entries of the neighbour table for the addresses `wanted`."""
        names = {link.index: link.name for link in self.links()}
        found = (_neighbour(payload, place, names) for payload in self._dump(_GETNEIGH, _NEIGHBOUR.pack(0, 0, 0, 0, 0)))
        return tuple(item for item in found if item is not None and item.address in wanted)

    def qdiscs(self) -> tuple[Qdisc, ...]:
        """Those that tc programs hang on, of all interfaces."""
        found = map(_qdisc, self._dump(_GETQDISC, _TRAFFIC.pack(0, 0, 0, 0, 0)))
        return tuple(item for item in found if item.kind in _PARENTS)

    def filters(self, link: Link, place: str) -> Iterator[Program]:
        """The tc filters of one interface, BPF or not."""
        for qdisc in self.qdiscs():
            for parent, hook in _PARENTS[qdisc.kind] if qdisc.index == link.index else ():
                for payload in self._dump(_GETTFILTER, _TRAFFIC.pack(0, link.index, 0, parent, 0)):
                    yield from _filter(payload, Program(hook=f"tc {hook}", where=link.name, place=place))

    def _answer(self, body: bytes) -> tuple[tuple[int, ...], dict[int, bytes]]:
        sequence = self._send(_GETROUTE, _REQUEST, body)
        for kind, _, payload in self._messages(sequence):
            if kind not in (_ERROR, _DONE):
                return _ROUTE.unpack_from(payload), _attributes(payload[_ROUTE.size :])
        raise OSError("the kernel did not answer a route lookup")


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def _link(payload: bytes) -> Link:
    _, _, index, _, _ = _LINK.unpack_from(payload)
    found = _attributes(payload[_LINK.size :])
    xdp = _attributes(found.get(43, b""))  # IFLA_XDP: IFLA_XDP_ATTACHED, IFLA_XDP_PROG_ID
    attached = _number(xdp.get(2, b""))
    return Link(
        index=index,
        name=_text(found.get(3, b"")),
        mtu=_number(found.get(4, b"")),
        master=_number(found.get(10, b"")),
        peer=_number(found.get(5, b"")),
        xdp=_number(xdp.get(4, b"")) if attached else None,
    )


def _rule(payload: bytes) -> PolicyRule:
    family, to_bits, from_bits, _, table, _, _, action, _ = _ROUTE.unpack_from(payload)  # fib_rule_hdr has rtmsg's shape
    found = _attributes(payload[_ROUTE.size :])

    def network(kind: int, bits: int) -> str:
        return f"{ip_address(found[kind])}/{bits}" if kind in found and family in (socket.AF_INET, socket.AF_INET6) else ""

    return PolicyRule(
        priority=_number(found.get(6, b"")),  # FRA_PRIORITY
        table=_number(found[15]) if 15 in found else table,  # FRA_TABLE
        source=network(2, from_bits),  # FRA_SRC
        target=network(1, to_bits),  # FRA_DST
        incoming=_text(found.get(3, b"")),  # FRA_IIFNAME
        mark=_number(found[10]) if 10 in found else None,  # FRA_FWMARK
        action=_ACTIONS.get(action, f"action {action}"),
    )


def _neighbour(payload: bytes, place: str, names: dict[int, str]) -> Neighbour | None:
    family, index, state, _, _ = _NEIGHBOUR.unpack_from(payload)
    raw = _attributes(payload[_NEIGHBOUR.size :]).get(1, b"")  # NDA_DST
    if family not in (socket.AF_INET, socket.AF_INET6) or len(raw) not in (4, 16):
        return None
    words = _STATES.get(state, f"state {state}")
    return Neighbour(place=place, address=str(ip_address(raw)), interface=names.get(index, ""), state=words)


def _qdisc(payload: bytes) -> Qdisc:
    _, index, _, _, _ = _TRAFFIC.unpack_from(payload)
    found = _attributes(payload[_TRAFFIC.size :])
    queue = _attributes(found.get(7, b"")).get(3, b"")  # TCA_STATS2, TCA_STATS_QUEUE: qlen, backlog, drops, ...
    drops = struct.unpack_from("=I", queue, 8)[0] if len(queue) >= 12 else 0
    return Qdisc(index=index, kind=_text(found.get(1, b"")), drops=drops)


def _filter(payload: bytes, base: Program) -> Iterator[Program]:
    found = _attributes(payload[_TRAFFIC.size :])
    kind, options = _text(found.get(1, b"")), _attributes(found.get(2, b""))
    if not options:
        return  # the head of a filter chain, which holds nothing
    bpf = kind == "bpf"
    name = _text(options.get(7, b"")) if bpf else kind  # TCA_BPF_NAME
    number = _number(options[11]) if bpf and 11 in options else None  # TCA_BPF_ID
    yield Program(hook=base.hook, where=base.where, place=base.place, number=number, name=name)
