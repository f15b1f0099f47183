"""The tests that both readers build from numbers, in one canonical form, so that equal rules give equal statements."""

from collections.abc import Iterable

from agent.model.ruleset import Intervals, Masked


def exactly(value: int) -> Intervals:
    """The one value."""
    return Intervals(((value, value),))


def between(low: int, high: int) -> Intervals:
    """`low` to `high`, both included; nothing when they are the wrong way round."""
    return Intervals(((low, high),) if low <= high else ())


def merged(ranges: Iterable[tuple[int, int]]) -> Intervals:
    """The union of inclusive ranges, sorted, with neighbours joined."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return Intervals(tuple(found))


def masked(value: int, mask: int, bits: int) -> Intervals | Masked:
    """`field & mask == value` for a field of that width; an interval when the mask is a prefix.

    A value with bits that the mask cuts off is never there: no interval at all.
    """
    if value & ~mask:
        return Intervals(())
    full = (1 << bits) - 1
    rest = full & ~mask
    if rest & (rest + 1) == 0:
        return Intervals(((value, value | rest),))
    return Masked(mask, value)
