"""agent.analysis.path.partition: every address of a network fares as it does when it is asked about alone."""

import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest

from agent.analysis.path.partition import explain_sources
from agent.analysis.path.walk import walk
from agent.model.explanation import Explanation, Part, Verdict
from agent.model.packet import Field, Packet
from agent.model.ruleset import (
    Accept,
    AnyOf,
    Compare,
    CopyMark,
    Drop,
    Forget,
    Hook,
    Intervals,
    Jump,
    Lookup,
    Masked,
    NoTrack,
    Pass,
    Reject,
    Return,
    Ruleset,
    SetMark,
    Statement,
    Test,
    Translate,
    Unclear,
    VerdictMap,
    Words,
)
from tests.unit.analysis.path.rulesets import MAYBE, NODE, TCP_ONLY, chain, filtering, hung, packet, rule, ruleset, table

POD_NET = ip_network("10.244.4.0/24")
BRIDGE = ip_address("10.244.4.1")
FIRST = int(POD_NET[0])
HOOKS = (Hook.PREROUTING, Hook.INPUT)


def among(low: int, high: int) -> Intervals:
    return Intervals(((FIRST + low, FIRST + high),))


def source(test: Test, *, negate: bool = False) -> Compare:
    return Compare(Field.SADDR, test, negate)


def spread(found: Explanation) -> Iterator[tuple[int, int, Part]]:
    """The parts with their first and last address as integers."""
    at = int(ip_network(found.packet["src"])[0])
    for part in found.partition:
        yield at, at + part.addresses - 1, part
        at += part.addresses


def check(rules: Ruleset, asked: Packet, network: Any = POD_NET, every: int = 1) -> Explanation:
    """Asks about all of them, and about each alone."""
    found = explain_sources(rules, asked, network)
    assert sum(part.addresses for part in found.partition) == network.num_addresses
    address = IPv4Address if network.version == 4 else IPv6Address
    for low, high, part in spread(found):
        for number in range(low, high + 1, every):
            alone = walk(rules, packet(source=address(number), destination=asked.destination, local=asked.local), HOOKS)
            assert (part.verdict, part.reject_with, part.decided_by) == (alone.verdict, alone.reply, alone.decided_by), number
            assert part.assumptions == alone.assumptions
    return found


def test_the_hand_made_fix_shows_as_one_open_address() -> None:
    found = check(filtering((source(among(138, 138)), TCP_ONLY, Accept()), Reject("icmp-host-prohibited")), packet())
    assert [(part.src, part.addresses, part.verdict) for part in found.partition] == [
        ("10.244.4.0-10.244.4.137", 138, Verdict.REJECT),
        ("10.244.4.138/32", 1, Verdict.ACCEPT),
        ("10.244.4.139-10.244.4.255", 117, Verdict.REJECT),
    ]
    assert found.partition[0].client_sees == "EHOSTUNREACH"
    assert (found.verdict, found.decided_by, found.client_sees) == (Verdict.UNDECIDED, None, None)
    assert [each.why for each in found.assumptions] == [
        "it decides about 255 of the 256 addresses (10.244.4.0-10.244.4.137, 10.244.4.139-10.244.4.255): REJECT",
        "it decides about 1 of the 256 addresses (10.244.4.138/32): ACCEPT",
    ]
    assert found.packet["src"] == "10.244.4.0/24"


def test_a_network_that_fares_as_one_has_one_part_and_its_answer() -> None:
    found = check(filtering(Reject("icmp-host-prohibited")), packet())
    assert [(part.src, part.addresses) for part in found.partition] == [("10.244.4.0/24", 256)]
    assert (found.verdict, found.reject_with, found.client_sees) == (Verdict.REJECT, "icmp-host-prohibited", "EHOSTUNREACH")
    assert found.decided_by is not None


def test_one_verdict_by_several_rules_is_a_verdict_without_a_rule() -> None:
    found = check(filtering((source(among(0, 9)), Reject("tcp-reset")), Reject("icmp-host-prohibited")), packet())
    assert (found.verdict, found.reject_with, found.client_sees, found.decided_by) == (Verdict.REJECT, None, None, None)


def test_many_parts_of_one_rule_are_named_by_a_few() -> None:
    rules = filtering(*((source(among(number, number)), Drop()) for number in range(0, 256, 2)))
    found = check(rules, packet())
    assert len(found.partition) == 256
    assert "10.244.4.5/32, ...): ACCEPT" in found.assumptions[1].why or "..." in found.assumptions[-1].why


def test_a_client_of_another_protocol_has_no_errno() -> None:
    found = explain_sources(filtering(Drop()), packet(protocol=17), POD_NET)
    assert found.client_sees is None
    assert explain_sources(filtering(Drop()), packet(), POD_NET).client_sees == "ETIMEDOUT"


