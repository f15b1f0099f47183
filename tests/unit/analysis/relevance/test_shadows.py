"""agent.analysis.relevance.shadows: a rule that is said to be shadowed is one that no packet comes to."""

import random
from typing import Any

import pytest

from agent.analysis.path.walk import walk
from agent.analysis.relevance import shadows
from agent.analysis.relevance.shadows import Shadow, Shadows, lost_chains
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    AnyOf,
    Chain,
    Compare,
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
    SetMark,
    Translate,
    Unclear,
    VerdictMap,
)
from tests.unit.analysis.path.rulesets import MAYBE, TCP_ONLY, UDP_ONLY, chain, filtering, hung, packet, table

SSH = Compare(Field.DPORT, Intervals(((22, 22),)))
LOW = Compare(Field.DPORT, Intervals(((1, 1023),)))
MARKED = Compare(Field.MARK, Masked(4, 4))


def find(*rules: Any, others: tuple[Chain, ...] = ()) -> dict[int, Shadow]:
    base = hung("INPUT", *rules)
    return Shadows(table(base, *others)).find(base)


def test_behind_a_rule_that_takes_all_nothing_is_reached() -> None:
    found = find((TCP_ONLY, Accept()), (Pass("LOG"), Reject("x")), (SSH, Accept()), Drop())
    assert found == {3: Shadow(2, whole=True), 4: Shadow(2, whole=True)}
    assert found[3].remark == "never reached: rule 2 takes every packet"


def test_an_earlier_rule_that_covers_a_later_one_shadows_it() -> None:
    found = find((TCP_ONLY, LOW, Drop()), (TCP_ONLY, MAYBE, SSH, Accept()), (SSH, Accept()), (UDP_ONLY, SSH, Accept()))
    assert found == {2: Shadow(1, whole=False), 4: Shadow(3, whole=False)}
    assert found[2].remark == "shadowed by rule 1, which takes every packet that it could match"


@pytest.mark.parametrize("end", [Accept(), Drop(), Reject("x"), Return(), Translate("redirect", port=1), Jump("C", goto=True)])
def test_whatever_ends_the_way_through_the_chain_takes(end: Any) -> None:
    assert set(find((SSH, end), (SSH, Accept()), others=(chain("C"),))) == {2}


@pytest.mark.parametrize(
    "rule",
    [
        (SSH, MAYBE, Drop()),
        (AnyOf((SSH, MAYBE)), Drop()),
        (SSH, Pass("LOG")),
        (SSH, SetMark(Field.MARK, 0, 1)),
        (SSH, SetMark(Field.MARK, 0, 1), MAYBE, Drop()),
        (SSH, Unclear("queue", "a program")),
        (SSH, Jump("BACK")),
        (SSH, Jump("GONE")),
        (SSH, VerdictMap((Field.DPORT,), ())),
    ],
)
def test_what_may_let_a_packet_go_on_shadows_nothing(rule: Any) -> None:
    assert find(rule, (SSH, Accept()), others=(chain("BACK", (TCP_ONLY, Drop())),)) == {}


@pytest.mark.parametrize(
    ("rules", "closed"),
    [
        (((TCP_ONLY, Accept()), Drop()), True),
        (((TCP_ONLY, Return()), Drop()), False),
        ((Drop(), Return()), True),
        (((TCP_ONLY, Jump("B", goto=True)), Drop()), False),
        ((Jump("B"),), True),
        ((Jump("A"),), False),
        ((VerdictMap((Field.DPORT,), (((SSH.test,), Return()),)), Drop()), False),
        ((VerdictMap((Field.DPORT,), (((SSH.test,), Accept()),)), Drop()), True),
        ((), False),
    ],
)
def test_a_jump_takes_where_nothing_comes_back(rules: Any, closed: bool) -> None:
    others = (chain("A", *rules), chain("B", Drop()))
    assert (set(find((SSH, Jump("A")), (SSH, Jump("A")), (SSH, Accept()), others=others)) == {2, 3}) is closed


