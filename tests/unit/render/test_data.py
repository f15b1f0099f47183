"""Data output: the same value in JSON and YAML, harmless for a terminal."""

import json

import pytest
import yaml

from agent.model.report import Finding, Probe, Report, Severity, State
from agent.render.data import as_json, as_yaml

NASTY = "a\x1b[31mb\u202ec\udcff\nd"
REPORT = Report(
    node="n",
    state=State.BLOCKED,
    summary=NASTY,
    taken_at="2026-01-31T12:00:00Z",
    version="0",
    findings=(Finding(code="input-reject", severity=Severity.CRITICAL, title="t", message=NASTY),),
    probes=(Probe(vantage="pod", from_="10.0.0.1", to="10.0.0.2:10250", outcome="open"),),
)


def test_json_has_the_models_keys_in_its_order():
    data = json.loads(as_json(REPORT))
    assert list(data)[:4] == ["schema", "node", "state", "summary"]
    assert data["probes"][0]["from"] == "10.0.0.1"
    assert data["summary"] == NASTY


def test_yaml_says_what_json_says():
    plain = Report(node="ä", state=State.REACHABLE, summary="no: trouble", taken_at="2026-01-31T12:00:00Z", version="0")
    assert yaml.safe_load(as_yaml(plain)) == json.loads(as_json(plain))


@pytest.mark.parametrize("render", [as_json, as_yaml])
def test_nothing_steers_a_terminal(render):
    text = render(REPORT)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert text.endswith("\n")
