"""Tests that nft may have joined on their way to the kernel, and shows apart all the same.

`tcp sport != 1 tcp dport != 2` becomes one load of four bytes and one comparison: the kernel lets every packet pass the test
that differs in one of the two, and `nft list` prints the two tests again (nft 1.0.6, `payload_can_merge` in src/payload.c; seen
with `nft --debug=netlink`). Other programs ask for each alone, and the listing is the same. So where one of two such tests
holds and the other does not, nobody who reads a listing knows what the kernel does.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from agent.model.ruleset import AnyOf, Compare, Statement, Unsure

_WHY = "nft may have joined this test with its neighbour, and lists them apart: whether both have to hold is not known"
_TRANSPORT, _NETWORK, _LINK = "transport", "network", "link"
_PORTS = {"sport": (0, 2), "dport": (2, 2)}
_ICMP = {"type": (0, 1), "code": (1, 1), "checksum": (2, 2), "id": (4, 2), "sequence": (6, 2), "mtu": (6, 2)}
# Place and length in bytes of what begins and ends at a byte's border (RFC 791, 792, 768, 9293, 4443, 8200). Without IP's own
# addresses, which nft loads one by one: that is as quick.
_FIELDS: dict[str, tuple[str, dict[str, tuple[int, int]]]] = {
    "ether": (_LINK, {"daddr": (0, 6), "saddr": (6, 6), "type": (12, 2)}),
    "ip": (
        _NETWORK,
        {"length": (2, 2), "id": (4, 2), "frag-off": (6, 2), "ttl": (8, 1), "protocol": (9, 1), "checksum": (10, 2)},
    ),
    "ip6": (_NETWORK, {"length": (4, 2), "nexthdr": (6, 1), "hoplimit": (7, 1)}),
    "tcp": (_TRANSPORT, {**_PORTS, "flags": (13, 1), "window": (14, 2), "checksum": (16, 2), "urgptr": (18, 2)}),
    "udp": (_TRANSPORT, {**_PORTS, "length": (4, 2), "checksum": (6, 2)}),
    "udplite": (_TRANSPORT, {**_PORTS, "csumcov": (4, 2), "checksum": (6, 2)}),
    "dccp": (_TRANSPORT, _PORTS),
    "sctp": (_TRANSPORT, _PORTS),
    "th": (_TRANSPORT, _PORTS),
    "icmp": (_TRANSPORT, _ICMP),
    "icmpv6": (_TRANSPORT, _ICMP),
}

_Span = tuple[str, int, int]  # base, first byte, the byte behind the last


def find_joined(items: Sequence[Any]) -> tuple[frozenset[int], ...]:
    """The indexes, in a rule's expressions, of `!=` tests whose fields lie side by side: each group may be one test."""
    places = {index: span for index, item in enumerate(items) if (span := _span(item)) is not None}
    groups: list[set[int]] = []
    for index in sorted(places, key=lambda each: places[each]):
        base, first, _ = places[index]
        near = next((group for group in groups if any(places[each][::2] == (base, first) for each in group)), None)
        if near is None:
            groups.append({index})
        else:
            near.add(index)
    return tuple(frozenset(group) for group in groups if len(group) > 1)


def doubt(test: Statement) -> Statement:
    """One test of a group: it may fail, and the rule go on all the same, because a neighbour's holds."""
    return AnyOf((test, Unsure(f"{test.field} !=", _WHY))) if isinstance(test, Compare) else test


def together(tests: Sequence[Statement]) -> Iterator[Statement]:
    """What is sure of a whole group, behind its last test: where all fail the rule ends."""
    known = tuple(test for test in tests if isinstance(test, Compare))
    if len(known) == len(tests):
        yield AnyOf(known)


def _span(item: Any) -> _Span | None:
    body = item.get("match") if isinstance(item, dict) else None
    if not isinstance(body, dict) or body.get("op") != "!=" or not isinstance(body.get("right"), str | int):
        return None
    payload = body["left"].get("payload") if isinstance(body.get("left"), dict) else None
    if not isinstance(payload, dict):
        return None
    base, fields = _FIELDS.get(str(payload.get("protocol")), ("", {}))
    found = fields.get(str(payload.get("field")))
    return None if found is None else (base, found[0], found[0] + found[1])
