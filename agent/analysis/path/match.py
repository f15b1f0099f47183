"""One test against one packet, in three-valued logic.

A rule may ask for something that the packet does not say; the answer is then UNKNOWN and stays so through NOT, AND and OR as in
Kleene's logic. The walk asks millions of times: it reads a packet's fields once and calls `holds` from then on.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeGuard

from agent.analysis.path.address_types import Kinds, frame_kinds, kinds_of
from agent.analysis.path.spans import Span
from agent.model.packet import TCP, CtState, Field, Packet
from agent.model.ruleset import (
    AnyBit,
    AnyOf,
    Compare,
    Intervals,
    Lookup,
    Masked,
    Match,
    Names,
    Pass,
    Statement,
    Test,
    Unsure,
    Words,
)
from agent.model.tri import Tri

_YES, _NO, _UNKNOWN = Tri.YES, Tri.NO, Tri.UNKNOWN
_MATCHES = frozenset((Compare, Lookup, AnyOf, Unsure))
# Up to this many ranges a loop is quicker than bisecting.
_FEW = 4


class Missing(Enum):
    """ABSENT: the packet has no such thing, and the kernel ends the rule whatever the test, negated or not.

    That is what a test of the connection's mark, status or direction meets where there is no connection
    (net/netfilter/nft_ct.c, xt_connmark.c, xt_conntrack.c).
    """

    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Bits:
    """A number of which only the bits in `known` are known."""

    value: int
    known: int


Value = int | str | Kinds | Bits | Span | Missing | None
Fields = Mapping[Field, Value]


def evaluate(statement: Match, packet: Packet) -> Tri:
    """Whether one test holds for the packet as it enters, conntrack's state included.

    When the packet does not say which addresses are local, its destination is taken as local.
    """
    return holds(statement, read_fields(packet, delivered=not packet.local))


def read_fields(packet: Packet, *, delivered: bool) -> dict[Field, Value]:
    """Every field's value; None is unknown. `delivered`: the packet is for this node, whatever `packet.local` says.

    Source and destination are integers. A packet that is not TCP has no flags to speak of; the first packet of a connection
    goes in its original direction; whatever is not NEW has a past that nobody told us.
    """
    version, destination = packet.version, int(packet.destination)
    known = bool(packet.local)
    here = _YES if delivered else (Tri.of(packet.destination in packet.local) if known else _UNKNOWN)
    same = delivered and packet.source == packet.destination
    own = _YES if same or packet.source in packet.local else (_NO if known else _UNKNOWN)
    return {
        Field.IIF: packet.iif,
        Field.OIF: packet.oif,
        Field.NFPROTO: 2 if version == 4 else 10,
        Field.SADDR: int(packet.source),
        Field.DADDR: destination,
        Field.PROTOCOL: packet.protocol,
        Field.FRAGMENT: 0,
        Field.SPORT: packet.sport,
        Field.DPORT: packet.dport,
        Field.TCP_FLAGS: packet.tcp_flags if packet.protocol == TCP else None,
        Field.ICMP_TYPE: packet.icmp_type,
        Field.ICMP_CODE: packet.icmp_code,
        Field.CT_STATE: single_state(packet.ctstate),
        Field.CT_STATUS: None,
        Field.CT_DIRECTION: 0 if packet.ctstate == CtState.NEW else None,
        Field.CT_MARK: packet.connmark,
        **original_tuple(packet if packet.ctstate == CtState.NEW else None),
        Field.MARK: packet.mark,
        Field.SADDR_TYPE: kinds_of(int(packet.source), version, own),
        Field.DADDR_TYPE: kinds_of(destination, version, here),
        Field.LENGTH: packet.length,
        Field.TTL: packet.ttl,
        Field.DSCP: packet.dscp,
        Field.PKTTYPE: frame_kinds(destination, version),
        Field.SKUID: None,
        Field.SKGID: None,
        Field.ETHER_SADDR: packet.mac,
        Field.ETHER_DADDR: None,
        Field.TIME: None if packet.moment is None else Span(*packet.moment),
        Field.PHYSDEV_IN: "" if packet.iif == "lo" else packet.physdev_in,
        Field.PHYSDEV_OUT: packet.physdev_out,
    }


def original_tuple(first: Packet | None) -> dict[Field, Value]:
    """What a connection remembers of its first packet, before any NAT; nothing is known when that packet is not."""
    return {
        Field.CT_SADDR: None if first is None else int(first.source),
        Field.CT_DADDR: None if first is None else int(first.destination),
        Field.CT_SPORT: None if first is None else first.sport,
        Field.CT_DPORT: None if first is None else first.dport,
        Field.CT_PROTOCOL: None if first is None else first.protocol,
    }


def single_state(ctstate: CtState) -> int | None:
    """The state as a number; None unless it is exactly one."""
    return int(ctstate) if int(ctstate).bit_count() == 1 else None


def holds(statement: Match, fields: Fields) -> Tri:
    """Whether one test holds for a packet with these fields."""
    if type(statement) is Compare:
        value = fields[statement.field]
        answer = _NO if value is Missing.ABSENT else _test(statement.test, value)
        final = value is Missing.ABSENT
    elif type(statement) is Lookup:
        answer = _any(element_holds(statement.fields, element, fields) for element in statement.elements)
        final = any(fields[name] is Missing.ABSENT for name in statement.fields)
    elif type(statement) is AnyOf:
        answer = _any(holds(test, fields) for test in statement.tests)
        final = False
    else:
        return _UNKNOWN
    if statement.negate and not final:
        return _NO if answer is _YES else _YES if answer is _NO else _UNKNOWN
    return answer


def element_holds(names: Sequence[Field], element: Sequence[Test], fields: Fields) -> Tri:
    """Whether every field passes the test at its place: one element of a set or map with concatenated keys."""
    result = _YES
    for name, test in zip(names, element, strict=True):
        answer = _test(test, fields[name])
        if answer is _NO:
            return _NO
        if answer is _UNKNOWN:
            result = _UNKNOWN
    return result


def is_match(statement: Statement) -> TypeGuard[Match]:
    """Whether a statement asks something; all others do something."""
    return type(statement) in _MATCHES


def rules_out(statements: Sequence[Statement], fields: Fields) -> bool:
    """Whether a rule certainly does nothing to the packet: one of its tests fails before its first action."""
    for statement in statements:
        if is_match(statement):
            if holds(statement, fields) is _NO:
                return True
        elif type(statement) is not Pass:
            return False
    return False


def why_unknown(statement: Match, fields: Fields) -> str:
    """The sentence on why a test's answer is UNKNOWN."""
    if isinstance(statement, Unsure):
        return statement.why
    if isinstance(statement, AnyOf):
        reasons = [why_unknown(test, fields) for test in statement.tests if holds(test, fields) is _UNKNOWN]
        return "; ".join(dict.fromkeys(reasons))
    return why_unanswered(statement.fields if isinstance(statement, Lookup) else (statement.field,))


