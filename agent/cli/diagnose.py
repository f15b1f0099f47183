"""`diagnose`, and the same answer from a file: `bundle` writes what was seen, `replay` reads it again."""

import gzip
import json
import os
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agent.cli import live
from agent.cli.failures import UnreadableError, say
from agent.cli.options import Format, Output, with_settings
from agent.cli.output import show
from agent.host.errors import HostError
from agent.model.capture import SCHEMA, Capture, Stage
from agent.model.codec import from_plain
from agent.model.exitcode import ExitCode
from agent.model.explanation import Verdict
from agent.model.probe import Outcome
from agent.model.report import Report, State
from agent.model.settings import Settings
from agent.render import text
from agent.render.clean import clean

# node-problem-detector cuts a plugin's message at this length (its max_output_length, 80 by default).
BRIEF = 80
# A node with ten thousand Services saves some 30 MiB; a file that unpacks to more than this is no capture.
LIMIT = 256 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_STREAM = Path("-")


@with_settings
def diagnose(  # noqa: PLR0913, PLR0917 - one for each option
    settings: Settings,
    output: Annotated[Format | None, typer.Option("-o", "--output", help="How the answer is written.")] = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="One line of at most 80 characters, and node-problem-detector's exit codes.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="After the page, everything that was seen, each with its time.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="One more connect under the kernel's own trace: every nft rule, and the drop reason.")
    ] = False,
    phantom: Annotated[
        bool,
        typer.Option(
            "--phantom", help="Where the node has no pod, make one for the time of the look: by its CNI, or on its bridge."
        ),
    ] = False,
) -> None:
    """Can this node's pods reach this node's kubelet, and if not, which rule stops them?

    On a terminal a line on standard error tells of each part of the look as it ends.
    """
    settings = replace(settings, deep=deep, phantom=phantom)
    if not brief:
        capture = live.look(settings, _progress if _wanted() else None)
        _finish(capture, output or Format.TEXT, debug=debug)
    if output is not None or debug:
        raise typer.BadParameter("--brief has a form of its own: leave one of the two out.", param_hint="-o")
    try:
        capture = live.look(settings)
    except HostError as error:  # the plugin protocol knows standard output and "any other code" only
        typer.echo(_cut(f"unknown: {error}"))
        raise typer.Exit(ExitCode.BLIND) from error
    report = _analysed(capture)
    typer.echo(_cut(_brief(report)))
    raise typer.Exit(_code(capture, report))


@with_settings
def bundle(
    settings: Settings,
    file: Annotated[
        Path, typer.Option("-O", "--output-file", help="Where to; compressed if it ends in .gz, - is standard output.")
    ],
) -> None:
    """Write everything that a diagnosis looks at to a file: the bug report, and the input of `replay`."""
    from agent.render.data import as_json  # noqa: PLC0415 - keeps YAML out of the start of the other commands

    content = as_json(live.look(settings)).encode()
    if file == _STREAM:
        sys.stdout.buffer.write(content)
        return
    # Rules and command lines of a node are nobody else's business.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(gzip.compress(content, mtime=0) if file.suffix == ".gz" else content)
    say(f"wrote {file}; it holds this node's firewall rules, addresses and process names. `kubereach replay {file}` reads it.")


def replay(
    file: Annotated[Path, typer.Argument(help="A file that `bundle` wrote, or - for standard input.")],
    output: Output = Format.TEXT,
) -> None:
    """Analyse a capture again, anywhere, without privileges."""
    _finish(read_capture(file), output)


def read_capture(file: Path) -> Capture:
    """The capture in a file, plain or compressed. Raises `UnreadableError`, `CodecError`, `OSError`."""
    name = "standard input" if file == _STREAM else str(file)
    with sys.stdin.buffer if file == _STREAM else file.open("rb") as stream:
        content = stream.read(LIMIT + 1)
    if content.startswith(_GZIP):
        content = _unpacked(content, name)
    if len(content) > LIMIT:
        raise UnreadableError(f"{name} is larger than {LIMIT} bytes: it is no capture.")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{name} is not JSON ({error}): give a file that `kubereach bundle` wrote.") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise UnreadableError(f"{name} has the schema {schema!r}, not {SCHEMA}: give a file that `kubereach bundle` wrote.")
    return from_plain(Capture, data)


def _unpacked(content: bytes, name: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: a gzip header (zlib.h, inflateInit2)
    try:
        plain = unpacker.decompress(content, LIMIT + 1)
    except zlib.error as error:
        raise UnreadableError(f"{name} is damaged ({error}): write it again with `kubereach bundle`.") from error
    if len(plain) <= LIMIT and not unpacker.eof:
        raise UnreadableError(f"{name} ends too early: write it again with `kubereach bundle`.")
    return plain


def _wanted() -> bool:
    """Whether somebody watches: a script's log has no use for lines of progress."""
    return sys.stderr.isatty()


def _progress(stage: Stage) -> None:
    typer.echo(f"{stage.seconds * 1000:8.1f} ms  {stage.name}", err=True)


def _finish(capture: Capture, output: Format, *, debug: bool = False) -> None:
    from agent.render.observations import observations  # noqa: PLC0415  as `_analysed`

    report = _analysed(capture)
    seen = f"\n{observations(capture)}" if debug else ""
    show(report, output, lambda wide: text.report(report, wide=wide) + seen)
    raise typer.Exit(_code(capture, report))


def _code(capture: Capture, report: Report) -> ExitCode:
    """Unknown because nothing could be seen is another thing than unknown because what was seen does not decide."""
    read = capture.before.outline is not None or any(reading.status == 0 for reading in capture.before.readings)
    tried = any(result.outcome not in (Outcome.NOT_TRIED, Outcome.POD_GONE) for result in capture.probes)
    blind = report.state is State.UNKNOWN and not read and not tried
    return ExitCode.BLIND if blind else ExitCode.of(report.state)


def _analysed(capture: Capture) -> Report:
    # Not imported before the broker is started: see `agent.cli.live`.
    from agent.analysis.diagnosis.diagnose import analyse  # noqa: PLC0415

    return analyse(capture)


def _brief(report: Report) -> str:
    """State, cause and rule: what is worth its place in a line that is cut. No rule is named that a witness contradicts."""
    cause, explanation = report.cause, report.explanation
    if cause is None:
        return f"{report.state.value}: {report.summary}"
    stopped = explanation is not None and explanation.verdict in (Verdict.DROP, Verdict.REJECT)
    rule = report.stopped_by if stopped else None
    return f"{report.state.value}: {cause.code}" + (f" by {text.place(rule)}" if rule else f". {cause.title}")


def _cut(line: str) -> str:
    """One line of ASCII, at most 80 characters of it."""
    plain = clean(" ".join(line.split())).encode("ascii", "backslashreplace").decode()
    return plain if len(plain) <= BRIEF else plain[: BRIEF - 3] + "..."
