"""The right-hand side of nft's JSON: values, ranges, prefixes and names as tests, by the kind of key they belong to."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.analysis.readers.addresses import parse_address
from agent.analysis.readers.header_matches import DSCP_CLASSES
from agent.analysis.readers.icmp_types import ICMP6_TYPES, ICMP_TYPES, NFT_CODES
from agent.analysis.readers.intervals import merged
from agent.analysis.readers.numerals import parse_number
from agent.analysis.readers.port_matches import TCP_FLAGS
from agent.analysis.readers.services import parse_port, parse_protocol
from agent.model.packet import CtState
from agent.model.ruleset import Names, Test, Words


@dataclass(frozen=True, slots=True)
class Kind:
    """What values a key takes. `number` reads one as an integer of `bits` bits; without it values are words or names.

    `words` has the words that iptables uses otherwise, by nft's; every other word is the same.

    `flags` tells keys whose values are bits of a mask: nft tests those with `in` and `!`.
    """

    bits: int = 32
    number: Callable[[str], int | None] | None = None
    flags: bool = False
    words: Mapping[str, str] | None = None


def _named(names: Mapping[str, int], bits: int) -> Callable[[str], int | None]:
    limit = (1 << bits) - 1

    def read(text: str) -> int | None:
        number = parse_number(text, limit)
        return names.get(text.lower()) if number is None else number

    return read


def _types(names: Mapping[str, tuple[int, int | None]]) -> dict[str, int]:
    return {name: kind for name, (kind, code) in names.items() if code is None}


_STATES = {name.lower(): int(state) for name, state in CtState.__members__.items()}
_STATUS = {"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32, "dying": 512}
# In an IPv4 or IPv6 chain, what `meta protocol` and `meta nfproto` can be; any other name stays an unanswered test.
_VERSIONS = {"ip": 2, "ip6": 10, "ipv4": 2, "ipv6": 10}

ADDRESS = Kind(32, lambda text: parse_address(text, "ip"))
ADDRESS6 = Kind(128, lambda text: parse_address(text, "ip6"))
NUMBER = Kind(32, lambda text: parse_number(text, 0xFFFFFFFF))
SHORT = Kind(16, lambda text: parse_number(text, 0xFFFF))
BYTE = Kind(8, lambda text: parse_number(text, 0xFF))
PROTOCOL = Kind(8, parse_protocol)
VERSION = Kind(8, _VERSIONS.get)
ICMP_TYPE = Kind(8, _named(_types(ICMP_TYPES), 8))
ICMP6_TYPE = Kind(8, _named(_types(ICMP6_TYPES), 8))
ICMP_CODE = Kind(8, _named(NFT_CODES["icmp"], 8))
ICMP6_CODE = Kind(8, _named(NFT_CODES["icmpv6"], 8))
DSCP = Kind(6, _named(DSCP_CLASSES, 6))
DIRECTION = Kind(8, _named({"original": 0, "reply": 1}, 8))
STATE = Kind(32, _named(_STATES, 32), flags=True)
STATUS = Kind(32, _named(_STATUS, 32), flags=True)
FLAGS = Kind(8, _named({name.lower(): bit for name, bit in TCP_FLAGS.items()} | {"ecn": 64, "cwr": 128}, 8), flags=True)
FRAME_TYPE = Kind(words={"host": "unicast"})
# nft gives one type to an address; for iptables a local IPv6 address is unicast as well.
ADDRESS_TYPE = Kind(words={"unicast": "only unicast"})
NAME = Kind()


_NOTHING = (1, 0)  # a range without a number in it


def port_kind(protocol: int | None) -> Kind:
    """The kind of a port under that protocol: service names differ."""
    return Kind(16, lambda text: parse_port(text, protocol))


def read_number(value: Any, kind: Kind) -> int | None:
    """One value as an integer, flags joined by `|` or listed as their union. None when it is not understood."""
    if isinstance(value, bool) or kind.number is None:
        return None
    if isinstance(value, int):
        # VERSION has no plain numbers of its own: `meta protocol 2048` and `meta nfproto 2` count differently.
        return value if 0 <= value < 1 << kind.bits and kind is not VERSION else None
    if isinstance(value, str):
        return kind.number(value)
    if kind.flags:
        several = value.get("|") if isinstance(value, dict) and len(value) == 1 else value
        bits = [read_number(each, kind) for each in several] if isinstance(several, list) else [None]
        total = 0
        for bit in bits:
            if bit is None:
                return None
            total |= bit
        return total
    return None


def _read_span(value: Any, kind: Kind) -> tuple[int, int] | None:
    """The inclusive range of one value. nft prints `& mask == value` as a prefix even where the mask cuts off bits of it."""
    if value == "*":  # the catch-all element of a set
        return 0, (1 << kind.bits) - 1
    if isinstance(value, dict) and len(value) == 1:
        prefix, ends = value.get("prefix"), value.get("range")
        if isinstance(prefix, dict):
            address, length = read_number(prefix.get("addr"), kind), prefix.get("len")
            if address is None or not isinstance(length, int) or not 0 <= length <= kind.bits:
                return None
            rest = (1 << (kind.bits - length)) - 1
            return (address, address | rest) if not address & rest else _NOTHING
        if isinstance(ends, list) and len(ends) == 2:
            low, high = read_number(ends[0], kind), read_number(ends[1], kind)
            return None if low is None or high is None or low > high else (low, high)
    number = read_number(value, kind)
    return None if number is None else (number, number)


def read_test(values: Iterable[Any], kind: Kind) -> Test | None:
    """One test that holds for any of the values (scalars, ranges, prefixes). None when one of them is not understood."""
    found = list(values)
    if kind.number is not None:
        spans = [span for each in found if (span := _read_span(each, kind)) is not None]
        return merged(span for span in spans if span != _NOTHING) if len(spans) == len(found) else None
    names = [each for each in found if isinstance(each, str) and each]
    if len(names) != len(found):
        return None
    if kind.words is not None:
        return Words(tuple(kind.words.get(each, each) for each in names))
    return None if any("\\" in each or "*" in each[:-1] for each in names) else Names(tuple(names))


def unwrapped(element: Any) -> Any:
    """A set's element without its timeout, counter and comment."""
    while isinstance(element, dict) and isinstance(element.get("elem"), dict):
        element = element["elem"].get("val")
    return element
