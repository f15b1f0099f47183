"""The exposition: what an alert may rely on."""

from prometheus_client.parser import text_string_to_metric_families

from agent.model.report import Finding, Probe, Report, Severity, State
from agent.render.metrics import Counts, metrics

REPORT = Report(
    node="k8s-worker1",
    state=State.BLOCKED,
    summary="",
    taken_at="2026-01-31T12:00:00.500Z",
    version="0",
    findings=(Finding(code="input-reject", severity=Severity.CRITICAL, title="", message=""),),
    probes=(Probe(vantage="pod", from_="a", to="b", outcome="host-prohibited", seconds=0.004),),
    disagreements=("counters: no",),
    problems=("a", "b"),
    seconds={"total": 0.12},
)


def samples(report, ended=None):
    text = metrics(report, Counts(diagnoses=ended or {})).decode()
    found = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        (sample.name, *(value for key, value in sorted(sample.labels.items()) if key != "node")): sample.value
        for sample in found
    }


def test_a_report():
    found = samples(REPORT, {"done": 3, "failed": 1})
    assert found["kubereach_state", "blocked"] == 1
    assert [found["kubereach_state", state] for state in ("reachable", "degraded", "unknown")] == [0, 0, 0]
    assert found["kubereach_finding", "input-reject", "critical"] == 1
    assert found["kubereach_probe_outcome", "host-prohibited", "pod"] == 1
    assert found["kubereach_probe_seconds", "pod"] == 0.004
    assert found["kubereach_report_timestamp_seconds",] == 1769860800.5
    assert found["kubereach_stage_seconds", "total"] == 0.12
    assert (found["kubereach_witnesses_disagree",], found["kubereach_problems",]) == (1, 2)
    assert (found["kubereach_diagnoses_total", "done"], found["kubereach_diagnoses_total", "failed"]) == (3, 1)


def test_before_the_first_report_no_state_is_claimed():
    found = samples(None)
    assert not [name for name, *_ in found if name == "kubereach_state"]
    assert any(name == "kubereach_build_info" for name, *_ in found)


def test_the_same_report_gives_the_same_bytes():
    assert metrics(REPORT, Counts(diagnoses={"done": 1})) == metrics(REPORT, Counts(diagnoses={"done": 1}))


def test_strange_bytes_in_a_name_do_not_end_the_scrape():
    strange = Report(node='a"\n\udcff', state=State.UNKNOWN, summary="", taken_at="2026-01-31T12:00:00Z", version="0")
    assert samples(strange)["kubereach_state", "unknown"] == 1


def test_a_broker_that_is_gone_and_how_often_one_came_again_are_told() -> None:
    said = metrics(None, Counts(diagnoses={}, brokers=(False, 3))).decode().splitlines()
    assert {"kubereach_broker_up 0.0", "kubereach_broker_restarts_total 3.0"} <= set(said)
    assert "kubereach_broker" not in metrics(None, Counts(diagnoses={})).decode()


def test_what_the_cluster_was_not_told_is_counted_by_action_and_only_where_it_is_to_be_told() -> None:
    said = metrics(None, Counts(diagnoses={}, failures={"read": 0, "write": 3})).decode().splitlines()
    assert 'kubereach_cluster_failures_total{action="read"} 0.0' in said
    assert 'kubereach_cluster_failures_total{action="write"} 3.0' in said
    assert "cluster_failures" not in metrics(None, Counts(diagnoses={})).decode()