ELEMENTS = (
    (among(3, 5), Intervals(((10250, 10250),))),
    (among(40, 50), Intervals(((22, 22),))),
    (among(0, 255), Intervals(((10, 20),))),
)
JUMPS = VerdictMap(
    (Field.SADDR,), (((among(0, 15),), Jump("A")), ((among(8, 31),), Drop()), ((among(60, 61),), Pass("continue")))
)
CASES: dict[str, Ruleset] = {
    "a mask with holes": filtering((source(Masked(0xFF000005, 0x0A000001)), Drop())),
    "not one of them": filtering((source(among(4, 9), negate=True), Drop())),
    "any of them": filtering((AnyOf((source(among(4, 9)), source(among(99, 104)), TCP_ONLY)), MAYBE, Drop())),
    "a set": filtering((Lookup((Field.SADDR, Field.DPORT), ELEMENTS), Drop())),
    "not in a set": filtering((Lookup((Field.SADDR, Field.DPORT), ELEMENTS, negate=True), Drop())),
    "a verdict map": filtering((JUMPS, Drop()), others=(chain("A", (source(among(2, 2)), Return()), Drop()),)),
    "a maybe for some": filtering((source(among(16, 31)), MAYBE, Drop()), (source(among(30, 40)), Accept()), policy="drop"),
    "the node's own": filtering((Compare(Field.SADDR_TYPE, Words(("local",))), Accept()), policy="drop"),
    "a mark that is set": filtering(
        (source(among(7, 9)), SetMark(Field.MARK, 0, 4)),
        (Compare(Field.MARK, Masked(4, 4)), Drop()),
        (Compare(Field.MARK, Masked(4, 0)), source(among(9, 11)), Drop()),
    ),
    "a rule that only logs": filtering((source(among(7, 9)), Pass("LOG")), (source(among(8, 8)), Drop())),
    "the connection's memory": filtering((Compare(Field.CT_SADDR, among(5, 6)), Drop())),
    "a source that was rewritten": ruleset(
        table(hung("INPUT", (source(among(9, 20)), Translate("snat", "10.244.4.12")), kind="nat", priority=100), name="nat"),
        table(hung("INPUT", (source(among(12, 12)), Drop()), priority=150), name="security"),
        table(hung("INPUT", Compare(Field.CT_STATE, Masked(0, 0)))),
    ),
    "a source that is forgotten": filtering(
        (source(among(1, 3)), Forget((Field.SADDR,), "?", "rewritten")), (source(among(2, 30)), Drop())
    ),
    "who knows": filtering((source(among(1, 3)), Unclear("queue", "a program")), (source(among(2, 30)), Drop())),
    "marks of the connection": filtering(
        (source(among(1, 3)), CopyMark(Field.MARK, Field.CT_MARK)), (Compare(Field.CT_MARK, Masked(0, 0)), Drop())
    ),
    "untracked": ruleset(
        table(hung("PREROUTING", (source(among(1, 3)), NoTrack()), hook=Hook.PREROUTING, priority=-300), name="raw"),
        table(hung("INPUT", (Compare(Field.CT_STATE, Masked(64, 64)), Drop()))),
    ),
    "conntrack by a chain that nobody comes to": ruleset(
        table(hung("PREROUTING", (source(among(1, 3)), Drop()), hook=Hook.PREROUTING, kind="nat", priority=-100), name="nat"),
        table(hung("INPUT", Accept()), hung("OUTPUT", (Compare(Field.CT_STATE, Masked(8, 8)), Drop()), hook=Hook.OUTPUT)),
    ),
    "conntrack by a rule that no packet matches": ruleset(
        table(hung("PREROUTING", (source(among(1, 3)), Drop()), hook=Hook.PREROUTING, kind="nat", priority=-100), name="nat"),
        table(hung("INPUT", (Compare(Field.DPORT, Intervals(((1, 1),))), Compare(Field.CT_STATE, Masked(8, 8)), Drop()))),
    ),
    "two chains at one priority": ruleset(
        table(
            hung("PREROUTING", (source(among(1, 9)), Translate("redirect", port=10)), hook=Hook.PREROUTING, kind="nat"),
            name="nat",
        ),
        table(
            hung("other", (source(among(5, 12)), Translate("redirect", port=11)), hook=Hook.PREROUTING, kind="nat"), name="n2"
        ),
        table(hung("INPUT", (Compare(Field.DPORT, Intervals(((10, 10),))), Drop()))),
    ),
    "a translated destination": ruleset(
        table(
            hung("PREROUTING", (source(among(1, 9)), Translate("dnat", str(NODE), 22)), hook=Hook.PREROUTING, kind="nat"),
            name="nat",
        ),
        table(hung("INPUT", (Compare(Field.DPORT, Intervals(((22, 22),))), Drop()), (Compare(Field.CT_STATE, Masked(0, 0)),))),
    ),
    "a network that NAT compares nothing with": ruleset(
        table(hung("INPUT", Translate("snat", "10.244.4.0-10.244.4.9", exact=False), kind="nat", priority=100), name="nat"),
        table(hung("INPUT", (source(among(1, 1)), Drop()))),
    ),
    "a jump to nowhere": filtering((source(among(1, 1)), Jump("gone")), Drop()),
}


