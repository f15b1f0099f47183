"""The published schemas are those of the model, and what the model writes is valid by them."""

import json
from pathlib import Path

import jsonschema_rs
import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.api.contract import ANSWERS, ERRORS, _document
from agent.api.schemas import PUBLISHED
from agent.model.codec import to_plain
from agent.model.schema import schema

DOCS = Path(__file__).parents[3] / "docs" / "schemas"


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_schema_is_the_models(name):
    """When the model has changed on purpose: `python -m agent.api.schemas docs/schemas`, and read the difference."""
    assert json.loads((DOCS / f"{name}.json").read_text()) == schema(PUBLISHED[name])


def test_nothing_else_is_published():
    assert {path.stem for path in DOCS.glob("*.json")} == set(PUBLISHED)


def test_what_the_model_writes_is_valid(capture):
    report = analyse(capture)
    for name, value in (("capture-v1", capture), ("report-v1", report), ("explanation-v1", report.explanation)):
        jsonschema_rs.validator_for(schema(PUBLISHED[name])).validate(json.loads(json.dumps(to_plain(value))))


def test_what_it_does_not_write_is_not_valid(capture):
    report = to_plain(analyse(capture))
    valid = jsonschema_rs.validator_for(schema(PUBLISHED["report-v1"])).is_valid
    assert valid(report)
    for change in ({"schema": "kubereach.dev/report/v2"}, {"state": "fine"}, {"findings": None}, {"probes": [{}]}):
        assert not valid({**report, **change}), change


def test_every_version_is_in_the_address():
    for name, kind in PUBLISHED.items():
        assert schema(kind)["$id"] == f"https://kubereach.dev/{name.replace('-', '/')}.json"
        whole = schema(kind)
        # A kind that holds itself (an outline holds a firewall) is a reference to its own definition.
        own = whole if "properties" in whole else whole["$defs"][kind.__name__]
        assert own["properties"]["schema"] == {"const": f"kubereach.dev/{name.replace('-', '/')}"}


def test_every_operation_tells_its_errors_and_every_example_is_valid(capture):
    document = _document_of(capture)
    seen = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if (method, path) not in ANSWERS:
                continue
            expected = {200} if path == "/livez" else {int(status) for status in ERRORS}
            assert expected <= {int(status) for status in operation["responses"]}, (method, path)
            for response in operation["responses"].values():
                for content in response["content"].values():
                    if "example" in content:
                        root = {**content["schema"], "components": document["components"]}
                        jsonschema_rs.validator_for(root).validate(content["example"])
                        seen += 1
    assert seen > 50


def test_every_answer_that_is_described_is_a_route(capture):
    paths = _document_of(capture)["paths"]
    assert [(method, path) for method, path in ANSWERS if method not in paths.get(path, {})] == []


def _document_of(capture):
    from agent.api.app import create_app
    from agent.model.settings import Settings
    from agent.service.clock import SystemClock
    from agent.service.diagnoses import Diagnoses
    from agent.service.fake import FakeHost
    from agent.service.fixes import Fixing

    clock, host, settings = SystemClock(), FakeHost(capture), Settings()
    diagnoses = Diagnoses(lambda _: capture, analyse, clock)
    fixing = Fixing(host, settings, clock, lambda: capture, host.probe)
    try:
        return _document(create_app(host, diagnoses, settings, clock, fixing))
    finally:
        diagnoses.close()
