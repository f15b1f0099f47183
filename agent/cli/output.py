"""Printing: which renderer belongs to which `-o`, and the tables that exist on the command line alone."""

from collections.abc import Callable, Sequence
from typing import Any

import typer

from agent.cli.options import Format
from agent.model.preflight import Check
from agent.model.probe import ProbeResult
from agent.render.clean import clean


def show(value: Any, output: Format, text: Callable[[bool], str]) -> None:
    """Prints a model value as data, or what `text(wide)` makes of it."""
    if output in (Format.TEXT, Format.WIDE):
        typer.echo(text(output is Format.WIDE), nl=False)
        return
    # Imported here: YAML's parser costs a tenth of the time that `kubereach explain` takes as text.
    from agent.render.data import as_json, as_yaml  # noqa: PLC0415

    typer.echo(as_json(value) if output is Format.JSON else as_yaml(value), nl=False)


def probe_table(results: Sequence[ProbeResult]) -> str:
    """A line for each connect: from where to where, what it met, how long it took."""
    rows = [("vantage", "from", "to", "outcome", "errno", "icmp", "ms", "detail")]
    for result in results:
        request = result.request
        target = f"[{request.target}]" if ":" in request.target else request.target
        icmp = f"{result.icmp[0]}/{result.icmp[1]}" if result.icmp else "-"
        milliseconds = f"{result.seconds * 1000:.1f}"
        source = result.source or request.source
        tail = (result.outcome.value, result.errno or "-", icmp, milliseconds, result.detail or _http(result))
        rows.append((request.vantage.value, source, f"{target}:{request.port}", *tail))
    return _table(rows)


def check_table(checks: Sequence[Check]) -> str:
    """A line for each check, and the remedy below where there is one to be had."""
    lines = []
    for check in checks:
        lines.append(f"{'ok' if check.ok else 'NO':<4}{check.name}" + (f": {check.detail}" if check.detail else ""))
        if check.remedy:
            lines.append(f"    {check.remedy}")
    return "".join(f"{clean(line)}\n" for line in lines)


def _http(result: ProbeResult) -> str:
    tls = result.tls
    if tls is None:
        return ""
    if not tls.ok:
        return f"TLS failed: {tls.error}"
    return f"{tls.version} HTTP {tls.http_status}" if tls.http_status else f"{tls.version} {tls.http_error}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cleaned)
    return "".join(f"{line}\n" for line in lines)