@pytest.mark.parametrize(
    ("between", "claimed"),
    [
        ((SetMark(Field.MARK, 0, 4),), False),
        ((SetMark(Field.CT_MARK, 0, 4),), True),
        ((Forget((Field.MARK,), "?", "?"),), False),
        ((Unclear("queue", "a program"),), False),
        ((Jump("A"),), False),
        ((Jump("LOOP"),), True),
        ((Jump("GONE"),), True),
        ((NoTrack(),), True),
        ((VerdictMap((Field.DPORT,), (((SSH.test,), Jump("A")),)),), False),
    ],
)
def test_nothing_is_claimed_over_what_may_have_been_rewritten(between: Any, claimed: bool) -> None:
    others = (chain("A", Jump("LOOP"), SetMark(Field.MARK, 0, 4)), chain("LOOP", (TCP_ONLY, Jump("LOOP"))))
    assert (3 in find((MARKED, Drop()), between, (MARKED, Drop()), others=others)) is claimed


def test_a_set_that_is_asked_twice_is_found() -> None:
    known = Lookup((Field.SADDR, Field.DPORT), ((SSH.test, SSH.test),))
    assert set(find((known, Drop()), (known, TCP_ONLY, Accept()), (AnyOf((SSH, LOW)), Drop()), (SSH, Drop()))) == {2, 4}


def test_a_blocklist_is_compared_by_its_addresses() -> None:
    rules = [(TCP_ONLY, Compare(Field.SADDR, Intervals(((number, number),))), Drop()) for number in range(3000)]
    base = hung("INPUT", *rules, rules[7])
    looking = Shadows(table(base))
    assert looking.find(base) == {3001: Shadow(8, whole=False)}
    assert looking.unfinished == []


def test_a_chain_that_is_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadows, "MAX_COMPARISONS", 3)
    rules = [(Compare(Field.SADDR, Intervals(((number, number + 1),))), Drop()) for number in range(9)]
    base = hung("INPUT", *rules)
    looking = Shadows(table(base))
    assert looking.find(base) == {}
    assert looking.unfinished == ["INPUT"]


def test_chains_that_nobody_leads_to() -> None:
    base = hung("INPUT", Accept(), Jump("DEAD"), Jump("GONE"))
    where = table(base, chain("DEAD", Drop()), chain("OLD", Jump("OLDER")), chain("OLDER"))
    found = {chain.name: Shadows(where).find(chain) for chain in where.chains}
    assert lost_chains(where, found) == ({"OLD", "OLDER"}, {"DEAD"})


def test_nothing_is_said_of_chains_beside_something_that_may_be_a_jump() -> None:
    where = table(hung("INPUT", Unclear("?", "not understood")), chain("OLD"))
    assert lost_chains(where, {}) == (frozenset(), frozenset())


@pytest.mark.random
def test_no_packet_comes_to_what_is_said_to_be_shadowed() -> None:
    chance = random.Random(3)
    tests = [TCP_ONLY, UDP_ONLY, SSH, LOW, MARKED, AnyOf((SSH, UDP_ONLY))]
    ends = [Accept(), Drop(), Return(), SetMark(Field.MARK, 0, 4), Jump("A"), Jump("A", goto=True), Pass("LOG")]
    claims = 0
    for _ in range(150):
        made = [(*chance.sample(tests, chance.randrange(3)), chance.choice(ends)) for _ in range(10)]
        rules = filtering(*made, others=(chain("A", (SSH, Drop()), *([Drop()] if chance.random() < 0.5 else [])),))
        base = rules.tables[0].chains[0]
        found = Shadows(rules.tables[0]).find(base)
        claims += len(found)
        for protocol in (6, 17, 1):
            for dport in (22, 80, 10250):
                steps = walk(rules, packet(protocol=protocol, dport=dport, mark=chance.choice((0, 4))), (Hook.INPUT,)).steps
                met = {step.rule.rule_number for step in steps if step.rule.chain == "INPUT"}
                assert not met & set(found)
    assert claims > 100