@pytest.mark.parametrize("rules", CASES.values(), ids=CASES)
def test_every_address_fares_as_it_does_alone(rules: Ruleset) -> None:
    check(rules, packet(local=(NODE, BRIDGE)))


def arbitrary(seed: int) -> Ruleset:
    """A ruleset of jumps, marks and tests of the source, by chance."""
    chance = random.Random(seed)

    def test() -> Test:
        low = chance.randrange(256)
        return chance.choice(
            (among(low, min(255, low + chance.randrange(40))), Masked(chance.randrange(256), chance.randrange(8)))
        )

    def statement(ends: list[Statement]) -> tuple[Statement, ...]:
        tests = [source(test(), negate=chance.random() < 0.3) for _ in range(chance.randrange(3))]
        marked = [Compare(Field.MARK, Masked(3, chance.randrange(4)))] if chance.random() < 0.3 else []
        maybe = [MAYBE] if chance.random() < 0.15 else []
        return (*tests, *marked, *maybe, chance.choice(ends))

    ends: list[Statement] = [Accept(), Drop(), Return(), SetMark(Field.MARK, 0, chance.randrange(4)), Reject("tcp-reset")]
    inner = chain("B", *(statement(ends) for _ in range(4)))
    outer = chain("A", *(statement([*ends, Jump("B"), Jump("B", goto=True)]) for _ in range(4)))
    return filtering(*(statement([*ends, Jump("A"), Jump("B")]) for _ in range(8)), others=(outer, inner))


@pytest.mark.random
@pytest.mark.parametrize("seed", range(20))
def test_arbitrary_rules_decide_alike(seed: int) -> None:
    check(arbitrary(seed), packet(), every=1 if seed < 10 else 5)


def test_ipv6() -> None:
    network, node = ip_network("fd00::/64"), ip_address("fd00::1:0:0:7c")
    low = int(network[0])
    rules = ruleset(table(hung("INPUT", (source(Intervals(((low + 5, low + 9),))), Drop())), family="ip6"))
    found = explain_sources(rules, Packet(source=network[0], destination=node, dport=10250), network)
    assert [part.src for part in found.partition] == [
        "fd00::-fd00::4",
        "fd00::5-fd00::9",
        "fd00::a-fd00::ffff:ffff:ffff:ffff",
    ]


def test_what_cannot_be_walked_to_the_end_is_undecided_and_says_so() -> None:
    rules = filtering(*((source(among(number, number)), Drop()) for number in range(0, 256, 2)))
    found = explain_sources(rules, packet(), POD_NET, most=20)
    assert found.partition[-1].verdict is Verdict.UNDECIDED
    assert found.partition[-1].src.endswith("-10.244.4.255")
    assert sum(part.addresses for part in found.partition) == 256
    assert "more than 20 pieces: from 10.244.4." in found.problems[0]


def test_no_accept_is_claimed_over_what_was_not_read_or_not_walked() -> None:
    rules = (source(among(0, 9)), Drop())
    unread = explain_sources(ruleset(table(hung("INPUT", rules)), unread=("nft did not answer.",)), packet(), POD_NET)
    assert [part.verdict for part in unread.partition] == [Verdict.DROP, Verdict.UNDECIDED]
    assert unread.problems == ("nft did not answer.",)
    below = table(hung("in", Drop(), hook=Hook.INGRESS), family="netdev", name="guard")
    found = explain_sources(ruleset(below, table(hung("INPUT", rules))), packet(), POD_NET)
    assert [part.verdict for part in found.partition] == [Verdict.DROP, Verdict.UNDECIDED]
    assert [each.rule.table for each in found.partition[1].assumptions] == ["guard"]


def test_rules_without_a_source_cost_one_walk() -> None:
    busy = [rule(Compare(Field.DPORT, Intervals(((number, number),))), Drop()) for number in range(2000)]
    assert len(check(filtering(*busy), packet(), every=50).partition) == 1
