import pytest

from agent.analysis.readers.iptables_rule import read_words
from agent.analysis.readers.tokens import words
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    CopyMark,
    Drop,
    Forget,
    Jump,
    NoTrack,
    Pass,
    Reject,
    Return,
    SetMark,
    Statement,
    Translate,
    Unclear,
)

_ALL = 0xFFFFFFFF


def read(text: str, family: str = "ip") -> tuple[Statement, ...]:
    return read_words(words(text), family, frozenset(("KUBE-X", "LOG"))).statements


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", ()),
        ("-j ACCEPT", (Accept(),)),
        ("-j DROP", (Drop(),)),
        ("-j RETURN", (Return(),)),
        ("-j KUBE-X", (Jump("KUBE-X"),)),
        ("-g KUBE-X", (Jump("KUBE-X", goto=True),)),
        ("-j LOG", (Jump("LOG"),)),
        ("-j REJECT", (Reject("icmp-port-unreachable"),)),
        ("-j REJECT --reject-with host-prohib", (Reject("icmp-host-prohibited"),)),
        ("-j REJECT --reject-with tcp-rst", (Reject("tcp-reset"),)),
        ("-j MARK --set-mark 1", (SetMark(Field.MARK, 0, 1),)),
        ("-j MARK --set-mark 0x1/0xf", (SetMark(Field.MARK, 0xFFFFFFF0, 1),)),
        ("-j MARK --set-xmark 0x4000/0x4000", (SetMark(Field.MARK, _ALL & ~0x4000, 0x4000),)),
        ("-j MARK --and-mark 0xff", (SetMark(Field.MARK, 0xFF, 0),)),
        ("-j MARK --or-mark 1", (SetMark(Field.MARK, _ALL & ~1, 1),)),
        ("-j MARK --xor-mark 1", (SetMark(Field.MARK, _ALL, 1),)),
        ("-j CONNMARK --set-xmark 0x1/0xff", (SetMark(Field.CT_MARK, _ALL & ~0xFF, 1),)),
        ("-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xff", (CopyMark(Field.MARK, Field.CT_MARK, 0xF, 0xFF),)),
        ("-j CONNMARK --restore-mark", (CopyMark(Field.CT_MARK, Field.MARK),)),
        ("-j CONNMARK --restore-mark --mask 0xff", (CopyMark(Field.CT_MARK, Field.MARK, 0xFF, 0xFF),)),
        ("-j DNAT --to-destination 10.0.0.1:8080", (Translate("dnat", "10.0.0.1", 8080),)),
        ("-j DNAT --to-destination :8080", (Translate("dnat", "", 8080),)),
        ("-j DNAT --to-destination 10.0.0.1-10.0.0.5", (Translate("dnat", exact=False),)),
        ("-j SNAT --to-source 10.0.0.1 --random-fully", (Translate("snat", "10.0.0.1"),)),
        ("-j REDIRECT --to-ports 8081", (Translate("redirect", port=8081),)),
        ("-j REDIRECT --to-ports 80-90", (Translate("redirect", exact=False),)),
        ("-j MASQUERADE --random-fully", (Translate("masquerade"),)),
        ("-j NETMAP --to 10.0.0.0/24", (Translate("netmap", exact=False),)),
        ("-j NOTRACK", (NoTrack(),)),
        ("-j CT --notrack", (NoTrack(),)),
        ("-j CT --zone 4", (Pass("CT --zone 4"),)),
        ('-j NFLOG --nflog-prefix "-j DROP"', (Pass('NFLOG --nflog-prefix "-j DROP"'),)),
        ("-j SET --add-set x src", (Pass("SET --add-set x src"),)),
    ],
    ids=str,
)
def test_targets(text: str, statements: tuple[Statement, ...]) -> None:
    assert read(text) == statements


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("-j REJECT", Reject("icmp6-port-unreachable")),
        ("-j REJECT --reject-with adm-prohibited", Reject("icmp6-adm-prohibited")),
        ("-j DNAT --to-destination [fd00::1]:80", Translate("dnat", "fd00::1", 80)),
        ("-j DNAT --to-destination fd00::1", Translate("dnat", "fd00::1")),
    ],
    ids=str,
)
def test_targets_of_ipv6(text: str, statement: Statement) -> None:
    assert read(text, "ip6") == (statement,)


@pytest.mark.parametrize(
    "text",
    [
        "-j NFQUEUE --queue-num 0",
        "-j TPROXY --on-port 1",
        "-j NOSUCH",
        "-g NOSUCH",
        "-j ACCEPT --with this",
        "-j KUBE-X --with this",
        "-j REJECT --reject-with nonsense",
        "-j DNAT --nonsense 1",
    ],
)
def test_what_is_not_understood_may_do_anything(text: str) -> None:
    assert isinstance(read(text)[-1], Unclear)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("-j MARK --set-mark nonsense", (Field.MARK,)),
        ("-j CONNMARK --left-shift-mark 3", (Field.MARK, Field.CT_MARK)),
        ("-j CONNMARK --save-mark --nfmask nonsense", (Field.MARK, Field.CT_MARK)),
        ("-j MARK --and-mark 1/2", (Field.MARK,)),
        ("-j MARK --set-mark 1 --set-mark 2", (Field.MARK,)),
        ("-j SET --map-set x src --map-mark", (Field.MARK,)),
        ("-j TTL --ttl-set 5", (Field.TTL,)),
        ("-j DSCP --set-dscp 5", (Field.DSCP,)),
    ],
)
def test_what_a_target_rewrites_is_forgotten(text: str, fields: tuple[Field, ...]) -> None:
    (statement,) = read(text)
    assert isinstance(statement, Forget)
    assert statement.fields == fields
