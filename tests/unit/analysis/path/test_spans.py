"""agent.analysis.path.spans: a range answers as all of its addresses do, and is cut where they differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.path.match import holds
from agent.analysis.path.spans import Span
from agent.model.packet import Field
from agent.model.ruleset import AnyBit, Compare, Intervals, Masked, Names, Test
from agent.model.tri import Tri

NUMBERS = st.integers(0, 63)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
    return Span(low, high)


@st.composite
def intervals(draw: st.DrawFn) -> Intervals:
    ends = sorted(draw(st.sets(NUMBERS, max_size=8)))
    return Intervals(tuple(zip(ends[::2], ends[1::2], strict=False)))


TESTS = st.one_of(intervals(), st.builds(Masked, NUMBERS, NUMBERS), st.builds(AnyBit, NUMBERS))


def ask(test: Test, value: int) -> Tri:
    return holds(Compare(Field.SADDR, test), {Field.SADDR: value})


@given(spans(), TESTS)
def test_an_answer_is_that_of_every_address(span: Span, test: Test) -> None:
    answers = {ask(test, value) for value in range(span.low, span.high + 1)}
    found = span.passes(test)
    assert found is Tri.UNKNOWN or answers == {found}
    assert holds(Compare(Field.SADDR, test), {Field.SADDR: span}) is found


@given(spans(), TESTS)
def test_cutting_ends_with_pieces_that_answer(span: Span, test: Test) -> None:
    todo, pieces = [span], 0
    while todo:
        piece = todo.pop()
        if piece.passes(test) is Tri.UNKNOWN:
            cut = piece.cut(test)
            assert cut is not None
            assert piece.low < cut <= piece.high
            todo += [Span(piece.low, cut - 1), Span(cut, piece.high)]
        else:
            pieces += 1
    assert pieces <= span.high - span.low + 1


@pytest.mark.parametrize(
    ("span", "answer"),
    [
        pytest.param(Span(4, 7), Tri.YES, id="all of them have the bit"),
        pytest.param(Span(0, 3), Tri.NO, id="none of them has it"),
        pytest.param(Span(2, 5), Tri.UNKNOWN, id="some of them have it"),
    ],
)
def test_a_bit_of_a_span(span: Span, answer: Tri) -> None:
    assert span.passes(AnyBit(4)) is answer


def test_what_is_no_test_of_numbers_stays_unknown_and_is_not_cut() -> None:
    assert Span(0, 9).passes(Names(("eth0",))) is Tri.UNKNOWN
    assert Span(0, 9).cut(Names(("eth0",))) is None
    assert Span(3, 3).cut(AnyBit(1)) is None


def test_a_span_between_ranges_is_not_cut() -> None:
    assert Span(5, 6).cut(Intervals(((1, 2), (8, 9)))) is None
    assert Span(5, 6).cut(Intervals(())) is None
