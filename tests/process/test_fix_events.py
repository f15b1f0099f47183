"""Events of a fix at a stand-in API server on loopback, from the service's own publisher: told once, and nobody waits."""

import threading
from contextlib import contextmanager

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import Capture, Firewall, Node, Processes
from agent.model.fix import Fix, FixState
from agent.model.plan import Flow, Place
from agent.model.settings import Settings
from agent.service.clock import SystemClock
from agent.service.diagnoses import Diagnoses
from agent.service.failures import Failures
from agent.service.fake import FakeHost
from agent.service.fixes import Fixing
from agent.service.host import HostError
from agent.service.publish import publish
from tests.process.stand_in import Handler, standing_in

TRIAL = Fix(
    id="0123456789ab",
    state=FixState.TRIAL,
    flow=Flow(source="10.244.4.0/24", destination="172.31.16.124", port=10250),
    place=Place(backend="nft", chain="INPUT", before=""),
    rule="r",
    ends=2**31,
    ends_at="2038-01-19T03:14:08Z",
)


class StandIn(Handler):
    """Keeps Events by name; a second of the same name is a conflict. `status` is answered instead where it is set."""

    def do_GET(self):  # noqa: N802 - the name that http.server calls
        self.answer(404, {"kind": "Status", "code": 404})

    def do_POST(self):  # noqa: N802 - the name that http.server calls
        body = self.told()
        if not self.path.startswith("/api/v1/namespaces/default/events"):
            self.answer(404, {"kind": "Status", "code": 404})
            return
        self.server.release.wait(30)
        name = body["metadata"]["name"]
        with self.server.changed:
            status = self.server.status or (409 if name in self.server.events else 201)
            self.server.asked += 1
            if status == 201:
                self.server.events[name] = body
            self.server.changed.notify_all()
        self.answer(status, body if status == 201 else {"kind": "Status", "code": status, "message": "no"})


@pytest.fixture
def api(tmp_path, monkeypatch):
    release = threading.Event()
    release.set()
    switches = {"events": {}, "status": 0, "asked": 0, "release": release, "changed": threading.Condition()}
    with standing_in(StandIn, tmp_path, monkeypatch, **switches) as server:
        yield server
        release.set()


@contextmanager
def publishing():
    """A service that publishes: its fixes, on a host in memory that has one on trial."""

    def look():
        raise HostError("this test is not about looks")

    settings, clock = Settings(node_name="w1", publish=True, allow_fix=True), SystemClock()
    node = Node(hostname="w1", interfaces=(), routes=(), namespaces=())
    capture = Capture(version="", taken_at="T", settings=settings, node=node, processes=Processes(), before=Firewall())
    fixing = Fixing(FakeHost(capture, fixed={TRIAL.id: TRIAL}), settings, clock, look, lambda *_: None)
    ended = publish(settings, Diagnoses(look, analyse, clock), fixing, clock, Failures())
    try:
        yield fixing
    finally:
        ended.set()


@pytest.fixture
def published(api):
    with publishing() as fixing:
        yield fixing


def until(api, holds):
    with api.changed:
        assert api.changed.wait_for(lambda: holds(api), 30), (api.events, api.asked)


def test_a_fix_is_told_step_by_step(api, published):
    until(api, lambda api: len(api.events) == 1)
    published.confirm(TRIAL.id, "root")
    until(api, lambda api: len(api.events) == 2)
    published.revert(TRIAL.id, "root")
    until(api, lambda api: len(api.events) == 3)
    assert [event["reason"] for event in api.events.values()] == ["FixApplied", "FixConfirmed", "FixReverted"]
    first = api.events[f"w1.fix-{TRIAL.id}.applied"]
    assert (first["type"], first["involvedObject"]["kind"], first["involvedObject"]["name"]) == ("Normal", "Node", "w1")
    assert "10.244.4.0/24 to 172.31.16.124:10250" in first["message"]


def test_an_event_that_is_there_already_is_told(api, published):
    until(api, lambda api: len(api.events) == 1)
    published.told(TRIAL)
    published.confirm(TRIAL.id, "root")
    until(api, lambda api: len(api.events) == 2)
    assert api.asked == 2


def test_after_a_restart_a_conflict_is_as_good_as_told(api, published):
    until(api, lambda api: len(api.events) == 1)
    with publishing() as again:
        until(api, lambda api: api.asked == 2)
        again.confirm(TRIAL.id, "root")
        until(api, lambda api: len(api.events) == 2)
    assert api.asked == 3


def test_an_api_that_hangs_holds_up_no_fix(api, published):
    api.release.clear()
    assert published.confirm(TRIAL.id, "root").state is FixState.CONFIRMED
    assert published.revert(TRIAL.id, "root").state is FixState.REVERTED
    assert not api.events
    api.release.set()
    until(api, lambda api: "FixReverted" in [event["reason"] for event in api.events.values()])


def test_an_api_that_refuses_hears_it_later(api, published):
    until(api, lambda api: len(api.events) == 1)
    api.status = 503
    published.revert(TRIAL.id, "root")
    until(api, lambda api: api.asked >= 2)
    api.status = 0
    until(api, lambda api: len(api.events) == 2)
