"""What a user sees when a command cannot do its work: one sentence that says what to do, and a code that a script can read.

Known kinds of failure are handled here, whatever command they come from. Others are bugs: they are named as such, and
`--debug` shows their trace.
"""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from agent.cluster.connection import ClusterError
from agent.host.errors import BrokerGone, FixRefused, HostError
from agent.model.codec import CodecError
from agent.model.exitcode import ExitCode
from agent.render.clean import clean
from agent.service.question import BadQuestionError


class UnreadableError(Exception):
    """A file, or what is in it, cannot be used; the message is a sentence."""


class CommandGroup(TyperGroup):
    """A group of commands whose known failures end in a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. With `--debug` a failure keeps its trace."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # typer ends silently, as `| head` expects
        except (HostError, ClusterError, UnreadableError, CodecError, BadQuestionError, OSError) as error:
            if ctx.find_root().params.get("debug"):
                raise
            say(_sentence(error))
            raise typer.Exit(_code(error)) from error


def say(sentence: str) -> None:
    """A sentence to the user, beside the output."""
    lines = sentence.split("\n")  # a difference has lines; whatever is in one of them stays in it
    typer.echo("\n".join((f"kubereach: {clean(lines[0])}", *(f"  {clean(line)}" for line in lines[1:]))), err=True)


def end_of_bug(error: Exception) -> int:
    """Names an error that nobody expected, and says how to see more of it. Returns the exit code."""
    say(f"a bug in kubereach: {type(error).__name__}: {error}")
    say(
        f"run it again as `kubereach --debug {' '.join(sys.argv[1:])}` to see the trace, and report it with `kubereach bundle`."
    )
    return ExitCode.BLIND


def _sentence(error: Exception) -> str:
    if isinstance(error, BrokerGone):
        return f"the privileged half of kubereach ended: {error}. Run as root; `kubereach preflight` says what is missing."
    if isinstance(error, FixRefused):
        return "\n".join((str(error), *error.difference))
    if isinstance(error, HostError):
        return f"{error} (`kubereach preflight` says what may be seen here)"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _code(error: Exception) -> int:
    if isinstance(error, FixRefused):
        return ExitCode.REFUSED
    return ExitCode.USAGE if isinstance(error, BadQuestionError) else ExitCode.BLIND
