"""The latest report as Prometheus metrics. Nothing is counted here: the same report gives the same exposition.

Every metric of a state is written for all its values, so that an alert on `== 1` never meets a series that merely vanished.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from agent import __version__
from agent.model.report import Report, State

# Prometheus text exposition format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


# Requests by method, route and status.
Requests = Mapping[tuple[str, str, str], int]


# Whether the broker lives, and how often another was started since.
Brokers = tuple[bool, int]


def metrics(
    report: Report | None,
    ended: Mapping[str, int],
    *,
    requests: Requests | None = None,
    fixes: Mapping[str, int] | None = None,
    brokers: Brokers | None = None,
) -> bytes:
    """The exposition. `report` is None before the first diagnosis is done; `ended` counts diagnoses by how they ended.

    `requests`, `fixes` (how often each outcome was met) and `brokers` are left out where they are None.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exposition(report, ended, requests, fixes, brokers))
    return generate_latest(registry)


class _Exposition:
    """A collector for one scrape."""

    def __init__(
        self,
        report: Report | None,
        ended: Mapping[str, int],
        requests: Requests | None,
        fixes: Mapping[str, int] | None,
        brokers: Brokers | None,
    ) -> None:
        self.report, self.ended, self.requests, self.fixes, self.brokers = report, ended, requests, fixes, brokers

    def collect(self) -> Iterator[Metric]:
        yield _gauge("kubereach_build_info", "Which kubereach this is.", ("version",), {(__version__,): 1})
        total = CounterMetricFamily("kubereach_diagnoses", "Diagnoses since the start, by how they ended.", labels=("result",))
        for result, count in self.ended.items():
            total.add_metric((result,), count)
        yield total
        if self.requests is not None:
            names = ("method", "route", "status")
            answered = CounterMetricFamily("kubereach_http_requests", "Requests answered since the start.", labels=names)
            for labels, count in self.requests.items():
                answered.add_metric(labels, count)
            yield answered
        if self.fixes is not None:
            met = CounterMetricFamily("kubereach_fixes", "What became of fixes since the start.", labels=("outcome",))
            for outcome, count in self.fixes.items():
                met.add_metric((outcome,), count)
            yield met
        if self.brokers is not None:
            lives, restarts = self.brokers
            yield _gauge("kubereach_broker_up", "1 while the privileged half is there.", (), {(): int(lives)})
            again = CounterMetricFamily("kubereach_broker_restarts", "How often the broker was started again.", labels=())
            again.add_metric((), restarts)
            yield again
        if self.report:
            yield from _of_report(self.report)


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


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples.items():
        # A node's name is the only stranger's word here; what UTF-8 cannot carry would end the scrape.
        family.add_metric([value.encode(errors="backslashreplace").decode() for value in values], number)
    return family