def why_unanswered(names: Sequence[Field]) -> str:
    """The sentence for fields that the packet does not answer for."""
    return f"not enough is known of the packet's {', '.join(names)}"


def _any(answers: Iterable[Tri]) -> Tri:
    """Kleene's OR."""
    result = _NO
    for answer in answers:
        if answer is _YES:
            return _YES
        if answer is _UNKNOWN:
            result = _UNKNOWN
    return result


def _test(test: Test, value: Value) -> Tri:
    """UNKNOWN also where the test does not suit the value: then it was not understood."""
    if type(value) is int:
        return _test_number(test, value)
    if type(value) is str and type(test) is Names:
        return _YES if any(_named(pattern, value) for pattern in test.patterns) else _NO
    if type(value) is Kinds and type(test) is Words:
        return value.among(test.words)
    if type(value) is Bits:
        return _test_bits(test, value)
    if type(value) is Span:
        return value.passes(test)
    return _NO if value is Missing.ABSENT else _UNKNOWN


def _test_number(test: Test, value: int) -> Tri:
    if type(test) is Intervals:
        return _YES if _within(test.ranges, value) else _NO
    if type(test) is Masked:
        return _YES if value & test.mask == test.equals else _NO
    if type(test) is AnyBit:
        return _YES if value & test.mask else _NO
    return _UNKNOWN


def _within(ranges: tuple[tuple[int, int], ...], value: int) -> bool:
    if len(ranges) <= _FEW:
        return any(low <= value <= high for low, high in ranges) if len(ranges) != 1 else ranges[0][0] <= value <= ranges[0][1]
    index = bisect_right(ranges, value, key=_low) - 1
    return index >= 0 and value <= ranges[index][1]


def _low(bounds: tuple[int, int]) -> int:
    return bounds[0]


def _named(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _test_bits(test: Test, bits: Bits) -> Tri:
    if type(test) is AnyBit:
        if bits.value & bits.known & test.mask:
            return _YES
        return _UNKNOWN if test.mask & ~bits.known else _NO
    if type(test) is Masked:
        if (bits.value ^ test.equals) & test.mask & bits.known or test.equals & ~test.mask:
            return _NO
        return _UNKNOWN if test.mask & ~bits.known else _YES
    return _UNKNOWN
