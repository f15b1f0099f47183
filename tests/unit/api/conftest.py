"""The application on a host in memory, with an analysis that says what a test wants."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from fastapi.testclient import TestClient

from agent.api.app import create_app
from agent.model.capture import Capture
from agent.model.preflight import Check
from agent.model.report import Finding, Report, Severity, State
from agent.model.settings import Settings
from agent.service.clock import SystemClock
from agent.service.collect import Senses, collect
from agent.service.diagnoses import Diagnoses
from agent.service.fake import FakeHost

REPORT = Report(
    node="k8s-worker1",
    state=State.BLOCKED,
    summary="Rule 3 of filter INPUT rejects <pods>.",
    taken_at="2026-01-31T12:00:00.000Z",
    version="0.1.0",
    findings=(Finding(code="input-reject", severity=Severity.CRITICAL, title="t", message="m"),),
)


@dataclass
class Served:
    """A client, and what is behind it."""

    client: TestClient
    host: FakeHost
    diagnoses: Diagnoses
    answer: Report = REPORT

    def state(self, state: State) -> None:
        self.answer = replace(self.answer, state=state)


@pytest.fixture
def served(capture: Capture):
    clock, settings = SystemClock(), Settings(node_name="K8s-Worker1")
    host = FakeHost(capture, checks=(Check(name="CAP_NET_ADMIN", ok=True), Check(name="nft", ok=False, detail="not found")))
    senses = Senses(host.probe, host.node_object)
    analyse: Callable[[Capture], Report] = lambda _: here.answer  # noqa: E731 - closes over what is made next
    diagnoses = Diagnoses(lambda: collect(host, settings, clock, senses=senses), analyse, clock)
    app = create_app(host, diagnoses, settings, clock)
    client = TestClient(app, base_url="http://127.0.0.1:10270", raise_server_exceptions=False)
    here = Served(client, host, diagnoses)
    yield here
    diagnoses.close()
