"""`probe` and `preflight`: the connects alone, and what may be seen and done here."""

from contextlib import closing
from dataclasses import replace

import typer

from agent.cli import live
from agent.cli.failures import say
from agent.cli.options import Format, Output, with_settings
from agent.cli.output import check_table, probe_table, show
from agent.model.capture import Problem
from agent.model.exitcode import ExitCode
from agent.model.probe import Outcome, ProbeResult, Vantage
from agent.model.settings import Settings
from agent.service.collect import probe_only
from agent.service.readiness import read_readiness

PROBES_SCHEMA = "kubereach.dev/probes/v1"
PREFLIGHT_SCHEMA = "kubereach.dev/preflight/v1"
_NOTHING_LEARNT = (Outcome.NOT_TRIED, Outcome.POD_GONE)


@with_settings
def probe(settings: Settings, output: Output = Format.TEXT) -> None:
    """Connect to the kubelet from a pod and from the host, and from the pod to another node's kubelet."""
    with closing(live.attach(replace(settings, twin=False))) as host:
        results, problems = probe_only(host, settings, live.CLOCK, live.SENSES)
    show({"schema": PROBES_SCHEMA, "probes": results, "problems": problems}, output, lambda _: probe_table(results))
    for problem in problems:
        say(_words(problem))
    pods = [result for result in results if result.request.vantage is Vantage.POD]
    if not pods:
        say("no pod to connect from was found: give the pods' network with --pod-cidr, or start a pod on this node.")
    raise typer.Exit(_code(pods))


@with_settings
def preflight(settings: Settings, output: Output = Format.TEXT) -> None:
    """Say what kubereach may see and do here, and what is lost where it may not."""
    with closing(live.attach(replace(settings, twin=False))) as host:
        found = read_readiness(host)
    data = {"schema": PREFLIGHT_SCHEMA, "ready": found.ready, "checks": found.checks}
    show(data, output, lambda _: check_table(found.checks))
    raise typer.Exit(ExitCode.FINE if found.ready else ExitCode.BLIND)


def _code(pods: list[ProbeResult]) -> ExitCode:
    learnt = [result.outcome for result in pods if result.outcome not in _NOTHING_LEARNT]
    if not learnt:
        return ExitCode.UNDECIDED
    return ExitCode.FINE if all(outcome is Outcome.OPEN for outcome in learnt) else ExitCode.PROBLEM


def _words(problem: Problem) -> str:
    return f"{problem.what}: {problem.why}" + (f" {problem.remedy}" if problem.remedy else "")
