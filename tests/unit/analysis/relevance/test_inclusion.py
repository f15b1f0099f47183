"""agent.analysis.relevance.inclusion: an implication is claimed only where every packet shows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.path.match import holds
from agent.analysis.relevance.inclusion import implies, is_decidable, names_one
from agent.model.packet import Field
from agent.model.ruleset import AnyBit, AnyOf, Compare, Intervals, Lookup, Masked, Match, Names, Words
from agent.model.tri import Tri
from tests.unit.analysis.path.rulesets import MAYBE, TCP_ONLY, UDP_ONLY

NUMBERS = st.integers(0, 15)


@st.composite
def intervals(draw: st.DrawFn) -> Intervals:
    ends = sorted(draw(st.sets(NUMBERS, max_size=6)))
    return Intervals(tuple(zip(ends[::2], ends[1::2], strict=False)))


TESTS = st.one_of(intervals(), st.builds(Masked, NUMBERS, NUMBERS), st.builds(AnyBit, NUMBERS))
COMPARES = st.builds(Compare, st.just(Field.DPORT), TESTS, st.booleans())
MATCHES = st.one_of(COMPARES, st.builds(AnyOf, st.lists(COMPARES, max_size=3).map(tuple), st.booleans()))
NAMES = ("cni0", "cni1", "cni", "eth0", "lo", "c")
PATTERNS = st.lists(st.sampled_from(("cni0", "cni*", "c*", "eth0", "*", "lo")), min_size=1, max_size=2).map(tuple)
NAMED = st.builds(Compare, st.just(Field.IIF), st.builds(Names, PATTERNS), st.booleans())


@given(MATCHES, MATCHES)
def test_numbers(one: Match, other: Match) -> None:
    if implies(one, other):
        for value in range(16):
            fields = {Field.DPORT: value}
            assert holds(one, fields) is Tri.NO or holds(other, fields) is Tri.YES


@given(NAMED, NAMED)
def test_names(one: Match, other: Match) -> None:
    if implies(one, other):
        for name in NAMES:
            assert holds(one, {Field.IIF: name}) is Tri.NO or holds(other, {Field.IIF: name}) is Tri.YES


def port(low: int, high: int, *, negate: bool = False) -> Compare:
    return Compare(Field.DPORT, Intervals(((low, high),)), negate)


def named(*patterns: str, negate: bool = False) -> Compare:
    return Compare(Field.IIF, Names(patterns), negate)


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        (port(22, 22), port(1, 1023), True),
        (port(1, 1023), port(22, 22), False),
        (port(22, 22), port(80, 90, negate=True), True),
        (port(1, 1023, negate=True), port(22, 22, negate=True), True),
        (port(22, 22, negate=True), port(1, 1023, negate=True), False),
        (port(22, 22, negate=True), port(23, 65535), False),
        (port(22, 22), TCP_ONLY, False),
        (named("cni0"), named("cni*"), True),
        (named("cni*"), named("cni0"), False),
        (named("eth0"), named("cni*", negate=True), True),
        (named("c*"), named("cni*", negate=True), False),
        (Compare(Field.CT_STATE, AnyBit(2)), Compare(Field.CT_STATE, AnyBit(6)), True),
        (Compare(Field.CT_STATE, AnyBit(8)), Compare(Field.CT_STATE, AnyBit(6), negate=True), False),
        (Compare(Field.MARK, Masked(6, 2)), Compare(Field.MARK, Masked(2, 2)), True),
        (Compare(Field.MARK, Masked(6, 2)), Compare(Field.MARK, Masked(2, 0), negate=True), True),
        (Compare(Field.MARK, Masked(6, 2)), Compare(Field.MARK, Intervals(((0, 1),)), negate=True), True),
        (AnyOf((port(22, 22), port(80, 80))), port(1, 1023), True),
        (port(22, 22), AnyOf((port(22, 22), port(80, 80))), True),
        (AnyOf((TCP_ONLY, UDP_ONLY), negate=True), AnyOf((TCP_ONLY, UDP_ONLY), negate=True), True),
        (MAYBE, MAYBE, False),
        (TCP_ONLY, AnyOf((TCP_ONLY, MAYBE)), False),
        (Compare(Field.SADDR_TYPE, Words(("local",))), Compare(Field.SADDR_TYPE, Words(("local", "unicast"))), False),
        (Lookup((Field.DPORT,), ()), Lookup((Field.DPORT,), ()), True),
        (Lookup((Field.DPORT,), ()), port(1, 2), False),
    ],
)
def test_known_cases(one: Match, other: Match, want: bool) -> None:
    assert implies(one, other) is want


def test_single_values_and_decidable_tests() -> None:
    assert names_one(port(22, 22))
    assert names_one(named("cni0"))
    assert not any(map(names_one, (port(1, 2), port(22, 22, negate=True), named("cni*"), named("a", "b"), MAYBE)))
    assert not names_one(Compare(Field.MARK, Masked(1, 1)))
    assert is_decidable(TCP_ONLY)
    assert not is_decidable(AnyOf((MAYBE,)))
