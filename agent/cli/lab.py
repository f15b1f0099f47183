"""`lab list`, `lab run` and `lab serve`: incidents to try kubereach on, in throwaway namespaces."""

from typing import Annotated, Any

import typer

from agent.cli.options import Format, Output
from agent.cli.output import show
from agent.model.ruleset import Backend
from agent.model.settings import PORT

SCHEMA = "kubereach.dev/incidents/v1"

lab = typer.Typer(
    name="lab",
    help="Incidents to try kubereach on, staged in throwaway namespaces.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="An incident; `kubereach lab list` has them.")]
OnBackend = Annotated[Backend | None, typer.Option("--backend", help="Where its rules are; not given: nft where it applies.")]


@lab.command("list")
def list_(output: Output = Format.TEXT) -> None:
    """The incidents that can be staged."""
    from agent.lab.commands import list_incidents  # noqa: PLC0415 - the lab is no part of a diagnosis and not loaded for one

    incidents = [
        {"name": incident.name, "story": incident.story, "backends": incident.backends, "expect": incident.expect}
        for incident in list_incidents()
    ]
    show({"schema": SCHEMA, "incidents": incidents}, output, lambda _: _table(incidents))


@lab.command("run")
def run(
    name: Name,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="Run this on the node instead of `kubereach diagnose`."),
    ] = None,
    backend: OnBackend = None,
    output: Annotated[Format | None, typer.Option("-o", "--output", help="How the diagnosis is written.")] = None,
    brief: Annotated[bool, typer.Option("--brief", help="The diagnosis in one line.")] = False,
) -> None:
    """Stage an incident, diagnose it, and take it down again; the exit code is the diagnosis's."""
    from agent.lab import commands  # noqa: PLC0415 - see above

    options = [*(("-o", output.value) if output else ()), *(("--brief",) if brief else ())]
    if command and options:
        raise typer.BadParameter(
            "-o and --brief belong to the diagnosis, which a command takes the place of.", param_hint="COMMAND"
        )
    raise typer.Exit(commands.run(name, backend, ["--", *command] if command else options))


@lab.command("serve")
def serve(
    name: Name,
    backend: OnBackend = None,
    host: Annotated[str, typer.Option("--host", help="The loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0: any.")] = PORT,
    allow_fix: Annotated[bool, typer.Option("--allow-fix", help="Let it mend the lab's own firewall.")] = False,
) -> None:
    """Stage an incident and serve kubereach from its node, until Ctrl-C."""
    from agent.cli.doors import parse_host  # noqa: PLC0415 - see above
    from agent.lab import commands  # noqa: PLC0415 - see above

    ip = parse_host(host)
    if not ip.is_loopback:
        detail = f"{host} is not a loopback address: the lab asks for no token, and is served to this machine alone."
        raise typer.BadParameter(detail, param_hint="--host")
    raise typer.Exit(commands.serve(name, backend, str(ip), port, allow_fix=allow_fix))


def _table(incidents: list[dict[str, Any]]) -> str:
    width = max((len(incident["name"]) for incident in incidents), default=0)
    rows = (
        (incident["name"].ljust(width), ",".join(incident["backends"]).ljust(10), incident["story"]) for incident in incidents
    )
    return "".join(f"{'  '.join(row)}\n" for row in rows)
