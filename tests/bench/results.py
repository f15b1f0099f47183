"""What a row of the bench says: measures side by side, and claims that a number meets or misses."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.bench.sampling import Measure


class NotMeasured(Exception):  # noqa: N818  says what happened
    """A row, or a part of one, could not be measured; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """`value` is to be at most `limit`, where there is one. `ratio`: to a reference that was measured in the same run."""

    words: str
    value: float
    limit: float | None = None
    unit: str = ""
    ratio: bool = False

    @property
    def met(self) -> bool:
        """Whether it is; what has no limit is."""
        return self.limit is None or self.value <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `load` is the machine's one-minute load at its end, `stages` medians in milliseconds, `lost` what is missing."""

    id: str
    what: str
    measures: tuple[Measure, ...] = ()
    claims: tuple[Claim, ...] = ()
    stages: dict[str, float] = field(default_factory=dict)
    note: str = ""
    lost: tuple[str, ...] = ()
    load: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is done: repeats, and what a row does that a smaller bench does less of. Bounds, so that it ends."""

    rounds: int = 5
    services: tuple[int, ...] = (13, 125, 1250, 12500)  # of eight rules each: 100, 1,000, 10,000, 100,000
    whole: int = 6250  # services of the whole reading: 50,000 rules
    churned: int = 5000
    diagnoses: int = 300
    askers: int = 10000
    idle_seconds: float = 600.0


Measuring = Callable[[Effort], Row]

# For a look at the bench itself: every row, none of its sizes.
SMALL = Effort(rounds=2, services=(13, 125), whole=250, churned=100, diagnoses=60, askers=300, idle_seconds=75.0)


def rules_of(services: int) -> str:
    """How many rules that many services have, in a reader's round numbers."""
    rules = services * 8
    return f"{rules // 1000}k" if rules >= 1000 else f"{round(rules, -2)}"


def named(measures: list[Measure], subject: str) -> Measure:
    """The one of that subject."""
    return next(measure for measure in measures if measure.subject == subject)
