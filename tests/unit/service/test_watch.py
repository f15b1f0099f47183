"""The watch: a connect at each turn, a diagnosis when it met something new."""

from dataclasses import replace

import pytest

from agent.model.probe import Outcome
from agent.service.clock import SystemClock
from agent.service.diagnoses import Diagnoses
from agent.service.host import BrokerGone
from agent.service.watch import Watch
from tests.api.conftest import REPORT


@pytest.fixture
def looks(capture):
    """What the watch's connects meet, and how many diagnoses there were."""
    looked = []

    def look():
        looked.append(1)
        return capture

    diagnoses = Diagnoses(lambda _: look(), lambda _: REPORT, SystemClock())
    met = {"probes": capture.probes}

    def probe():
        if isinstance(met["probes"], Exception):
            raise met["probes"]
        return met["probes"]

    yield Watch(diagnoses, probe, 300.0), met, looked, diagnoses
    diagnoses.close()


def test_a_diagnosis_at_first_and_then_only_when_something_changed(looks):
    watch, met, looked, _ = looks
    assert [watch.look(), watch.look(), watch.look()] == [True, False, False]
    met["probes"] = tuple(replace(result, outcome=Outcome.OPEN) for result in met["probes"])
    assert [watch.look(), watch.look()] == [True, False]
    assert len(looked) == 2


def test_how_long_a_connect_took_is_no_change(looks):
    watch, met, _, _ = looks
    watch.look()
    met["probes"] = tuple(replace(result, seconds=1.0, sport=1) for result in met["probes"])
    assert not watch.look()


def test_a_look_that_fails_does_not_end_the_watch(looks):
    watch, met, _, _ = looks
    fine, met["probes"] = met["probes"], BrokerGone("gone")
    assert not watch.look()
    met["probes"] = fine
    assert watch.look()


def test_it_looks_until_it_is_closed(looks):
    _, met, looked, diagnoses = looks
    watch = Watch(diagnoses, lambda: met["probes"], 0.001, lambda: 0.5)
    watch.start()
    while not looked:
        pass
    watch.close()
    assert not watch._thread.is_alive()
