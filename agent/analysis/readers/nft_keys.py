"""The left-hand side of nft's JSON: which field of the packet an expression reads, and what it silently takes for granted.

nft hides the tests that it derives from a key: `tcp dport` in the kernel is `meta l4proto tcp` and then two bytes of the
transport header, `ip saddr` in an inet table first asks for IPv4. Those tests are put back here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent.analysis.readers.intervals import exactly
from agent.analysis.readers.iptables_matches import TRACKED
from agent.analysis.readers.nft_values import (
    ADDRESS,
    ADDRESS6,
    ADDRESS_TYPE,
    BYTE,
    DIRECTION,
    DSCP,
    FLAGS,
    FRAME_TYPE,
    ICMP6_CODE,
    ICMP6_TYPE,
    ICMP_CODE,
    ICMP_TYPE,
    NAME,
    NUMBER,
    PROTOCOL,
    SHORT,
    STATE,
    STATUS,
    VERSION,
    Kind,
    port_kind,
)
from agent.model.packet import PROTOCOLS, Field
from agent.model.ruleset import Compare

_IPV4, _IPV6 = Compare(Field.NFPROTO, exactly(2)), Compare(Field.NFPROTO, exactly(10))
# A table of one family needs no test for it.
VERSIONS = {"ip": _IPV4, "ip6": _IPV6, "icmp": _IPV4, "icmpv6": _IPV6}
_OWN = {"ip": _IPV4, "ip6": _IPV6}

_PAYLOADS: dict[tuple[str, str], tuple[Field, Kind]] = {
    ("ip", "saddr"): (Field.SADDR, ADDRESS),
    ("ip", "daddr"): (Field.DADDR, ADDRESS),
    ("ip", "protocol"): (Field.PROTOCOL, PROTOCOL),
    ("ip", "length"): (Field.LENGTH, SHORT),
    ("ip", "ttl"): (Field.TTL, BYTE),
    ("ip", "dscp"): (Field.DSCP, DSCP),
    ("ip6", "saddr"): (Field.SADDR, ADDRESS6),
    ("ip6", "daddr"): (Field.DADDR, ADDRESS6),
    ("ip6", "nexthdr"): (Field.PROTOCOL, PROTOCOL),
    ("ip6", "hoplimit"): (Field.TTL, BYTE),
    ("ip6", "dscp"): (Field.DSCP, DSCP),
    ("tcp", "flags"): (Field.TCP_FLAGS, FLAGS),
    ("icmp", "type"): (Field.ICMP_TYPE, ICMP_TYPE),
    ("icmp", "code"): (Field.ICMP_CODE, ICMP_CODE),
    ("icmpv6", "type"): (Field.ICMP_TYPE, ICMP6_TYPE),
    ("icmpv6", "code"): (Field.ICMP_CODE, ICMP6_CODE),
    ("th", "sport"): (Field.SPORT, port_kind(None)),
    ("th", "dport"): (Field.DPORT, port_kind(None)),
    **{
        (name, side): (field, port_kind(PROTOCOLS[name]))
        for name in ("tcp", "udp", "udplite", "sctp", "dccp")
        for side, field in (("sport", Field.SPORT), ("dport", Field.DPORT))
    },
}
_METAS: dict[str, tuple[Field, Kind]] = {
    "iifname": (Field.IIF, NAME),
    "iif": (Field.IIF, NAME),
    "oifname": (Field.OIF, NAME),
    "oif": (Field.OIF, NAME),
    "l4proto": (Field.PROTOCOL, PROTOCOL),
    "nfproto": (Field.NFPROTO, VERSION),
    "protocol": (Field.NFPROTO, VERSION),
    "mark": (Field.MARK, NUMBER),
    "skuid": (Field.SKUID, NUMBER),
    "skgid": (Field.SKGID, NUMBER),
    "pkttype": (Field.PKTTYPE, FRAME_TYPE),
    "length": (Field.LENGTH, NUMBER),
}
_CTS: dict[str, tuple[Field, Kind]] = {
    "state": (Field.CT_STATE, STATE),
    "status": (Field.CT_STATUS, STATUS),
    "mark": (Field.CT_MARK, NUMBER),
    "direction": (Field.CT_DIRECTION, DIRECTION),
}


@dataclass(frozen=True, slots=True)
class Key:
    """A field of the packet, the kind of its values, and the tests that hold before it can be read.

    `literal` tells keys that compare names whole: `iif eth0` knows no pattern.
    """

    field: Field
    kind: Kind
    implied: tuple[Compare, ...] = ()
    literal: bool = False


def read_key(expression: Any, family: str) -> Key | None:
    """The key that an expression reads in a table of that family. None when it is not understood."""
    if not isinstance(expression, dict) or len(expression) != 1:
        return None
    name, body = next(iter(expression.items()))
    if not isinstance(body, dict):
        return None
    if name == "payload":
        return _payload(str(body.get("protocol")), str(body.get("field")), family)
    return _fib(body) if name == "fib" else _state(name, body)


def version_test(word: str, family: str) -> tuple[Compare, ...]:
    """The test for the IP version that a word (`ip`, `icmpv6`, ...) takes for granted, where the table does not settle it."""
    test = VERSIONS.get(word)
    return () if test is None or _OWN.get(family) == test else (test,)


@lru_cache(maxsize=1024)  # all rules share a few keys
def _payload(protocol: str, field: str, family: str) -> Key | None:
    known = _PAYLOADS.get((protocol, field))
    if known is None:
        return None
    implied = version_test(protocol, family)
    number = PROTOCOLS.get({"icmpv6": "ipv6-icmp"}.get(protocol, protocol))
    if number is not None:
        implied += (Compare(Field.PROTOCOL, exactly(number)),)
    return Key(*known, implied=implied)


def _state(name: str, body: Mapping[str, Any]) -> Key | None:
    """`meta ...` and `ct ...`; a `ct original ...` asks for the flow's entry, which is kernel state."""
    key = str(body.get("key"))
    if name == "meta" and key in _METAS:
        return Key(*_METAS[key], literal=key in ("iif", "oif"))
    if name == "ct" and key in _CTS and "dir" not in body:
        return Key(*_CTS[key], implied=() if key == "state" else (TRACKED,))
    return None


def _fib(body: Mapping[str, Any]) -> Key | None:
    """`fib saddr type` and `fib daddr type`; on one interface, or for a route, it is the kernel's routing state."""
    flags = body.get("flags")
    single = flags[0] if isinstance(flags, list) and len(flags) == 1 else flags
    fields = {"saddr": Field.SADDR_TYPE, "daddr": Field.DADDR_TYPE}
    if body.get("result") != "type" or not isinstance(single, str) or single not in fields:
        return None
    return Key(fields[single], ADDRESS_TYPE)
