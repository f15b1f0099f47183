"""The measurements as JSON, and as the table of docs/performance.md. Pure but for the two files that it is about."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.model.codec import from_plain, to_plain
from tests.bench.machine import Machine
from tests.bench.results import Claim, Row
from tests.bench.sampling import Measure

DOCS = Path(__file__).parents[2] / "docs"
PAGE, DATA = DOCS / "performance.md", DOCS / "performance.json"
BEGIN, END = "<!-- measured: written by `make bench` -->", "<!-- end of what was measured -->"
_NOTHING = "No run on a quiet machine is kept yet; `make bench` writes its table here.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the bench. `not_quotable` says why its numbers may not be quoted, empty where they may."""

    machine: Machine
    rounds: int
    not_quotable: str
    rows: tuple[Row, ...]


def table(run: Run) -> str:
    """Markdown: what it ran on, then a line for each row, its misses by how much, and the stages of those that have some."""
    lines = []
    if run.not_quotable:
        lines += [f"**Not to be quoted:** {run.not_quotable}.", ""]
    lines += [_machine(run), "", "| id | what | median [quartiles] | target | load |", "|---|---|---|---|---|"]
    lines += [_line(row) for row in run.rows]
    lines += [f"\n{row.id}: {row.note}." for row in run.rows if row.note]
    lines += [f"\n{row.id}, not measured: {text}" for row in run.rows for text in row.lost]
    staged = [row for row in run.rows if row.stages]
    if staged:
        lines += ["", "Stages of the look, medians in ms; several run side by side:", ""]
        lines += [f"- {row.id}: " + ", ".join(f"{name} {value:g}" for name, value in row.stages.items()) for row in staged]
    return "\n".join(lines) + "\n"


def merged(old: Run | None, new: Run) -> Run:
    """The new run; rows that it has not measured stay only where they are of the same commit and worth as much."""
    if old is None or old.machine.commit != new.machine.commit or bool(old.not_quotable) != bool(new.not_quotable):
        return new
    rows = {row.id: row for row in (*old.rows, *new.rows)}
    return replace(new, rows=tuple(rows[name] for name in sorted(rows, key=_order)))


def read(file: Path = DATA) -> Run | None:
    """The run that is kept, or None."""
    return from_plain(Run, json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def write(run: Run) -> None:
    """Both files. What people wrote around the table stays."""
    DATA.write_text(json.dumps(to_plain(run), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), run), encoding="utf-8")


def page_with(text: str, run: Run | None) -> str:
    """The page with this run's table. Raises `ValueError` where it has no place for one."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table(run) if run else _NOTHING}{END}{after}"


def worsened(old: Run, new: Run, by: float = 1 / 3) -> list[str]:
    """Ratios to a reference that grew by more than that part. Another machine's milliseconds say nothing."""
    before = {(row.id, claim.words): claim for row in old.rows for claim in row.claims if claim.ratio}
    found = []
    for row in new.rows:
        for claim in row.claims:
            was = before.get((row.id, claim.words))
            if claim.ratio and was and claim.value > was.value * (1 + by):
                found.append(f"{row.id} {claim.words}: {claim.value:.3g}, and was {was.value:.3g}")
    return found


def compared(old: Run, new: Run) -> int:
    """How many ratios both runs have."""
    before = {(row.id, claim.words) for row in old.rows for claim in row.claims if claim.ratio}
    return len(before & {(row.id, claim.words) for row in new.rows for claim in row.claims if claim.ratio})


def _machine(run: Run) -> str:
    machine = run.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    where = f"{machine.cores} cores, {machine.memory_mib} MiB, Linux {machine.kernel}, load {machine.load:g} before"
    return f"{machine.taken_at}, commit {machine.commit or 'unknown'}, {run.rounds} rounds; {where}. {versions}."


def _line(row: Row) -> str:
    measured = "<br>".join(map(_measure, row.measures)) or "not measured"
    return f"| {row.id} | {row.what} | {measured} | {'<br>'.join(map(_claim, row.claims)) or '-'} | {row.load:.1f} |"


def _measure(measure: Measure) -> str:
    if len(measure.values) == 1:
        return f"{measure.subject}: {_number(measure.median)} {measure.unit}"
    low, high = map(_number, measure.quartiles)
    spread = f"{_number(measure.median)} [{low}-{high}] {measure.unit}, n={len(measure.values)}"
    return f"{measure.subject}: {spread}, slowest {_number(measure.worst)}"


def _claim(claim: Claim) -> str:
    unit = f" {claim.unit}" if claim.unit else ""
    said = f"{claim.words}: {_number(claim.value)}{unit}"
    if claim.limit is None:
        return f"{said} (no target)"
    how = "met" if claim.met else "**missed**" + (f" by {_number(claim.value / claim.limit)} x" if claim.limit else "")
    return f"{said} (at most {_number(claim.limit)}{unit}): {how}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _order(name: str) -> tuple[int, str]:
    return (int(name[1:]), "") if name[1:].isdecimal() else (1000, name)


def ordered(rows: Sequence[Row]) -> tuple[Row, ...]:
    """By their numbers."""
    return tuple(sorted(rows, key=lambda row: _order(row.id)))
