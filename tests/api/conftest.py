"""The application on a host in memory, with an analysis that says what a test wants."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from agent.api.app import create_app
from agent.api.callers import LOOPBACK, Callers
from agent.model.capture import Capture
from agent.model.preflight import Check
from agent.model.report import Finding, Report, Severity, State
from agent.model.settings import Extras, Settings
from agent.service.clock import SystemClock
from agent.service.collect import collect
from agent.service.diagnoses import Diagnoses
from agent.service.fake import FakeHost
from agent.service.fixes import Fixing
from agent.service.senses import Senses
from tests.unit import conftest as unit

capture = unit.capture  # the same node as in the unit tests

REPORT = Report(
    node="k8s-worker1",
    state=State.BLOCKED,
    summary="Rule 3 of filter INPUT rejects <pods>.",
    taken_at="2026-01-31T12:00:00.000Z",
    version="0.1.0",
    findings=(Finding(code="input-reject", severity=Severity.CRITICAL, title="t", message="m"),),
)


class Door:
    """What the listener says of a connection."""

    def __init__(self, app, marks):
        self.app, self.marks = app, marks

    async def __call__(self, scope, receive, send):
        scope.setdefault("state", {}).update(self.marks)
        await self.app(scope, receive, send)


@dataclass
class Served:
    """A client, and what is behind it."""

    client: TestClient
    app: FastAPI
    host: FakeHost
    diagnoses: Diagnoses
    answer: Report = REPORT

    def state(self, state: State) -> None:
        self.answer = replace(self.answer, state=state)


@pytest.fixture
def door(capture: Capture):
    """Makes an application with a certain way in."""
    clock, settings = SystemClock(), Settings(node_name="K8s-Worker1")
    opened = []

    def make(callers: Callers, *, loopback: bool = True, marks: dict | None = None) -> Served:
        host = FakeHost(capture, checks=(Check(name="CAP_NET_ADMIN", ok=True), Check(name="nft", ok=False, detail="not found")))
        senses = Senses(host.probe, host.node_object)
        analyse: Callable[[Capture], Report] = lambda _: here.answer  # noqa: E731 - closes over what is made next

        def look(extras: Extras) -> Capture:
            wanted = replace(settings, deep=extras.deep, phantom=extras.phantom)
            return collect(host, wanted, clock, diagnoses.hear, senses=senses)

        diagnoses = Diagnoses(look, analyse, clock)
        opened.append(diagnoses)
        fixing = Fixing(host, settings, clock, lambda: collect(host, settings, clock, senses=senses), host.probe)
        app = create_app(host, diagnoses, settings, clock, fixing, callers=callers)
        way = Door(app, marks if marks is not None else {LOOPBACK: loopback})
        client = TestClient(way, base_url="http://127.0.0.1:10270", raise_server_exceptions=False)
        here = Served(client, app, host, diagnoses)
        return here

    yield make
    for diagnoses in opened:
        diagnoses.close()


@pytest.fixture
def served(door):
    """An application that lets its test in."""
    return door(Callers(insecure_loopback=True))


@pytest.fixture
def stranger(door):
    """An application that its test has no key to."""
    return door(Callers(token_sha256="0" * 64))
