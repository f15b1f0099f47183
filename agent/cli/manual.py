"""The manual page, made from the commands' own help: `python -m agent.cli.manual > docs/kubereach.1`.

click-man would do it, but sees no option where typer brings its own copy of click. Macros are those of man(7).
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer.main

from agent import __version__
from agent.cli.app import app

_FILES = (
    ("/run/kubereach/kubereach.sock", "Where `kubereach serve` answers root and the user that started it."),
    ("/var/lib/kubereach", "Fixes and their audit log (`--state-dir`)."),
)
# Typer's own, whose words depend on the shell that asks.
_COMPLETION = frozenset({"install_completion", "show_completion"})
_CHOICES = re.compile(r"[<\[]([^<>\[\]|]+(?:\|[^<>\[\]|]+)+)[>\]]")
_COMPLETE = "`kubereach --install-completion` sets it up for the shell it is typed in: bash, zsh or fish."


def render() -> str:
    """The page, for man(1)."""
    root = typer.main.get_command(app)
    top: Any = root.make_context("kubereach", [], resilient_parsing=True)
    help_ = _paragraphs(root.help)
    lines = [f'.TH KUBEREACH 1 "" "kubereach {__version__}"', ".SH NAME", f"kubereach \\- {_escape(help_[0])}"]
    lines += [".SH SYNOPSIS", f".B kubereach\n{_escape(' '.join(root.collect_usage_pieces(top)))}"]
    lines += [".SH DESCRIPTION", *_joined(help_), ".SH OPTIONS", *_parameters(root, top), ".SH COMMANDS"]
    lines += _commands(root, top)
    lines += [".SH SHELL COMPLETION", _escape(_COMPLETE), ".SH FILES"]
    for path, words in _FILES:
        lines += [".TP", f".I {_escape(path)}", _escape(words)]
    return "\n".join(lines) + "\n"


def _commands(group: Any, above: Any) -> Iterator[str]:
    """A section for each command, depth first; a group has its own words and then its commands'."""
    for name in group.list_commands(above):
        command = group.get_command(above, name)
        if command.hidden:
            continue
        context = command.make_context(name, [], parent=above, resilient_parsing=True)
        yield f'.SS "{_escape(context.command_path)}"'
        if not hasattr(command, "list_commands"):
            yield f".B {_escape(context.command_path)}\n{_escape(' '.join(command.collect_usage_pieces(context)))}\n.PP"
        yield from _joined(_paragraphs(command.help))
        yield from _parameters(command, context)
        if hasattr(command, "list_commands"):
            yield from _commands(command, context)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    """Arguments and options with their help, in the order of `--help`, which itself is told once."""
    for parameter in command.get_params(context):
        told = context.parent is not None and "--help" in parameter.opts
        if told or parameter.name in _COMPLETION or getattr(parameter, "hidden", False):
            continue
        words = [(parameter.help or "").strip()]
        words += [f"Environment: {parameter.envvar}."] if parameter.envvar else []
        yield from (".TP", f".B {_escape(_spelling(parameter, context))}", _escape(" ".join(words)))


def _spelling(parameter: Any, context: Any) -> str:
    """`-o, --output text|json`, `--twin / --no-twin`, `NAME`. Releases of typer write types each in their own way."""
    choices = _CHOICES.search((parameter.get_help_record(context) or ("",))[0])
    value = parameter.metavar or (choices[1] if choices else parameter.name.upper())
    if parameter.param_type_name == "argument":
        return value
    # The short form first, always: click keeps the spellings of --help in a set.
    spellings = (sorted(spelt, key=len) for spelt in (parameter.opts, parameter.secondary_opts) if spelt)
    names = " / ".join(map(", ".join, spellings))
    return names if parameter.is_flag else f"{names} {value}"


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in (text or "").split("\n\n") if part.strip()]


def _joined(paragraphs: list[str]) -> list[str]:
    return "\n.PP\n".join(map(_escape, paragraphs)).split("\n")


def _escape(text: str) -> str:
    """Text that is nothing but text to roff."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    sys.stdout.write(render())
