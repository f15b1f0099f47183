"""Does every packet that passes one test pass another, too? YES only where that is certain; all doubt is a no.

Both tests are asked of the same packet with the same fields. A test that holds shows that the field is there, so that negated
tests of what a packet may lack (a connection's mark, ports) are safe on the right side of the implication.
"""

from collections.abc import Sequence

from agent.analysis.path.spans import Span
from agent.model.ruleset import AnyBit, AnyOf, Compare, Intervals, Masked, Match, Names, Test, Unsure
from agent.model.tri import Tri


def is_decidable(match: Match) -> bool:
    """Whether the same packet always gets the same answer: nothing in it hangs on the kernel's state."""
    if isinstance(match, AnyOf):
        return all(is_decidable(each) for each in match.tests)
    return not isinstance(match, Unsure)


def imply(have: Sequence[Match], wanted: Sequence[Match]) -> bool:
    """Whether a packet that passes all of `have` surely passes all of `wanted`."""
    return all(any(implies(one, other) for one in have) for other in wanted)


def implies(one: Match, other: Match) -> bool:
    """Whether a packet that passes `one` surely passes `other`."""
    if not is_decidable(other) or not is_decidable(one):
        return False
    if one == other:
        return True
    if isinstance(one, AnyOf) and not one.negate and one.tests:
        return all(implies(each, other) for each in one.tests)
    if isinstance(other, AnyOf) and not other.negate:
        return any(implies(one, each) for each in other.tests)
    if isinstance(one, Compare) and isinstance(other, Compare) and one.field is other.field:
        return _compare(one, other)
    return False


def _compare(one: Compare, other: Compare) -> bool:
    if one.negate:
        # Outside of one set is outside of another if that lies in the first.
        return other.negate and _within(other.test, one.test)
    return _apart(one.test, other.test) if other.negate else _within(one.test, other.test)


def _within(inner: Test, outer: Test) -> bool:
    """Whether every value that passes `inner` passes `outer`."""
    if isinstance(inner, Intervals):
        return all(Span(low, high).passes(outer) is Tri.YES for low, high in inner.ranges)
    if isinstance(inner, Masked) and isinstance(outer, Masked):
        return outer.mask & ~inner.mask == 0 and inner.equals & outer.mask == outer.equals
    if isinstance(inner, AnyBit) and isinstance(outer, AnyBit):
        return inner.mask & ~outer.mask == 0
    if isinstance(inner, Names) and isinstance(outer, Names):
        return all(any(_covers(wide, name) for wide in outer.patterns) for name in inner.patterns)
    return False


def _apart(one: Test, other: Test) -> bool:
    """Whether no value passes both."""
    if isinstance(one, Intervals):
        return all(Span(low, high).passes(other) is Tri.NO for low, high in one.ranges)
    if isinstance(one, Masked) and isinstance(other, Intervals):
        return all(Span(low, high).passes(one) is Tri.NO for low, high in other.ranges)
    if isinstance(one, Masked) and isinstance(other, Masked):
        return bool((one.equals ^ other.equals) & one.mask & other.mask)
    if isinstance(one, Names) and isinstance(other, Names):
        return not any(_meet(name, pattern) for name in one.patterns for pattern in other.patterns)
    return False


def _covers(wide: str, name: str) -> bool:
    """Whether a pattern stands for every name that the other one stands for."""
    return name.startswith(wide[:-1]) if wide.endswith("*") else name == wide


def _meet(one: str, other: str) -> bool:
    """Whether some name fits both patterns."""
    if one.endswith("*") and other.endswith("*"):
        return one[:-1].startswith(other[:-1]) or other[:-1].startswith(one[:-1])
    return _covers(one, other) or _covers(other, one)


def names_one(match: Match) -> bool:
    """Whether a test holds for one value alone."""
    if not isinstance(match, Compare) or match.negate:
        return False
    test = match.test
    if isinstance(test, Intervals):
        return len(test.ranges) == 1 and test.ranges[0][0] == test.ranges[0][1]
    return isinstance(test, Names) and len(test.patterns) == 1 and not test.patterns[0].endswith("*")
