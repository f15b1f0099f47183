"""What the matches of iptables ask, as statements: one reader per extension, each given the options that belong to it.

Semantics are the kernel's (net/netfilter/xt_*.c) as the options of libxt_*.c set them. An option that a reader does not
know, or a value that it cannot read, becomes `Unsure`: the rule is then a maybe, never a certain match or miss.
"""

from dataclasses import replace
from functools import lru_cache

from agent.analysis.readers.addresses import EVERYWHERE, parse_network, parse_range
from agent.analysis.readers.bound_matches import READERS as BOUND_READERS
from agent.analysis.readers.clock_matches import READERS as CLOCK_READERS
from agent.analysis.readers.flow_matches import read_origin
from agent.analysis.readers.header_matches import READERS as HEADER_READERS
from agent.analysis.readers.intervals import exactly, masked
from agent.analysis.readers.iptables_options import Option
from agent.analysis.readers.kernel_state import Asked, Reader, unsure, why_unsure
from agent.analysis.readers.link_matches import READERS as LINK_READERS
from agent.analysis.readers.numerals import parse_masked
from agent.analysis.readers.port_matches import READERS as PORT_READERS
from agent.analysis.readers.services import parse_protocol
from agent.model.packet import CtState, Field
from agent.model.ruleset import AnyBit, AnyOf, Compare, Match, Names, Unsure, Words

# Only a packet with a conntrack entry has a status, a direction or a mark (xt_connmark.c, nft_ct.c: no entry, no match).
_UNTRACKED = Compare(Field.CT_STATE, AnyBit(int(CtState.INVALID | CtState.UNTRACKED)))
TRACKED = replace(_UNTRACKED, negate=True)
_STATUS = {"EXPECTED": 1, "SEEN_REPLY": 2, "ASSURED": 4, "CONFIRMED": 8, "SNAT": 16, "DNAT": 32}
# Extensions that say something, or nothing, without an option; any other that prints none hides what it asks.
_BARE = {"comment", "tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmp6", "icmpv6"}
_ADDRESS_TYPES = {
    "unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw", "nat",
    "xresolve",
}  # fmt: skip


def read_builtin(option: Option, family: str) -> tuple[Match, ...]:
    """-s -d -p -i -o -f as statements; a test that every packet passes gives none."""
    if option.name in ("-s", "-d"):  # not cached: addresses are what differs from rule to rule
        return _address(option, family)
    return _read_other(option)


@lru_cache(maxsize=4096)
def _read_other(option: Option) -> tuple[Match, ...]:
    if option.name in ("-i", "-o"):
        return _interface(option)
    if option.name == "-p":
        protocol = parse_protocol(option.value)
        if protocol is None:
            return (unsure(option, f"the protocol {option.value} is not known here"),)
        test = exactly(protocol) if protocol else masked(0, 0, 8)
        return (Compare(Field.PROTOCOL, test, option.negate),) if protocol or option.negate else ()
    return (Compare(Field.FRAGMENT, exactly(1), option.negate),)


@lru_cache(maxsize=4096)
def read_match(name: str, options: tuple[Option, ...], family: str, protocol: int | None) -> tuple[Match, ...]:
    """The statements of one `-m NAME ...`; none for a comment. `protocol` is what `-p` names, None without it."""
    reader = _READERS.get(name)
    if reader is not None and (options or name in _BARE):
        return tuple(reader(Asked(options, family, protocol)))
    text = " ".join(("-m", name, *map(str, options)))
    return (Unsure(text, "the match is printed without its condition" if reader is not None else why_unsure(name)),)


def _address(option: Option, family: str) -> tuple[Match, ...]:
    field = Field.SADDR if option.name == "-s" else Field.DADDR
    tests = [parse_network(each, family) for each in option.value.split(",")]
    if len(tests) == 1 and tests[0] is not None:
        every = option.value in EVERYWHERE and not option.negate
        return () if every else (Compare(field, tests[0], option.negate),)
    compares = tuple(Compare(field, test) for test in tests if test is not None)
    if len(compares) != len(tests):
        return (unsure(option, f"{option.value} is not an address of this family"),)
    return (AnyOf(compares, option.negate),)


