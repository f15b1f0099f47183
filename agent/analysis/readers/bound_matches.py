"""Matches of iptables that only packets of one protocol can meet: what they ask is not followed here, whom they ask is."""

from functools import partial

from agent.analysis.readers.intervals import exactly
from agent.analysis.readers.kernel_state import Asked, Reader, unsure, why_unsure
from agent.model.packet import PROTOCOLS, TCP, Field
from agent.model.ruleset import Compare, Match


def _bound(name: str, number: int, asked: Asked) -> list[Match]:
    found: list[Match] = [] if asked.protocol == number else [Compare(Field.PROTOCOL, exactly(number))]
    return found + [unsure(each, why_unsure(name)) for each in asked.options]


def _ah(asked: Asked) -> list[Match]:
    """In IPv6 it is an extension header, which a packet of any protocol may have (ip6t_ah.c)."""
    if asked.family == "ip":
        return _bound("ah", PROTOCOLS["ah"], asked)
    return [unsure(each, why_unsure("ah")) for each in asked.options]


READERS: dict[str, Reader] = {
    "ah": _ah,
    "esp": partial(_bound, "esp", PROTOCOLS["esp"]),
    "osf": partial(_bound, "osf", TCP),
    "tcpmss": partial(_bound, "tcpmss", TCP),
}
