"""What is below IP and in the connection's beginning, as iptables asks for it."""

import pytest

from agent.analysis.readers.iptables_matches import TRACKED
from agent.analysis.readers.iptables_rule import read_words
from agent.analysis.readers.tokens import words
from agent.model.packet import Field
from agent.model.ruleset import AnyOf, Compare, Intervals, Names, Statement, Unsure

NOT_LO = Compare(Field.IIF, Names(("lo",)), negate=True)


def read(text: str, family: str = "ip") -> tuple[Statement, ...]:
    return read_words(words(text), family, frozenset()).statements


def span(field: Field, low: int, high: int, *, negate: bool = False) -> Compare:
    return Compare(field, Intervals(((low, high),)), negate)


def port(field: Field, name: str, *, negate: bool = False) -> Compare:
    return Compare(field, Names((name,)), negate)


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("-m mac --mac-source 02:00:00:AB:00:02", (NOT_LO, span(Field.ETHER_SADDR, 0x020000AB0002, 0x020000AB0002))),
        ("-m mac ! --mac-source 00:00:00:00:00:01", (NOT_LO, span(Field.ETHER_SADDR, 1, 1, negate=True))),
        ("-m physdev --physdev-in veth0", (port(Field.PHYSDEV_IN, "veth0"),)),
        ("-m physdev ! --physdev-in veth+", (port(Field.PHYSDEV_IN, "veth*", negate=True),)),
        ("-m physdev --physdev-out eth0", (port(Field.PHYSDEV_OUT, "eth0"),)),
        ("-m physdev --physdev-is-in", (port(Field.PHYSDEV_IN, "", negate=True),)),
        ("-m physdev ! --physdev-is-out", (port(Field.PHYSDEV_OUT, ""),)),
        ("-m physdev --physdev-is-bridged", (port(Field.PHYSDEV_OUT, "", negate=True),)),
        ("-m conntrack --ctproto 6", (TRACKED, span(Field.CT_PROTOCOL, 6, 6))),
        ("-m conntrack --ctorigsrc 10.0.0.0/8", (TRACKED, span(Field.CT_SADDR, 0x0A000000, 0x0AFFFFFF))),
        ("-m conntrack ! --ctorigdst 10.0.0.1", (TRACKED, span(Field.CT_DADDR, 0x0A000001, 0x0A000001, negate=True))),
        ("-m conntrack --ctorigsrcport 1024:65535", (TRACKED, span(Field.CT_SPORT, 1024, 0xFFFF))),
        ("-m conntrack --ctorigdstport 80", (TRACKED, span(Field.CT_DPORT, 80, 80))),
    ],
    ids=str,
)
def test_what_is_read(text: str, statements: tuple[Statement, ...]) -> None:
    assert read(text) == statements


@pytest.mark.parametrize(
    "text",
    [
        "-m mac --mac-source 02:00:00:00:00",
        "-m mac --mac-target 02:00:00:00:00:02",
        "-m physdev --physdev-in",
        "-m physdev --physdev-in veth*",
        "-m physdev --physdev-is-in veth0",
        "-m physdev --physdev-is-blue",
        "-m conntrack --ctproto 0",
        "-m conntrack --ctorigsrc fd00::1",
        "-m conntrack --ctorigdstport http:",
        "-m conntrack --ctreplsrcport 80",
    ],
)
def test_what_is_not_understood_is_unsure(text: str) -> None:
    assert isinstance(read(text)[-1], Unsure)


def test_beside_a_state_the_connection_alone_is_asked() -> None:
    state, origin = read("-m conntrack --ctstate NEW --ctorigdstport 80")
    assert isinstance(state, Compare)
    assert isinstance(origin, AnyOf)
    assert origin.tests[-1] == span(Field.CT_DPORT, 80, 80)
