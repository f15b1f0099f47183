"""Which command lives where. Its module is imported when the command is named: what `explain` needs is a third of the whole."""

from importlib import import_module
from typing import Any

import typer
from typer.main import get_group

from agent.cli.failures import CommandGroup

# In the order of the help page; a module's attribute of the command's name is a function or a group of commands.
PLACES = {
    "diagnose": "agent.cli.diagnose",
    "serve": "agent.cli.serve",
    "explain": "agent.cli.explain",
    "rules": "agent.cli.explain",
    "probe": "agent.cli.probe",
    "preflight": "agent.cli.probe",
    "bundle": "agent.cli.diagnose",
    "replay": "agent.cli.diagnose",
    "cluster": "agent.cli.cluster",
    "fix": "agent.cli.fix",
    "lab": "agent.cli.lab",
}


class Commands(CommandGroup):
    """The group of all commands, of which only those that are asked for are made."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - its signature is the group's
        """Their names, which whoever lists them goes on to ask for."""
        return list(PLACES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        if cmd_name in PLACES and cmd_name not in self.commands:
            self.commands[cmd_name] = _make(cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As the group does it; a name that is none is compared with all."""
        if args and args[0] not in PLACES:
            for name in PLACES:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


def _make(name: str) -> Any:
    found = getattr(import_module(PLACES[name]), name)
    alone = typer.Typer(rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        alone.add_typer(found)
    else:
        alone.command(name)(found)
    return get_group(alone).commands[name]
