"""The matches of iptables that ask for the rest of the IP header and for the packet's socket: length, TTL, DSCP, owner."""

from agent.analysis.readers.intervals import between, exactly, masked
from agent.analysis.readers.kernel_state import Asked, Reader, unsure
from agent.analysis.readers.numerals import parse_masked, parse_number
from agent.model.packet import Field
from agent.model.ruleset import Compare, Intervals, Match, Unsure, Words

# RFC 2474, RFC 2597, RFC 3246, RFC 5865, RFC 8622.
DSCP_CLASSES = {
    **{f"cs{number}": number << 3 for number in range(8)},
    **{f"af{row}{column}": row << 3 | column << 1 for row in range(1, 5) for column in range(1, 4)},
    "be": 0, "ef": 46, "va": 44, "voice-admit": 44, "le": 1, "lephb": 1,
}  # fmt: skip
_TOS = {
    "minimize-delay": 0x10,
    "maximize-throughput": 0x08,
    "maximize-reliability": 0x04,
    "minimize-cost": 0x02,
    "normal-service": 0,
}
_MAX_LENGTH = 0xFFFF


def _span(text: str, separator: str, limit: int) -> Intervals | None:
    """`5`, `5:9`, `:9`, `5:` as an interval up to `limit`; None when it is none of them."""
    first, found, last = text.partition(separator)
    low = parse_number(first, limit) if first or not found else 0
    high = low if not found else parse_number(last, limit) if last else limit
    return None if low is None or high is None or low > high else between(low, high)


def _length(asked: Asked) -> list[Match]:
    found: list[Match] = []
    for each in asked.options:
        test = _span(each.value, ":", _MAX_LENGTH) if each.name == "--length" else None
        found.append(unsure(each) if test is None else Compare(Field.LENGTH, test, each.negate))
    return found


def _ttl(asked: Asked) -> list[Match]:
    found: list[Match] = []
    for each in asked.options:
        value = parse_number(each.value, 255)
        kind = each.name.removeprefix("--").partition("-")
        if value is None or kind[0] not in ("ttl", "hl") or kind[2] not in ("", "eq", "lt", "gt"):
            found.append(unsure(each))
            continue
        test = {"lt": between(0, value - 1), "gt": between(value + 1, 255)}.get(kind[2], exactly(value))
        found.append(Compare(Field.TTL, test, each.negate))
    return found


def _dscp(asked: Asked) -> list[Match]:
    found: list[Match] = []
    for each in asked.options:
        by_name = each.name == "--dscp-class"
        value = DSCP_CLASSES.get(each.value.lower()) if by_name else parse_number(each.value, 63)
        known = value is not None and each.name in ("--dscp", "--dscp-class")
        found.append(Compare(Field.DSCP, exactly(value), each.negate) if known and value is not None else unsure(each))
    return found


def _tos(asked: Asked) -> list[Match]:
    """The whole TOS byte; its two ECN bits are not followed here, so that a match on them can only be ruled out."""
    found: list[Match] = []
    for each in asked.options:
        name = _TOS.get(each.value.lower())
        value, mask = (name, 0x3F) if name is not None else parse_masked(each.value) or (None, 0)
        if "/" not in each.value and name is None:
            mask = 0xFF
        if value is None or value > 0xFF or each.name != "--tos":
            found.append(unsure(each))
        elif not mask & 3:
            found.append(Compare(Field.DSCP, masked(value >> 2, mask >> 2, 6), each.negate))
        else:
            rest = Unsure(str(each), "it asks for ECN bits, which are not followed here")
            found += [rest] if each.negate else [Compare(Field.DSCP, masked(value >> 2, (mask & 0xFF) >> 2, 6)), rest]
    return found


def _pkttype(asked: Asked) -> list[Match]:
    found: list[Match] = []
    for each in asked.options:
        word = {"host": "unicast", "bcast": "broadcast", "mcast": "multicast"}.get(each.value.lower(), each.value.lower())
        known = each.name == "--pkt-type" and word in ("unicast", "broadcast", "multicast")
        found.append(Compare(Field.PKTTYPE, Words((word,)), each.negate) if known else unsure(each))
    return found


def _owner(asked: Asked) -> list[Match]:
    fields = {"--uid-owner": Field.SKUID, "--gid-owner": Field.SKGID}
    found: list[Match] = []
    for each in asked.options:
        test = _span(each.value, "-", 0xFFFFFFFF) if each.name in fields else None
        why = f"{each} asks for the sending socket by name or state, which is not followed here"
        found.append(unsure(each, why) if test is None else Compare(fields[each.name], test, each.negate))
    return found


READERS: dict[str, Reader] = {
    "dscp": _dscp,
    "hl": _ttl,
    "length": _length,
    "owner": _owner,
    "pkttype": _pkttype,
    "tos": _tos,
    "ttl": _ttl,
}
