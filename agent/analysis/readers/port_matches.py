"""The matches of iptables that ask for ports, TCP flags and ICMP types."""

from functools import partial

from agent.analysis.readers.icmp_types import ICMP6_TYPES, ICMP_TYPES
from agent.analysis.readers.intervals import between, exactly, masked, merged
from agent.analysis.readers.iptables_options import Option
from agent.analysis.readers.kernel_state import Asked, Reader, unsure, why_unsure
from agent.analysis.readers.numerals import parse_number
from agent.analysis.readers.services import parse_port
from agent.model.packet import PROTOCOLS, Field
from agent.model.ruleset import AnyOf, Compare, Intervals, Lookup, Match, Unsure

TCP_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}
PORTS = {
    "--sport": Field.SPORT, "--source-port": Field.SPORT, "--dport": Field.DPORT, "--destination-port": Field.DPORT,
    "--sports": Field.SPORT, "--source-ports": Field.SPORT, "--dports": Field.DPORT, "--destination-ports": Field.DPORT,
}  # fmt: skip
_SYN = (23, 2)  # --syn: of FIN, SYN, RST and ACK only SYN is set


def _parse_ports(text: str, protocol: int | None) -> Intervals | None:
    """`22`, `ssh`, `1024:2048`, `:80`, `1024:`. None when an end is not known or they are the wrong way round."""
    first, colon, last = text.partition(":")
    low = parse_port(first, protocol) if first or not colon else 0
    high = low if not colon else parse_port(last, protocol) if last else 0xFFFF
    return None if low is None or high is None or low > high else between(low, high)


def _transport(name: str, asked: Asked) -> list[Match]:
    number = PROTOCOLS[name]
    found: list[Match] = [] if asked.protocol == number else [Compare(Field.PROTOCOL, exactly(number))]
    for option in asked.options:
        if option.name in ("--sport", "--source-port", "--dport", "--destination-port"):
            ports = _parse_ports(option.value, number)
            found.append(unsure(option) if ports is None else Compare(PORTS[option.name], ports, option.negate))
        elif name == "tcp" and option.name in ("--tcp-flags", "--syn"):
            found.append(_flags(option))
        else:
            found.append(unsure(option, why_unsure(name)))
    return found


def _flags(option: Option) -> Match:
    if option.name == "--syn":
        return Compare(Field.TCP_FLAGS, masked(_SYN[1], _SYN[0], 8), option.negate)
    total = []
    for value in option.values:
        names = value.upper().split(",")
        if any(name not in TCP_FLAGS for name in names):
            return unsure(option)
        bits = 0
        for name in names:
            bits |= TCP_FLAGS[name]
        total.append(bits)
    return Compare(Field.TCP_FLAGS, masked(total[1], total[0], 8), option.negate) if len(total) == 2 else unsure(option)


def _multiport(asked: Asked) -> list[Match]:
    found: list[Match] = []
    for option in asked.options:
        ports = [_parse_ports(each, asked.protocol) for each in option.value.split(",")]
        known = merged(span for each in ports if each is not None for span in each.ranges)
        if None in ports or (option.name not in PORTS and option.name != "--ports"):
            found.append(unsure(option))
        elif option.name == "--ports":
            found.append(AnyOf((Compare(Field.SPORT, known), Compare(Field.DPORT, known)), option.negate))
        else:
            found.append(Compare(PORTS[option.name], known, option.negate))
    return found


def _icmp(number: int, asked: Asked) -> list[Match]:
    found: list[Match] = [] if asked.protocol == number else [Compare(Field.PROTOCOL, exactly(number))]
    for option in asked.options:
        known = _parse_icmp(option.value, ICMP6_TYPES if number == PROTOCOLS["ipv6-icmp"] else ICMP_TYPES)
        if option.name not in ("--icmp-type", "--icmpv6-type") or known is None:
            found.append(unsure(option))
        elif known[0] is None:
            found += [Compare(Field.PROTOCOL, exactly(number), negate=True)] if option.negate else []
        elif known[1] is None:
            found.append(Compare(Field.ICMP_TYPE, exactly(known[0]), option.negate))
        else:
            element = (exactly(known[0]), exactly(known[1]))
            found.append(Lookup((Field.ICMP_TYPE, Field.ICMP_CODE), (element,), option.negate))
    return found


def _parse_icmp(text: str, names: dict[str, tuple[int, int | None]]) -> tuple[int | None, int | None] | None:
    """(type, code) for `8`, `3/4` or a name; (None, None) is any type: the word, and IPv4's 255 (ip_tables.c)."""
    word = text.lower()
    if word == "any" or (word == "255" and names is ICMP_TYPES):
        return None, None
    if word in names:
        return names[word]
    kind, slash, code = word.partition("/")
    numbers = parse_number(kind, 255), parse_number(code, 255) if slash else None
    return None if numbers[0] is None or (slash and numbers[1] is None) else numbers


def _by_protocol(asked: Asked) -> list[Match]:
    """Options without `-m`: they belong to the extension of the protocol that `-p` names."""
    name = next((each for each, number in PROTOCOLS.items() if number == asked.protocol), "")
    reader = READERS.get({"icmp": "icmp", "ipv6-icmp": "icmp6"}.get(name, name))
    if reader is None or reader is _by_protocol:
        text = " ".join(map(str, asked.options))
        return [Unsure(text, f"{text} needs a protocol that has it")]
    return reader(asked)


READERS: dict[str, Reader] = {
    "": _by_protocol,
    "icmp": partial(_icmp, PROTOCOLS["icmp"]),
    "icmp6": partial(_icmp, PROTOCOLS["ipv6-icmp"]),
    "icmpv6": partial(_icmp, PROTOCOLS["ipv6-icmp"]),
    "multiport": _multiport,
    **{name: partial(_transport, name) for name in ("tcp", "udp", "udplite", "sctp", "dccp")},
}
