"""Runs one at a time, shares the one under way, and remembers trouble longer than calm."""

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from agent.model.capture import Stage
from agent.model.report import Report, State
from agent.model.settings import Extras
from agent.service.diagnoses import KEPT, Diagnoses, Progress
from agent.service.host import HostError


class StandingClock:
    """A clock that moves when told to."""

    def __init__(self):
        self.time, self.ids = 100.0, iter(range(10_000))

    def now(self):
        return "2026-01-31T12:00:00.000Z"

    def monotonic(self):
        return self.time

    def new_id(self):
        return f"id{next(self.ids)}"


def report(state=State.REACHABLE):
    return Report(node="n", state=state, summary="s", taken_at="2026-01-31T12:00:00Z", version="0")


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def run_with(capture, clock):
    made = []

    def make(look=lambda: capture, analyse=lambda _: report()):
        made.append(Diagnoses(lambda _: look(), analyse, clock))
        return made[-1]

    yield make
    for diagnoses in made:
        diagnoses.close()


def test_a_run_is_done_with_its_report_and_capture(run_with, capture):
    diagnoses = run_with()
    done = diagnoses.run()
    assert (done.progress, done.report, done.error) == (Progress.DONE, report(), "")
    assert diagnoses.latest() == done == diagnoses.get(done.id)
    assert diagnoses.capture() is capture
    assert diagnoses.counts() == {"done": 1, "failed": 0}


def test_who_asks_during_a_run_gets_that_run(run_with, capture):
    begun, go = Event(), Event()

    def slow():
        begun.set()
        assert go.wait(5)
        return capture

    diagnoses = run_with(slow)
    with ThreadPoolExecutor(3) as people:
        first = people.submit(diagnoses.run)
        assert begun.wait(5)
        others = [people.submit(diagnoses.run) for _ in range(2)]
        assert diagnoses.start().progress is Progress.RUNNING
        go.set()
        assert {other.result(5).id for other in others} == {first.result(5).id}
    assert len(diagnoses.all()) == 1


def test_a_young_report_is_given_again_and_an_old_one_is_not(run_with, clock):
    diagnoses = run_with()
    first = diagnoses.recent()
    clock.time += 9.9
    assert diagnoses.recent().id == first.id
    clock.time += 0.2
    assert diagnoses.recent().id != first.id


def test_a_host_that_refuses_fails_the_run_with_its_sentence(run_with):
    def refuse():
        raise HostError("the broker ended")

    diagnoses = run_with(refuse)
    failed = diagnoses.run()
    assert (failed.progress, failed.error, failed.report) == (Progress.FAILED, "the broker ended", None)
    assert diagnoses.latest() is None
    assert diagnoses.counts() == {"done": 0, "failed": 1}


def test_a_bug_fails_the_run_and_leaves_its_trace_in_the_log(run_with, caplog):
    def stumble(_):
        raise KeyError("nobody expected this")

    with caplog.at_level(logging.ERROR):
        failed = run_with(analyse=stumble).run()
    assert failed.progress is Progress.FAILED
    assert failed.error.startswith("KeyError: 'nobody expected this'")
    assert caplog.records[0].exc_info


def test_trouble_outlives_calm(run_with):
    states = iter([State.BLOCKED, *[State.REACHABLE] * (KEPT + 20)])
    diagnoses = run_with(analyse=lambda _: report(next(states)))
    for _ in range(KEPT + 20):
        diagnoses.run()
    kept = diagnoses.all()
    assert len(kept) == KEPT
    assert kept[-1].report.state is State.BLOCKED
    assert kept[0].id == f"id{KEPT + 19}"


def test_calm_does_not_vanish_before_it_is_seen(run_with):
    states = iter([*[State.BLOCKED] * KEPT, State.REACHABLE, State.BLOCKED])
    diagnoses = run_with(analyse=lambda _: report(next(states)))
    for _ in range(KEPT + 1):
        last = diagnoses.run()
    assert diagnoses.get(last.id) == last
    assert len(diagnoses.all()) == KEPT


def test_each_stage_is_kept_as_it_ends(run_with, capture):
    begun, go = Event(), Event()

    def look():
        diagnoses.hear(Stage(name="node", seconds=0.1))
        begun.set()
        assert go.wait(5)
        diagnoses.hear(Stage(name="total", seconds=0.2))
        return capture

    diagnoses = run_with(look)
    running = diagnoses.start()
    assert begun.wait(5)
    assert [stage.name for stage in diagnoses.get(running.id).stages] == ["node"]
    go.set()
    diagnoses.close()
    assert [stage.name for stage in diagnoses.get(running.id).stages] == ["node", "total"]


def test_a_stage_belongs_to_the_look_that_runs_and_not_to_one_that_waits(run_with, capture):
    begun, go = Event(), Event()

    def look():
        if not go.is_set():
            begun.set()
            assert go.wait(5)
            diagnoses.hear(Stage(name="total", seconds=0.2))
        return capture

    diagnoses = run_with(look)
    old = diagnoses.start()
    assert begun.wait(5)
    diagnoses.outdate()
    new = diagnoses.start()
    go.set()
    diagnoses.close()
    assert [len(diagnoses.get(item.id).stages) for item in (old, new)] == [1, 0]


def test_a_stage_of_nobody_is_passed_over(run_with):
    diagnoses = run_with()
    diagnoses.hear(Stage(name="node", seconds=0.1))
    done = diagnoses.run()
    diagnoses.hear(Stage(name="late", seconds=0.1))
    assert diagnoses.get(done.id).stages == ()


def test_extras_are_got_by_who_asks_for_them_and_shared_with_who_asks_for_no_more(capture, clock):
    started, go, seen = Event(), Event(), []

    def look(extras):
        started.set()
        assert go.wait(5)
        seen.append(extras)
        return capture

    diagnoses = Diagnoses(look, lambda _: report(), clock)
    try:
        plain = diagnoses.start()
        assert started.wait(5)
        deep = diagnoses.start(Extras(deep=True))
        assert deep.id != plain.id, "a plain look under way is not what was asked for"
        assert diagnoses.start().id == plain.id
        assert diagnoses.start(Extras(deep=True)).id == deep.id, "a hundred askers make one look"
        go.set()
        diagnoses.run(Extras(phantom=True))
        assert seen == [Extras(), Extras(deep=True), Extras(phantom=True)]
    finally:
        go.set()
        diagnoses.close()


def test_what_waits_is_not_forgotten(run_with):
    begun, go = Event(), Event()
    diagnoses = run_with(lambda: begun.set() or go.wait(5))
    first = diagnoses.start()
    assert begun.wait(5)
    for _ in range(KEPT + 1):
        diagnoses.outdate()
        last = diagnoses.start()
    assert diagnoses.get(first.id).progress is Progress.RUNNING
    assert diagnoses.get(last.id).progress is Progress.QUEUED
    go.set()
