"""A range of addresses in place of one: what a test says of all of them at once, and where to cut when it says two things."""

from bisect import bisect_right
from dataclasses import dataclass

from agent.model.ruleset import AnyBit, Intervals, Masked, Test
from agent.model.tri import Tri

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Every integer from `low` to `high`, both included."""

    low: int
    high: int

    def passes(self, test: Test) -> Tri:
        """YES or NO where it is surely the same for every value; UNKNOWN means that the span is to be cut.

        For one value the answer is never UNKNOWN, unless the test does not suit numbers at all.
        """
        if type(test) is Intervals:
            return self._lies_in(test.ranges)
        if type(test) is Masked:
            if test.equals & ~test.mask or (self.low ^ test.equals) & test.mask & self._shared:
                return Tri.NO
            return Tri.UNKNOWN if test.mask & ~self._shared else Tri.YES
        if type(test) is AnyBit:
            if self.low & test.mask & self._shared:
                return Tri.YES
            return Tri.UNKNOWN if test.mask & ~self._shared else Tri.NO
        return Tri.UNKNOWN

    def cut(self, test: Test) -> int | None:
        """Where the right half of the span begins, for a test that is UNKNOWN; None where cutting answers nothing."""
        if type(test) is Intervals:
            return self._boundary(test.ranges)
        if type(test) in (Masked, AnyBit) and self.low != self.high:
            varying = (self.low ^ self.high).bit_length() - 1
            return self.high >> varying << varying
        return None

    @property
    def _shared(self) -> int:
        """The bits that all values have in common, those above the width among them."""
        return -1 << (self.low ^ self.high).bit_length()

    def _lies_in(self, ranges: Ranges) -> Tri:
        index = bisect_right(ranges, self.low, key=_low) - 1
        if index >= 0 and ranges[index][1] >= self.low:
            return Tri.YES if ranges[index][1] >= self.high else Tri.UNKNOWN
        later = index + 1
        return Tri.UNKNOWN if later < len(ranges) and ranges[later][0] <= self.high else Tri.NO

    def _boundary(self, ranges: Ranges) -> int | None:
        """A boundary of the middle one of the ranges that lie across the span, so that many are halved at each cut."""
        first = max(0, bisect_right(ranges, self.low, key=_low) - 1)
        if ranges and ranges[first][1] < self.low:
            first += 1
        last = bisect_right(ranges, self.high, key=_low) - 1
        if first > last:
            return None
        low, high = ranges[(first + last) // 2]
        return next((each for each in (low, high + 1) if self.low < each <= self.high), None)


def _low(bounds: tuple[int, int]) -> int:
    return bounds[0]
