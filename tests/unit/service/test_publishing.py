"""agent.service.publishing: what is written when, and how little."""

from dataclasses import replace

import pytest

from agent.cluster.connection import ClusterError
from agent.model.reach import Reach, ReachFix
from agent.service.failures import Failures
from agent.service.publishing import FIRST_BACKOFF, LONGEST_BACKOFF, PERIOD, POLL, SPREAD, Publisher

NODE = "worker1"
FINE = Reach(node=NODE, state="reachable", look_time="T1", fingerprint="f")
BLOCKED = Reach(node=NODE, state="blocked", cause="input-reject", look_time="T2", fingerprint="f")


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> str:
        return f"{self.seconds}"

    def monotonic(self) -> float:
        return self.seconds

    def new_id(self) -> str:
        return "id"


class Api:
    """An API server with one object."""

    def __init__(self, stored: Reach | None = None) -> None:
        self.stored, self.calls, self.error = stored, list[str](), None  # type: ignore[var-annotated]
        self.loses_responses = False

    def get(self, node: str) -> Reach | None:
        self._called("get")
        return self.stored

    def create(self, node: str) -> None:
        self._called("create")
        self.stored = Reach(node=node)

    def put_status(self, reach: Reach) -> None:
        self._called("put")
        if self.stored is None:
            raise ClusterError("gone", 404)
        self.stored = replace(reach, requested=self.stored.requested)
        if self.loses_responses:
            raise ClusterError("timed out")

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if self.error:
            raise self.error


class Stage:
    """A publisher with everything around it; `chance` is what its dice always show."""

    def __init__(self, stored: Reach | None = None, answer: Reach | None = FINE, chance: float = 0.5) -> None:
        self.clock, self.api, self.answer, self.told, self.looks = Clock(), Api(stored), answer, list[str](), 0
        self.failures = Failures()
        self.publisher = Publisher(
            NODE,
            self.api,
            tell=lambda reach: self.told.append(reach.state),
            look=self.look,
            clock=self.clock,
            chance=lambda: chance,
            failed=self.failures.note,
        )

    def look(self, fresh: bool) -> Reach | None:
        self.looks += fresh
        return self.answer

    def after(self, seconds: float) -> float:
        self.clock.seconds += seconds
        return self.publisher.step()


def test_nothing_is_asked_before_its_moment_and_then_the_object_is_made_and_written() -> None:
    stage = Stage()
    assert stage.publisher.step() == SPREAD * 0.5
    assert stage.api.calls == []
    stage.after(SPREAD * 0.5)
    assert stage.api.calls == ["get", "create", "put"]
    assert stage.told == ["reachable"]
    assert stage.api.stored is not None
    assert stage.api.stored.transition_time == "T1"


def test_what_fails_is_counted_by_what_it_was_to_do() -> None:
    stage = Stage(FINE)
    stage.api.error = ClusterError("no")
    stage.after(SPREAD)
    stage.after(SPREAD)
    stage.api.error = None
    stage.after(SPREAD)
    assert dict(stage.failures.counts()) == {"read": 2, "write": 0, "event": 0}
    stage.answer, stage.api.error = BLOCKED, ClusterError("no")
    stage.after(1)
    assert dict(stage.failures.counts()) == {"read": 2, "write": 1, "event": 0}


def test_after_a_restart_what_the_cluster_knows_already_waits_for_its_turn() -> None:
    stage = Stage(replace(FINE, transition_time="T0"))
    stage.after(SPREAD)
    assert stage.api.calls == ["get"]
    stage.after(PERIOD * 0.5 - SPREAD)
    assert stage.api.calls.count("put") == 1
    assert stage.looks == 1
    assert stage.told == []
    assert stage.api.stored is not None
    assert stage.api.stored.transition_time == "T0"


def test_in_calm_there_is_one_write_in_five_minutes_and_a_read_a_minute() -> None:
    stage = Stage(FINE)
    for _ in range(3600):
        stage.after(1)
    assert stage.api.calls.count("put") == pytest.approx(3600 / PERIOD, abs=1)
    assert stage.api.calls.count("get") == pytest.approx(3600 / POLL, abs=2)


