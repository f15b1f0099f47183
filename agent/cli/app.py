"""`kubereach`: the commands, put together.

Nothing that is slow to import is imported here: an engineer in an incident types `kubereach --help`, too.
"""

import gc
import io
import sys
from typing import Annotated

import typer

from agent import __version__
from agent.cli.commands import Commands
from agent.cli.failures import end_of_bug

app = typer.Typer(
    name="kubereach",
    cls=Commands,
    no_args_is_help=True,
    # Plain help and errors: they are read in logs and pasted into chats as often as on a terminal.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kubereach {__version__}")
        raise typer.Exit


@app.callback()
def kubereach(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of a failure.")] = False,
) -> None:
    """Can pods on this node reach this node's kubelet, and if not, which rule stops them?

    Exit codes: 0 fine, 1 problem found, 2 usage, 3 undecided, 4 refused by a guard, 5 could not look.
    """


def main() -> None:
    """The entry point. An error that nobody expected ends in a sentence; `--debug` before the command shows its trace."""
    # A command lives for one answer: nothing it makes is worth collecting, and walking a ruleset that only grows costs half
    # of the time it takes to read one. `serve` becomes another program.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end a diagnosis
    try:
        app()
    except Exception as error:
        if "--debug" in sys.argv[1:]:
            raise
        raise SystemExit(end_of_bug(error)) from None


if __name__ == "__main__":
    main()