def _interface(option: Option) -> tuple[Match, ...]:
    name = option.value
    if name == "+" and not option.negate:
        return ()
    if name.endswith("*"):
        return (unsure(option, "an interface name that ends in * cannot be told from a pattern"),)
    pattern = f"{name[:-1]}*" if name.endswith("+") else name
    return (Compare(Field.IIF if option.name == "-i" else Field.OIF, Names((pattern,)), option.negate),)


def _conntrack(asked: Asked) -> list[Match]:
    state = [each for each in asked.options if each.name in ("--ctstate", "--state")]
    found: list[Match] = [_state(each) for each in state]
    for option in asked.options:
        if option.name == "--ctdir":
            direction = {"ORIGINAL": 0, "REPLY": 1}.get(option.value.upper())
            test = None if direction is None else Compare(Field.CT_DIRECTION, exactly(direction), option.negate)
        elif option.name == "--ctstatus":
            bits = [_STATUS.get(word) for word in option.value.upper().split(",")]
            known = sum({bit for bit in bits if bit is not None})
            test = None if None in bits else Compare(Field.CT_STATUS, AnyBit(known), option.negate)
        elif option.name in ("--ctstate", "--state"):
            continue
        else:
            test = read_origin(option, asked.family)
        if test is None:
            found.append(unsure(option, f"{option.name} asks for the flow's conntrack entry, which is kernel state"))
        elif state:  # conntrack_mt: without an entry the state alone decides
            found.append(AnyOf((_UNTRACKED, test)))
        else:
            found += [TRACKED, test]
    return found


def _state(option: Option) -> Match:
    states = status = 0
    for word in option.value.upper().split(","):
        if word in CtState.__members__:
            states |= int(CtState[word])
        elif word in ("SNAT", "DNAT") and option.name == "--ctstate":
            status |= _STATUS[word]
        else:
            return unsure(option, f"the state {word} is not understood by this version")
    if not status:
        return Compare(Field.CT_STATE, AnyBit(states), option.negate)
    virtual = Compare(Field.CT_STATUS, AnyBit(status))
    return AnyOf((Compare(Field.CT_STATE, AnyBit(states)), virtual) if states else (virtual,), option.negate)


def _mark(asked: Asked) -> list[Match]:
    return [_marked(each, Field.MARK) for each in asked.options]


def _connmark(asked: Asked) -> list[Match]:
    return [TRACKED, *(_marked(each, Field.CT_MARK) for each in asked.options)]


def _marked(option: Option, field: Field) -> Match:
    found = parse_masked(option.value) if option.name == "--mark" else None
    return unsure(option) if found is None else Compare(field, masked(*found, 32), option.negate)


def _addrtype(asked: Asked) -> list[Match]:
    fields = {"--src-type": Field.SADDR_TYPE, "--dst-type": Field.DADDR_TYPE}
    if any(each.name not in fields for each in asked.options):
        text = " ".join(map(str, asked.options))
        return [Unsure(f"-m addrtype {text}", "the address type on one interface is the kernel's routing state")]
    return [
        Compare(fields[each.name], Words(tuple(each.value.lower().split(","))), each.negate)
        if _ADDRESS_TYPES.issuperset(each.value.lower().split(","))
        else unsure(each)
        for each in asked.options
    ]


def _iprange(asked: Asked) -> list[Match]:
    fields = {"--src-range": Field.SADDR, "--dst-range": Field.DADDR}
    found: list[Match] = []
    for each in asked.options:
        test = parse_range(each.value, asked.family)
        found.append(unsure(each) if test is None or each.name not in fields else Compare(fields[each.name], test, each.negate))
    return found


def _comment(asked: Asked) -> list[Match]:
    return [unsure(each) for each in asked.options if each.name != "--comment"]


_READERS: dict[str, Reader] = {
    **PORT_READERS,
    **HEADER_READERS,
    **LINK_READERS,
    **BOUND_READERS,
    **CLOCK_READERS,
    "addrtype": _addrtype,
    "comment": _comment,
    "connmark": _connmark,
    "conntrack": _conntrack,
    "iprange": _iprange,
    "mark": _mark,
    "state": _conntrack,
}
