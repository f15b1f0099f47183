"""agent.service.connecting: who waits for whom while a connect is silent, and what was read around it."""

from dataclasses import replace
from threading import Event

import pytest

from agent.host.probe import pod_gone
from agent.model.capture import Capture
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.settings import Settings
from agent.service.clock import SystemClock
from agent.service.collect import collect
from agent.service.connecting import _SMALL
from agent.service.fake import FakeHost
from agent.service.senses import Senses

# For whoever waits for something that must come about.
PATIENCE = 10.0


class Silent(FakeHost):
    """A node on which the pod's connect waits until the host's has begun, and then still has no answer."""

    def begin(self, outcome: Outcome = Outcome.TIMEOUT, *, patience: float = PATIENCE) -> "Silent":
        self.others, self.outcome, self.patience = Event(), outcome, patience
        return self

    def probe(self, request: ProbeRequest, sock: object, settings: Settings) -> ProbeResult:
        found = super().probe(request, sock, settings)  # type: ignore[arg-type]
        if request.vantage is Vantage.HOST:
            self.others.set()
        if request.vantage is not Vantage.POD or request.target != self.capture.probes[0].request.target:
            return found
        self.overlapped = self.others.wait(self.patience)
        if self.outcome is Outcome.POD_GONE:
            return pod_gone(request)
        return replace(found, outcome=self.outcome, icmp=None, errno="ETIMEDOUT", offender="")


def look(host: Silent) -> Capture:
    return collect(host, Settings(), SystemClock(), None, Senses(host.probe, host.node_object))


def test_a_silent_connect_keeps_nobody_waiting_once_its_rule_has_counted_it(capture: Capture) -> None:
    host = Silent(capture).begin()
    taken = look(host)
    assert host.overlapped
    assert taken.between == capture.between
    assert taken.probes[0].outcome is Outcome.TIMEOUT
    assert [result.request for result in taken.probes] == [result.request for result in capture.probes]
    assert host.calls.count("probe pod") == len([each for each in capture.probes if each.request.vantage is Vantage.POD])
    order = [call.partition(" ")[0] for call in host.calls if call.startswith(("counters", "probe host", "firewall"))]
    assert order == ["firewall", "counters", "firewall", "counters", "probe"]


def without_the_count(capture: Capture) -> Capture:
    return replace(capture, between=capture.before)


def huge(capture: Capture) -> Capture:
    (reading,) = capture.before.readings
    long = replace(capture.before, readings=(replace(reading, stdout=reading.stdout + "#" * _SMALL),))
    return replace(capture, before=long, between=long)


@pytest.mark.parametrize(("change", "readings"), [(without_the_count, 3), (huge, 2)])
def test_a_silent_connect_that_nothing_explains_is_waited_for(capture: Capture, change, readings: int) -> None:
    host = Silent(change(capture)).begin(patience=0.15)
    taken = look(host)
    assert not host.overlapped
    calls = [call for call in host.calls if call.startswith(("probe host", "firewall"))]
    assert calls == [*["firewall"] * readings, "probe host"]
    assert taken.between is not None
    assert len(taken.counters) == 2


def test_a_pod_that_went_away_while_nobody_waited_has_proved_nothing(capture: Capture) -> None:
    host = Silent(capture).begin(Outcome.POD_GONE)
    taken = look(host)
    assert host.overlapped
    assert (taken.between, taken.counters) == (None, ())
    assert Outcome.POD_GONE in {result.outcome for result in taken.probes}
