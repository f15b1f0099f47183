"""The latest report as Prometheus metrics. Nothing is counted here: the same report gives the same exposition.

Every metric of a state is written for all its values, so that an alert on `== 1` never meets a series that merely vanished.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from agent import __version__
from agent.model.report import Report, State

# Prometheus text exposition format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a process has counted since its start; what it does not count is None, and left out.

    `diagnoses` by how they ended; `requests` by method, route and status; `fixes` by outcome; `brokers`: whether the broker
    lives, and how often another was started; `failures` of requests to the cluster, by what they were to do.
    """

    diagnoses: Mapping[str, int]
    requests: Mapping[tuple[str, str, str], int] | None = None
    fixes: Mapping[str, int] | None = None
    brokers: tuple[bool, int] | None = None
    failures: Mapping[str, int] | None = None


def metrics(report: Report | None, counts: Counts) -> bytes:
    """The exposition. `report` is None before the first diagnosis is done."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exposition(report, counts))
    return generate_latest(registry)


class _Exposition:
    """A collector for one scrape."""

    def __init__(self, report: Report | None, counts: Counts) -> None:
        self.report, self.counts = report, counts

    def collect(self) -> Iterator[Metric]:
        yield _gauge("kubereach_build_info", "Which kubereach this is.", ("version",), {(__version__,): 1})
        yield from _of_counts(self.counts)
        if self.report:
            yield from _of_report(self.report)


def _of_counts(counts: Counts) -> Iterator[Metric]:
    yield _counter("kubereach_diagnoses", "Diagnoses since the start, by how they ended.", "result", counts.diagnoses)
    if counts.requests is not None:
        names = ("method", "route", "status")
        answered = CounterMetricFamily("kubereach_http_requests", "Requests answered since the start.", labels=names)
        for labels, count in counts.requests.items():
            answered.add_metric(labels, count)
        yield answered
    if counts.fixes is not None:
        yield _counter("kubereach_fixes", "What became of fixes since the start.", "outcome", counts.fixes)
    if counts.brokers is not None:
        lives, restarts = counts.brokers
        yield _gauge("kubereach_broker_up", "1 while the privileged half is there.", (), {(): int(lives)})
        again = CounterMetricFamily("kubereach_broker_restarts", "How often the broker was started again.", labels=())
        again.add_metric((), restarts)
        yield again
    if counts.failures is not None:
        text = "Requests about this node's object and Events in the cluster that failed, by what they were to do."
        yield _counter("kubereach_cluster_failures", text, "action", counts.failures)


def _of_report(report: Report) -> Iterator[Metric]:
    node = report.node
    yield _gauge(
        "kubereach_state",
        "1 for the state of the latest report: can this node's pods reach this node's kubelet?",
        ("node", "state"),
        {(node, state.value): int(state is report.state) for state in State},
    )
    yield _gauge(
        "kubereach_finding",
        "1 for each finding of the latest report.",
        ("node", "code", "severity"),
        {(node, finding.code, finding.severity.value): 1 for finding in report.findings},
    )
    yield _gauge(
        "kubereach_probe_outcome",
        "1 for what the connect from each vantage point met.",
        ("node", "vantage", "outcome"),
        {(node, probe.vantage, probe.outcome): 1 for probe in report.probes},
    )
    yield _gauge(
        "kubereach_probe_seconds",
        "How long the connect took until its outcome.",
        ("node", "vantage"),
        {(node, probe.vantage): probe.seconds for probe in reversed(report.probes)},  # the first of each
    )
    yield _gauge(
        "kubereach_witnesses_disagree",
        "How many witnesses contradict the answer.",
        ("node",),
        {(node,): len(report.disagreements)},
    )
    yield _gauge("kubereach_problems", "How many things could not be looked at.", ("node",), {(node,): len(report.problems)})
    yield _gauge(
        "kubereach_report_timestamp_seconds",
        "When the latest report's look began, in Unix time.",
        ("node",),
        {(node,): datetime.fromisoformat(report.taken_at).timestamp()},
    )
    yield _gauge(
        "kubereach_stage_seconds",
        "How long each stage of the look took.",
        ("node", "stage"),
        {(node, stage): seconds for stage, seconds in report.seconds.items()},
    )


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples.items():
        # A node's name is the only stranger's word here; what UTF-8 cannot carry would end the scrape.
        family.add_metric([value.encode(errors="backslashreplace").decode() for value in values], number)
    return family
