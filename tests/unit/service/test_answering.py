"""agent.service.answering: the latest answer, a fresh one where asked for, and no storm of looks where they fail."""

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.host.errors import HostError
from agent.model.capture import Capture
from agent.model.fix import Fix, FixState
from agent.model.plan import Flow, Place
from agent.service.answering import PAUSE, Answering
from agent.service.clock import SystemClock
from agent.service.diagnoses import Diagnoses

FIX = Fix(
    id="0123456789ab",
    state=FixState.APPLIED,
    flow=Flow(source="10.244.4.0/24", destination="172.31.16.124", port=10250),
    place=Place(backend="legacy", chain="INPUT", before="-A INPUT -j REJECT"),
    rule="-s 10.244.4.0/24 -j ACCEPT",
    ends_at="2026-01-31T13:00:00Z",
)


class Clock(SystemClock):
    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Stage:
    """Diagnoses of one capture; `error` makes the looks fail."""

    def __init__(self, capture: Capture) -> None:
        self.clock, self.looks, self.error, self.asked = Clock(), 0, "", 0
        self.capture = capture
        self.diagnoses = Diagnoses(lambda _: self.look(), analyse, self.clock)
        self.answering = Answering("worker1", self.diagnoses, self.newest, self.clock)

    def look(self) -> Capture:
        self.looks += 1
        if self.error:
            raise HostError(self.error)
        return self.capture

    def newest(self) -> Fix | None:
        self.asked += 1
        return FIX


@pytest.fixture
def stage(capture: Capture):
    found = Stage(capture)
    yield found
    found.diagnoses.close()


def test_the_first_question_looks_and_the_next_gives_the_same(stage: Stage) -> None:
    first = stage.answering(False)
    assert first is not None
    assert (first.node, first.state, first.cause) == ("worker1", "blocked", "input-reject")
    assert stage.answering(False) is first
    assert (stage.looks, stage.asked) == (1, 1)


def test_what_a_diagnosis_was_made_of_is_asked_for_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept packed, and whoever publishes comes every second."""
    asked, given = [], stage.diagnoses.capture
    monkeypatch.setattr(stage.diagnoses, "capture", lambda: asked.append(1) or given())
    for fresh in (False, False, True, False):
        stage.answering(fresh)
    assert len(asked) == 2


def test_a_fresh_one_is_a_new_look(stage: Stage) -> None:
    stage.answering(False)
    stage.answering(True)
    assert stage.looks == 2


def test_what_a_fix_has_outdated_is_looked_at_again(stage: Stage) -> None:
    stage.answering(False)
    stage.diagnoses.outdate()
    stage.answering(False)
    assert stage.looks == 2


def test_the_newest_fix_is_told_in_the_objects_words(stage: Stage) -> None:
    found = stage.answering(False)
    assert found is not None
    assert found.fix is not None
    assert (found.fix.id, found.fix.state, found.fix.expiry_time) == (FIX.id, "trial", FIX.ends_at)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_node_that_cannot_be_looked_at_is_left_alone_for_a_while(stage: Stage, fresh: bool) -> None:
    stage.error = "no privilege"
    for _ in range(int(PAUSE)):
        assert stage.answering(fresh) is None
        stage.clock.seconds += 1
    assert stage.looks == 1
    stage.error = ""
    assert stage.answering(fresh) is not None
