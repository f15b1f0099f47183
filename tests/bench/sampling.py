"""Samples of several subjects taken in turn, so that what else the machine does falls on all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# Below a hundred samples the 99th percentile is the slowest of them, and is called so.
ENOUGH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What was measured of one subject. `values` are in `unit`, in the order in which they were taken, and never empty."""

    subject: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of the values are below."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between these lies the middle half."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    @property
    def worst(self) -> float:
        """The 99th percentile; of fewer than `ENOUGH` values the largest."""
        if len(self.values) < ENOUGH:
            return max(self.values)
        return statistics.quantiles(self.values, n=100, method="inclusive")[98]


def interleave(subjects: Mapping[str, Callable[[], float]], rounds: int, each: int = 1, unit: str = "ms") -> list[Measure]:
    """Calls every subject `each` times, `rounds` times over; a call returns what is to be kept of it, in `unit`."""
    values: dict[str, list[float]] = {subject: [] for subject in subjects}
    for number in range(rounds):
        # Who goes first changes, because the first one pays for what the pause before let go cold.
        for subject in list(subjects)[:: 1 if number % 2 == 0 else -1]:
            values[subject] += [subjects[subject]() for _ in range(each)]
    return [Measure(subject=subject, unit=unit, values=tuple(found)) for subject, found in values.items()]


def milliseconds(work: Callable[[], object]) -> float:
    """How long that took, by the clock on the wall."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000
