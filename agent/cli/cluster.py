"""`kubereach cluster`, also as `kubectl node-reach`: every node's answer, from the objects that the agents keep."""

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from agent.analysis.fleet.matrix import build_matrix
from agent.analysis.fleet.outliers import view_fleet
from agent.cli.failures import CommandGroup, say
from agent.cli.options import Format, Output
from agent.cli.output import show
from agent.model.exitcode import ExitCode
from agent.model.reach import Reach
from agent.render import fleet as text
from agent.service.clock import SystemClock
from agent.service.fleet import PARALLEL, PATIENCE, names, run_all

cluster = typer.Typer(
    name="cluster", cls=CommandGroup, no_args_is_help=True, rich_markup_mode=None, help="Every node's answer, from the cluster."
)
Context = Annotated[
    str, typer.Option("--context", help="The kubeconfig's context; its current one if not given.", show_default=False)
]


@cluster.command()
def report(output: Output = Format.TEXT, context: Context = "") -> None:
    """All nodes: who is in trouble, by which rule, and whose rules differ from the others'."""
    view = view_fleet(_reaches(context).list())
    show(view, output, lambda _: text.fleet(view))
    raise typer.Exit(_code([each.state for each in view.trouble], view.total))


@cluster.command()
def matrix(output: Output = Format.TEXT, context: Context = "") -> None:
    """Node by node: whose pods reach whose kubelet."""
    found = build_matrix(_reaches(context).list())
    show(found, output, lambda _: text.matrix(found))
    if any(cell.outcome != "open" for cell in found.cells):
        raise typer.Exit(ExitCode.PROBLEM)


@cluster.command()
def explain(
    node: Annotated[str, typer.Argument(help="The node's name.")], output: Output = Format.TEXT, context: Context = ""
) -> None:
    """One node's answer, as the cluster keeps it."""
    found = _reaches(context).get(node)
    if found is None:
        say(f"there is no answer of {node}: `kubectl get reaches` lists those that exist.")
        raise typer.Exit(ExitCode.USAGE)
    show(found, output, lambda _: text.node(found))
    raise typer.Exit(_code([found.state], 1))


@cluster.command()
def run(
    nodes: Annotated[list[str] | None, typer.Argument(help="The nodes; all if none is named.", show_default=False)] = None,
    output: Output = Format.TEXT,
    context: Context = "",
    parallel: Annotated[int, typer.Option(help="How many nodes look at the same time.", min=1, max=500)] = PARALLEL,
    patience: Annotated[float, typer.Option(help="Seconds that one node has to answer.", min=1, max=3600)] = PATIENCE,
) -> None:
    """Ask nodes to look again, wait for their answers, and report."""
    fleet = _reaches(context)
    wanted = tuple(nodes or ()) or names(fleet.list())
    answers, failures = run_all(fleet, wanted, SystemClock(), time.sleep, _progress, parallel=parallel, patience=patience)
    view = view_fleet(answers.values())
    show(view, output, lambda _: text.fleet(view))
    for name, why in sorted(failures.items()):
        say(f"{name}: {why}")
    raise typer.Exit(ExitCode.BLIND if failures else _code([each.state for each in view.trouble], view.total))


def plugin() -> None:
    """The entry point of `kubectl node-reach`."""
    cluster(prog_name="kubectl node-reach")


def _reaches(context: str) -> Any:
    from agent.cluster.connection import connect  # noqa: PLC0415  the client is slow to import, and `--help` needs none
    from agent.cluster.reaches import Reaches  # noqa: PLC0415

    return Reaches(connect(context=context))


def _progress(answer: Reach | None, node: str, ended: int, total: int) -> None:
    say(f"[{ended}/{total}] {node}: {answer.state if answer else 'no answer'}")


def _code(states: Sequence[str], total: int) -> ExitCode:
    if {"blocked", "degraded"} & set(states):
        return ExitCode.PROBLEM
    return ExitCode.UNDECIDED if (states and states[0] in ("unknown", "")) or not total else ExitCode.FINE
