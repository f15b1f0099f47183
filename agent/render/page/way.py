"""The packet's way as stations: from the pod by its interface through the hooks to the kubelet, and where it ends."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from agent.model.explanation import Explanation, RuleRef, Step, Verdict
from agent.model.report import Finding, Probe, Report, State

# Causes that are the kubelet's own; every other one that no rule explains lies before it.
_AT_KUBELET = "kubelet-"


class Mark(StrEnum):
    """What became of the packet at a station."""

    PASSED = "passed"
    DIED = "died"
    UNSURE = "unsure"
    UNREACHED = "unreached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A place on the way: what it is, what is known of it, and what happened there, in words."""

    name: str
    detail: str = ""
    mark: Mark = Mark.PASSED
    said: str = ""


def draw_way(report: Report) -> tuple[Station, ...]:
    """The stations in the packet's order. Those behind the one where it died are unreached."""
    probe = next((probe for probe in report.probes if probe.vantage == "pod"), None)
    explanation = report.explanation
    if probe is None and explanation is None:
        return ()
    stations = [Station(name="pod", detail=_source(probe, explanation))]
    if explanation is not None:
        if interface := explanation.packet.get("in"):
            stations.append(Station(name="interface", detail=str(interface)))
        stations += _hooks(explanation, certain=explanation.stopped_by is None or report.stopped_by is not None)
    stations += _end(report, explanation, probe)
    return tuple(_cut(stations))


def _source(probe: Probe | None, explanation: Explanation | None) -> str:
    return probe.from_ if probe else str(explanation.packet.get("src", "")) if explanation else ""


def _hooks(explanation: Explanation, *, certain: bool) -> Iterator[Station]:
    """One station for each table that the packet meets on a hook, with what the last rule there did to it."""
    for (hook, tool, family, table), group in groupby(explanation.steps, _whereabouts):
        steps = tuple(group)
        owner = f"{family} {table}" if tool == "nft" else table
        yield Station(
            name=f"{hook} {owner}", detail=tool, mark=_mark(steps, explanation, certain=certain), said=_said(steps[-1])
        )


def _whereabouts(step: Step) -> tuple[str, str, str, str]:
    rule = step.rule
    return rule.hook, f"iptables-{rule.backend}" if rule.tool != "nft" else "nft", rule.family, rule.table


def _mark(steps: Sequence[Step], explanation: Explanation, *, certain: bool) -> Mark:
    """Where the rule that stops it is not certain, each that may be the one is where it may have ended."""
    stoppers = set(map(_place, explanation.stoppers)) if explanation.verdict in (Verdict.DROP, Verdict.REJECT) else set()
    if any(_place(step.rule) in stoppers for step in steps):
        return Mark.DIED if certain else Mark.UNSURE
    return Mark.UNSURE if any(step.result == "maybe" for step in steps) else Mark.PASSED


def _place(rule: RuleRef) -> tuple[object, ...]:
    return rule.backend, rule.family, rule.table, rule.chain, rule.rule_number


def _said(step: Step) -> str:
    where = f"{step.rule.chain} policy" if step.rule.policy else f"{step.rule.chain} rule {step.rule.rule_number}"
    return f"{where}: {step.effect}"


def _end(report: Report, explanation: Explanation | None, probe: Probe | None) -> Iterator[Station]:
    """The kubelet, what stops the packet before it though no rule does, and the answer's way where that is lost."""
    cause = report.cause if report.state is State.BLOCKED else None
    stopped_by_rule = explanation is not None and explanation.stopped_by is not None
    if cause is not None and not stopped_by_rule and not cause.code.startswith(_AT_KUBELET):
        yield Station(name="outside the rules", detail=cause.code, mark=Mark.DIED, said=cause.title)
    yield Station(
        name="kubelet", detail=probe.to if probe else "", mark=_at_kubelet(report, explanation, cause), said=_answer(probe)
    )
    reply = explanation.reply if explanation else None
    if reply is not None and reply.decided_by is not None and reply.lost:
        rule = reply.decided_by
        said = f"{rule.chain} rule {rule.rule_number}: {reply.verdict.lower()}" if not rule.policy else f"{rule.chain} policy"
        mark = Mark.UNSURE if report.stopped_by is None else Mark.DIED
        yield Station(name="its answer", detail=f"{rule.hook} {rule.table}", mark=mark, said=said)


def _at_kubelet(report: Report, explanation: Explanation | None, cause: Finding | None) -> Mark:
    if cause is not None and cause.code.startswith(_AT_KUBELET):
        return Mark.DIED
    if report.state is State.BLOCKED and explanation is not None and explanation.verdict in (Verdict.DROP, Verdict.REJECT):
        return Mark.UNREACHED  # by whichever rule it was
    if report.state is State.UNKNOWN or (report.state is State.BLOCKED and cause is None and explanation is None):
        return Mark.UNSURE
    return Mark.PASSED


def _answer(probe: Probe | None) -> str:
    if probe is None:
        return ""
    return probe.outcome if probe.http_status is None else f"{probe.outcome}, HTTP {probe.http_status}"


def _cut(stations: Iterable[Station]) -> Iterator[Station]:
    """Behind the place where the packet died nothing happened."""
    dead = False
    for station in stations:
        yield Station(name=station.name, detail=station.detail, mark=Mark.UNREACHED) if dead else station
        dead = dead or station.mark is Mark.DIED
