"""`kubereach cluster`, also as `kubectl node-reach`: every node's answer, from the objects or from the agents."""

import time
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from agent.analysis.fleet.matrix import build_matrix
from agent.analysis.fleet.outliers import view_fleet
from agent.cli.failures import CommandGroup, say
from agent.cli.options import Format, Output
from agent.cli.output import show
from agent.cluster.connection import EXEC_TIMEOUT, connect, persons_configuration
from agent.model.exitcode import ExitCode
from agent.model.reach import Reach
from agent.render import fleet as text
from agent.service.clock import SystemClock
from agent.service.fleet import PARALLEL, PATIENCE, names, run_all
from agent.service.roll import NO_AGENT, call_all

cluster = typer.Typer(
    name="cluster", cls=CommandGroup, no_args_is_help=True, rich_markup_mode=None, help="Every node's answer, from the cluster."
)


class Source(StrEnum):
    """What `--from` takes."""

    OBJECTS = "objects"
    AGENTS = "agents"


Context = Annotated[
    str, typer.Option("--context", help="The kubeconfig's context; its current one if not given.", show_default=False)
]
From = Annotated[
    Source,
    typer.Option(
        "--from",
        help="The objects that the agents keep, or each agent itself by exec in its pod, where objects are old or missing.",
    ),
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Where the agents are; for --from agents.")]
Parallel = Annotated[int, typer.Option(help="How many nodes look at the same time.", min=1, max=500)]
Patience = Annotated[float, typer.Option(help="Seconds that one node has to answer.", min=1, max=3600)]
_HOME = "kubereach"


@cluster.command()
def report(  # noqa: PLR0913, PLR0917 - a flag each
    output: Output = Format.TEXT,
    context: Context = "",
    source: From = Source.OBJECTS,
    namespace: Namespace = _HOME,
    parallel: Parallel = PARALLEL,
    patience: Patience = PATIENCE,
) -> None:
    """All nodes: who is in trouble, by which rule, and whose rules differ from the others'."""
    answers, failures = _answers(source, context, namespace, parallel, patience)
    view = view_fleet(answers, failures)
    show(view, output, lambda _: text.fleet(view))
    raise typer.Exit(_code([each.state for each in view.trouble], view.total, failures))


@cluster.command()
def matrix(  # noqa: PLR0913, PLR0917 - a flag each
    output: Output = Format.TEXT,
    context: Context = "",
    source: From = Source.OBJECTS,
    namespace: Namespace = _HOME,
    parallel: Parallel = PARALLEL,
    patience: Patience = PATIENCE,
) -> None:
    """Node by node: whose pods reach whose kubelet."""
    found = build_matrix(*_answers(source, context, namespace, parallel, patience))
    show(found, output, lambda _: text.matrix(found))
    if any(cell.outcome != "open" for cell in found.cells):
        raise typer.Exit(ExitCode.PROBLEM)
    if found.failures:
        raise typer.Exit(ExitCode.BLIND)


@cluster.command()
def explain(  # noqa: PLR0913, PLR0917 - a flag each
    node: Annotated[str, typer.Argument(help="The node's name.")],
    output: Output = Format.TEXT,
    context: Context = "",
    source: From = Source.OBJECTS,
    namespace: Namespace = _HOME,
    patience: Patience = PATIENCE,
) -> None:
    """One node's answer, as the cluster keeps it or its agent gives it."""
    if source is Source.AGENTS:
        agents = _agents(context, namespace)
        pod = agents.pods(node).get(node)
        found = agents.ask(pod, patience) if pod else None
        missing = f"{node}: {NO_AGENT}"
    else:
        found = _reaches(context).get(node)
        missing = f"there is no answer of {node}: `kubectl get reaches` lists those that exist."
    if found is None:
        say(missing)
        raise typer.Exit(ExitCode.USAGE)
    show(found, output, lambda _: text.node(found))
    raise typer.Exit(_code([found.state], 1))


@cluster.command()
def run(  # noqa: PLR0913, PLR0917 - a flag each
    nodes: Annotated[list[str] | None, typer.Argument(help="The nodes; all if none is named.", show_default=False)] = None,
    output: Output = Format.TEXT,
    context: Context = "",
    source: From = Source.OBJECTS,
    namespace: Namespace = _HOME,
    parallel: Parallel = PARALLEL,
    patience: Patience = PATIENCE,
) -> None:
    """Ask nodes to look again, wait for their answers, and report."""
    wanted = tuple(nodes or ())
    if source is Source.AGENTS:
        agents = _agents(context, namespace)
        answers, failures = call_all(agents, wanted, _progress, fresh=True, parallel=parallel, patience=patience)
    else:
        fleet = _reaches(context)
        wanted = wanted or names(fleet.list())
        answers, failures = run_all(fleet, wanted, SystemClock(), time.sleep, _progress, parallel=parallel, patience=patience)
    view = view_fleet(answers.values(), failures)
    show(view, output, lambda _: text.fleet(view))
    raise typer.Exit(_code([each.state for each in view.trouble], view.total, failures))


def plugin() -> None:
    """The entry point of `kubectl node-reach`."""
    cluster(prog_name="kubectl node-reach")


def _answers(
    source: Source, context: str, namespace: str, parallel: int, patience: float
) -> tuple[Iterable[Reach], Mapping[str, str]]:
    """What is known of all nodes without asking for a new look, and who gave no answer."""
    if source is Source.OBJECTS:
        return _reaches(context).list(), {}
    agents = _agents(context, namespace)
    answers, failures = call_all(agents, (), _progress, fresh=False, parallel=parallel, patience=patience)
    return answers.values(), failures


def _reaches(context: str) -> Any:
    from agent.cluster.reaches import Reaches  # noqa: PLC0415  the client is slow to import, and `--help` needs none

    return Reaches(connect(persons_configuration(), context))


def _agents(context: str, namespace: str) -> Any:
    from agent.cluster.agents import Agents  # noqa: PLC0415  as above

    return Agents(connect(persons_configuration(), context, EXEC_TIMEOUT), namespace)


def _progress(answer: Reach | None, node: str, ended: int, total: int) -> None:
    say(f"[{ended}/{total}] {node}: {answer.state if answer else 'no answer'}")


def _code(states: Sequence[str], total: int, failures: Mapping[str, str] | None = None) -> ExitCode:
    if {"blocked", "degraded"} & set(states):
        return ExitCode.PROBLEM  # whoever else was silent: a problem that is found is one
    if failures:
        return ExitCode.BLIND
    return ExitCode.UNDECIDED if (states and states[0] in ("unknown", "")) or not total else ExitCode.FINE