def test_a_change_is_written_at_once_and_told_once() -> None:
    stage = Stage(FINE)
    stage.after(SPREAD)
    stage.answer = BLOCKED
    stage.after(1)
    stage.after(1)
    assert stage.api.calls == ["get", "put"]
    assert stage.told == ["blocked"]
    assert stage.api.stored is not None
    assert (stage.api.stored.state, stage.api.stored.transition_time) == ("blocked", "T2")


def test_a_transition_whose_write_was_done_but_never_answered_is_told_all_the_same() -> None:
    stage = Stage(stored=FINE)
    stage.after(SPREAD)
    stage.api.loses_responses, stage.answer = True, BLOCKED
    stage.after(1)
    assert stage.publisher.problem == "timed out"
    assert stage.told == []
    stage.api.loses_responses = False
    for _ in range(3):
        stage.after(POLL * 2)
    assert stage.api.stored is not None
    assert stage.api.stored.state == "blocked"
    assert stage.told == ["blocked"]


def test_a_fix_is_news_but_no_transition() -> None:
    stage = Stage(BLOCKED, BLOCKED)
    stage.after(SPREAD)
    stage.answer = replace(BLOCKED, fix=ReachFix(id="x", state="trial"))
    stage.after(1)
    assert stage.api.calls == ["get", "put"]
    assert stage.told == []


def test_a_wish_for_a_new_look_is_carried_out_once_and_answered() -> None:
    stage = Stage(replace(FINE, requested="W1"))
    stage.after(SPREAD)
    assert (stage.looks, stage.api.calls) == (1, ["get", "put"])
    assert stage.api.stored is not None
    assert stage.api.stored.honoured == "W1"
    stage.after(POLL)
    assert (stage.looks, stage.api.calls) == (1, ["get", "put", "get"])


def test_a_wish_whose_look_failed_stays_open() -> None:
    stage = Stage(replace(FINE, requested="W1"), answer=None)
    stage.after(SPREAD)
    assert stage.api.calls == ["get"]
    stage.answer = FINE
    stage.after(POLL * 2)
    assert stage.api.stored is not None
    assert stage.api.stored.honoured == "W1"


@pytest.mark.parametrize("patience", [None, 30.0])
def test_a_server_in_trouble_is_left_alone_for_longer_and_longer(patience: float | None) -> None:
    stage = Stage(FINE, BLOCKED)
    stage.api.error = ClusterError("too many requests", 429, patience)
    waits = []
    for _ in range(12):
        waits.append(stage.after(SPREAD if not waits else waits[-1]))
        assert stage.publisher.problem == "too many requests"
    assert stage.api.calls == ["get"] * 12
    assert waits[0] == pytest.approx((patience or 0) + FIRST_BACKOFF / 2)
    assert waits[-1] == pytest.approx((patience or 0) + LONGEST_BACKOFF / 2)
    stage.api.error = None
    stage.after(waits[-1])
    assert stage.told == ["blocked"]
    assert stage.publisher.problem == ""


def test_nothing_is_sent_while_a_server_asked_for_patience() -> None:
    stage = Stage(FINE)
    stage.after(SPREAD)
    stage.answer, stage.api.error = BLOCKED, ClusterError("busy", 429, 60)
    stage.after(1)
    stage.api.error = None
    for _ in range(59):
        stage.after(1)
    assert stage.api.calls == ["get", "put"]
    stage.after(5)
    assert stage.told == ["blocked"]


def test_an_object_that_somebody_deleted_is_made_again() -> None:
    stage = Stage(FINE)
    stage.after(SPREAD)
    stage.api.stored, stage.answer = None, BLOCKED
    stage.after(1)
    stage.after(LONGEST_BACKOFF)
    assert stage.api.calls == ["get", "put", "get", "create", "put"]


def test_a_node_that_could_not_look_writes_nothing() -> None:
    stage = Stage(FINE, answer=None)
    for _ in range(600):
        stage.after(1)
    assert "put" not in stage.api.calls
    assert stage.looks <= 600 / PERIOD + 1
