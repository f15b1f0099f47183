"""Outcomes of staged diagnoses, judged and laid out. Pure: who stages and asks is `campaign`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

NOTHING = "(nothing)"
_ORDER = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One incident on one backend: the code and state that were staged, and the findings (code, severity) and state found.

    `problem` says why there was no report at all.
    """

    incident: str
    backend: str
    expected: str
    expected_state: str
    found: tuple[tuple[str, str], ...] = ()
    state: str = ""
    problem: str = ""

    @property
    def cause(self) -> str:
        """The first finding that is more than information."""
        if self.problem:
            return "(no report)"
        return next((code for code, severity in self.found if severity != "info"), NOTHING)

    @property
    def rivals(self) -> tuple[str, ...]:
        """Other findings of the cause's severity or a higher one; with no cause, everything above info."""
        causes = [(code, severity) for code, severity in self.found if severity != "info"]
        level = _ORDER.index(causes[0][1]) if causes else len(_ORDER)
        return tuple(code for code, severity in causes[1:] if _ORDER.index(severity) >= level)

    @property
    def right(self) -> bool:
        """Whether exactly the staged cause was named, nothing beside it, and the state is the staged one."""
        return self.cause == (self.expected or NOTHING) and not self.rivals and self.state == self.expected_state


def share(trials: Sequence[Trial]) -> float:
    """The part that is right, from 0 to 1."""
    return sum(trial.right for trial in trials) / len(trials) if trials else 0.0


def table(trials: Sequence[Trial]) -> str:
    """Markdown: one row for each staged cause with what was found for it; then everything that is wrong."""
    counts = Counter((trial.expected or NOTHING, trial.cause) for trial in trials)
    lines = ["| staged cause | diagnoses | right | found instead |", "|---|---|---|---|"]
    for expected in sorted({expected for expected, _ in counts}):
        found = {cause: count for (staged, cause), count in counts.items() if staged == expected}
        right = sum(trial.right for trial in trials if (trial.expected or NOTHING) == expected)
        others = ", ".join(f"{cause} ({count})" for cause, count in sorted(found.items()) if cause != expected)
        lines.append(f"| {expected} | {sum(found.values())} | {right} | {others or '-'} |")
    incidents = len({trial.incident for trial in trials})
    right = sum(trial.right for trial in trials)
    lines += ["", f"{incidents} incidents, {len(trials)} diagnoses, {right} right: {100 * share(trials):.0f} %."]
    return "\n".join([*lines, *(wrong(trial) for trial in trials if not trial.right)]) + "\n"


def wrong(trial: Trial) -> str:
    """A wrong one in a line."""
    beside = f", beside it {', '.join(trial.rivals)}" if trial.rivals else ""
    said = trial.problem or f"found {trial.cause} ({trial.state}){beside}"
    return f"- WRONG: {trial.incident} on {trial.backend}: staged {trial.expected or NOTHING} ({trial.expected_state}), {said}"
