"""`make bench`: every row of the table of docs/performance.md beside its reference, in the lab, and the page with its JSON.

`make bench ROWS="P1 P5"` measures some and prints them; the files are written where all were measured, or where the kept run is
of the same commit. `ROWS=incidents` is the table of incidents, which is printed only. A machine that is busy with something
else is told so and measures nothing, unless `--anyway` is said: then the table says that it must not be quoted.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path

from agent.lab.errors import LabError
from agent.model.codec import to_plain
from tests.bench import (
    applying,
    churn,
    concurrency,
    drop_path,
    incidents,
    kept_code,
    machine,
    memory,
    open_path,
    readings,
    starting,
)
from tests.bench.idle import Idle
from tests.bench.page import Run, compared, lost, merged, ordered, read, table, worsened, write
from tests.bench.results import SMALL, Effort, Measuring, NotMeasured, Row

WATCHING = "P7"
ROWS: Mapping[str, Measuring] = {
    "P1": open_path.measure,
    "P2": drop_path.measure,
    "P3": open_path.measure_growth,
    "P4": readings.measure,
    "P5": starting.measure_offline,
    "P6": memory.measure,
    "P8": starting.measure_cold,
    "P9": concurrency.measure,
    "P10": applying.measure,
    "P16": churn.measure,
}
PRINTED = {"incidents": incidents.measure}
# What may go wrong with one row, and is no reason to lose the others.
FAILURES = (NotMeasured, LabError, OSError, HTTPException)
# Ratios that stay within an eighth from one run to the next: both sides work for themselves on the same processor. P1's does
# not: what a Go program with threads of its own needs for a connect does not slow down where a Python program does.
SHORT = ("P4", "P5", "P8")


def main() -> int:
    """Exit code 2: too busy to measure, or nothing to compare with; 1: a ratio has worsened, or a row was not measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"of {', '.join([*ROWS, WATCHING, *PRINTED])}; all if none is named"
    )
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine; nobody may quote it")
    parser.add_argument(
        "--small", action="store_true", help="few repeats and small sizes, to see that it works; nothing is written"
    )
    parser.add_argument("--short", action="store_true", help="a few ratios against the kept ones; fails where one has worsened")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write the run there as JSON, compare and keep nothing")
    asked = parser.parse_args()
    unknown = set(asked.rows) - {*ROWS, WATCHING, *PRINTED}
    if unknown:
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    if os.geteuid() != 0:
        parser.error("it enters the lab's namespaces from outside, which takes root")
    here = machine.look()
    busy = machine.refusal(here)
    if busy and not asked.anyway:
        print(f"not measured: {busy} (--anyway measures all the same, not to be quoted)", file=sys.stderr)
        return 2
    kept = read()
    if asked.short and not asked.into and (kept is None or kept.not_quotable):
        print("nothing to compare with: no run that may be quoted is kept", file=sys.stderr)
        return 2
    names = asked.rows or (SHORT if asked.short else [*ROWS, WATCHING])
    effort = SMALL if asked.small else Effort(rounds=3) if asked.short else Effort()
    why = busy or ("sizes and repeats are small" if asked.small else "")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it ends its labs with it
    run = Run(machine=here, rounds=effort.rounds, not_quotable=why, rows=_measure(names, effort))
    if asked.into:
        asked.into.write_text(json.dumps(to_plain(run)), encoding="utf-8")
        return 0
    print(table(run))
    if asked.short and kept:
        return compare(kept, run, lambda: replace(run, rows=_measure(names, effort)))
    if not asked.small and not set(names) & set(PRINTED):
        _keep(kept, run, complete=not asked.rows)
    return 1 if any(not row.measures for row in run.rows) else 0


def _measure(names: Sequence[str], effort: Effort) -> tuple[Row, ...]:
    rows = []
    with ExitStack() as stack:
        watching: Measuring | None = None
        if WATCHING in names:
            try:
                watching = stack.enter_context(Idle(effort)).finish
            except FAILURES as error:
                rows.append(_lost(WATCHING, error))
        for name in names:
            if name != WATCHING:
                rows.append(_one(name, {**ROWS, **PRINTED}[name], effort))
        if watching:
            rows.append(_one(WATCHING, watching, effort))
    return ordered(rows)


def _one(name: str, measuring: Measuring, effort: Effort) -> Row:
    """A row, with its load; one that could not be measured says why, and the others go on."""
    start = time.monotonic()
    try:
        row = measuring(effort)
    except FAILURES as error:
        row = _lost(name, error)
    print(f"{name}: {time.monotonic() - start:.0f} s, load {machine.load()}", file=sys.stderr, flush=True)
    return replace(row, load=machine.load())


def _lost(name: str, error: Exception) -> Row:
    return Row(id=name, what="", lost=(f"{error}" or type(error).__name__,))


def _keep(old: Run | None, run: Run, *, complete: bool) -> None:
    found = run if complete else merged(old, run)
    if complete or found is not run:
        write(found)
    else:
        print("not written: the kept run is of another commit or worth; `make bench` measures all rows", file=sys.stderr)


def compare(old: Run, new: Run, again: Callable[[], Run]) -> int:
    """What is worse than it was is measured again, after the kept code on this machine."""
    if not compared(old, new):
        print("nothing to compare with: the kept run has none of these ratios", file=sys.stderr)
        return 2
    if missing := lost(new):
        print("\n".join(missing))
        return 1
    found, against = worsened(old, new), "in docs/performance.json"
    if found:
        print("\n".join(found))
        try:
            then = kept_code.measure(old.machine.commit, [row.id for row in new.rows])
        except NotMeasured as error:
            print(f"nothing says whether that is the machine: {error}")
            return 1
        now = again()
        found, against = lost(now) or worsened(then, now), f"for the code of {old.machine.commit}, here and now"
    print("\n".join(found) or f"{compared(old, new)} ratios are no more than a third worse than {against}")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
