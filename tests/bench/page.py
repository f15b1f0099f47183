"""The measurements as JSON, as the table of docs/performance.md, and as README's three lines. Pure but for these files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.model.codec import from_plain, to_plain
from tests.bench.machine import Machine
from tests.bench.results import Claim, Row
from tests.bench.sampling import Measure

README = Path(__file__).parents[2] / "README.md"
DOCS = README.parent / "docs"
PAGE, DATA = DOCS / "performance.md", DOCS / "performance.json"
BEGIN, END = "<!-- measured: written by `make bench` -->", "<!-- end of what was measured -->"
_NOTHING = "No run on a quiet machine is kept yet; `make bench` writes its table here.\n"
# What README quotes: each {} is the row and the subject that follow.
_QUOTES = (
    (
        "A diagnosis over HTTP, with connects from two pods, two readings of the rules and the kernel's twin: {}; "
        "blackbox_exporter's tcp probe, which explains nothing: {}; our answer of the last ten seconds: {}.",
        (("P1", "kubereach"), ("P1", "blackbox_exporter"), ("P1", "kubereach, answer of the last 10 s")),
    ),
    (
        "A packet explained offline through 100,000 rules: {} from process start, and at most {}.",
        (("P5", "kubereach explain, 100k"), ("P5", "kubereach's peak")),
    ),
    (
        "A service that watches every 30 s: {}; all of its processes while nobody asks: {} (PSS).",
        (("P7", "kubereach, watching every 30 s"), ("P6", "kubereach, idle")),
    ),
)


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
    lines += [f"\n{line}" for line in lost(run)]
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
    """All three files. What people wrote around the table and the lines stays."""
    DATA.write_text(json.dumps(to_plain(run), indent=1) + "\n", encoding="utf-8")
    for file, body in ((PAGE, table(run)), (README, quotes(run))):
        file.write_text(page_with(file.read_text(encoding="utf-8"), body), encoding="utf-8")


def quotes(run: Run) -> str:
    """README's three lines; one of which a number was not measured is left out."""
    found = {(row.id, measure.subject): _spread(measure) for row in run.rows for measure in row.measures}
    return "".join(
        f"- {words.format(*(found[name] for name in names))}\n" for words, names in _QUOTES if found.keys() >= set(names)
    )


def page_with(text: str, body: str | None) -> str:
    """A file's text with this between its marks. Raises `ValueError` where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{body or _NOTHING}{END}{after}"


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


def lost(run: Run) -> list[str]:
    """What of it was not measured: a ratio that is missing is not one that stayed as it was."""
    return [f"{row.id}, not measured: {text}" for row in run.rows for text in row.lost]


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
        return f"{measure.subject}: {_spread(measure)}"
    return f"{measure.subject}: {_spread(measure)}, n={len(measure.values)}, slowest {_number(measure.worst)}"


def _spread(measure: Measure) -> str:
    low, high = map(_number, measure.quartiles)
    between = "" if len(measure.values) == 1 else f" [{low}-{high}]"
    return f"{_number(measure.median)}{between} {measure.unit}"


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
