"""The walk against brute force: every way a packet may go, one by one."""

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.explanation import Verdict
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    Chain,
    Drop,
    Jump,
    Pass,
    Reject,
    Return,
    Ruleset,
    SetMark,
)
from tests.unit.analysis.path.rulesets import (
    MAYBE,
    TCP_ONLY,
    UDP_ONLY,
    chain,
    hung,
    ruleset,
    table,
)
from tests.unit.analysis.path.walking import (
    go,
    marked,
    set_mark,
)

ENDS = {Accept: "ACCEPT", Drop: "DROP"}

ACTIONS = st.sampled_from(
    [Accept(), Drop(), Reject("tcp-reset"), Return(), Pass("LOG"), set_mark(1), set_mark(2), SetMark(Field.MARK, 0xFFFFFFFF, 1)]
)

TESTS = st.sampled_from([(), (TCP_ONLY,), (UDP_ONLY,), (MAYBE,), (marked(1),), (marked(0),), (MAYBE, marked(1))])


@st.composite
def filters(draw: st.DrawFn) -> Ruleset:
    """A base chain and three user chains that jump only forward."""
    chains: list[Chain] = []
    for depth in range(4):
        later = [Jump(f"C{i}", goto) for i in range(depth + 1, 4) for goto in (False, True)]
        actions = ACTIONS if not later else st.one_of(ACTIONS, st.sampled_from(later))
        rules = draw(st.lists(st.tuples(TESTS, actions), max_size=5))
        bodies = [((*tests, action), {}) for tests, action in rules]
        made = (
            hung("C0", *bodies, policy=draw(st.sampled_from(["accept", "drop"]))) if depth == 0 else chain(f"C{depth}", *bodies)
        )
        chains.append(made)
    return ruleset(table(*chains))


def every_way(chains: dict[str, Chain], name: str, mark: int, index: int = 0) -> Iterator[tuple[str, int]]:
    """(end, mark) of each way through a chain: ACCEPT, DROP, REJECT, or FELL off its end."""
    rules = chains[name].rules
    if index == len(rules):
        yield "FELL", mark
        return
    *tests, action = rules[index].statements
    answers = [{TCP_ONLY: True, UDP_ONLY: False, marked(0): mark == 0, marked(1): mark == 1}.get(test) for test in tests]
    if False in answers or None in answers:
        yield from every_way(chains, name, mark, index + 1)
    if False not in answers:
        yield from act(chains, name, mark, index, action)


def act(chains: dict[str, Chain], name: str, mark: int, index: int, action: Any) -> Iterator[tuple[str, int]]:
    match action:
        case Accept() | Drop():
            yield ENDS[type(action)], mark
        case Reject():
            yield "REJECT", mark
        case Return():
            yield "FELL", mark
        case SetMark():
            yield from every_way(chains, name, (mark & action.keep) ^ action.flip, index + 1)
        case Jump():
            for end, after in set(every_way(chains, action.chain, mark)):
                if end == "FELL" and not action.goto:
                    yield from every_way(chains, name, after, index + 1)
                else:
                    yield end, after
        case _:
            yield from every_way(chains, name, mark, index + 1)


@settings(max_examples=80, deadline=None)
@given(filters())
def test_the_walk_finds_every_outcome_and_no_other(rules: Ruleset) -> None:
    chains = {each.name: each for each in rules.tables[0].chains}
    base = chains["C0"].base
    assert base is not None
    want = {base.policy.upper() if end == "FELL" else end for end, _ in every_way(chains, "C0", 0)}
    found = go(rules)
    assert {outcome.verdict.value for outcome in found.outcomes} == want
    assert (found.verdict is Verdict.UNDECIDED) == (len(want) > 1)
    assert bool(found.assumptions) == (len(want) > 1)


@settings(max_examples=50, deadline=None)
@given(filters())
def test_every_assumption_is_a_maybe_and_without_them_the_answer_is_decided(rules: Ruleset) -> None:
    """Taking each assumed rule out of doubt, one after the other, leaves a decided answer at last."""
    listed = {(each.rule.chain, each.rule.rule_number) for each in go(rules).assumptions}
    chains = []
    for each in rules.tables[0].chains:
        kept = []
        for number, one in enumerate(each.rules, 1):
            if (each.name, number) in listed:
                assert MAYBE in one.statements
                kept.append(((UDP_ONLY, Drop()), {}))
            else:
                kept.append((one.statements, {}))
        chains.append(Chain(each.name, chain(each.name, *kept).rules, each.base))
    assert go(ruleset(table(*chains))).verdict is not Verdict.UNDECIDED
