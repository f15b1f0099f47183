"""A packet tried live: now, with the twin, without it, and with a rule that is not there yet."""

from dataclasses import replace

import pytest

from agent.model.explanation import Verdict
from agent.model.twin import TwinInsert, TwinReply, TwinResult, TwinVerdict
from agent.service.clock import SystemClock
from agent.service.explaining import explain_live
from agent.service.fake import FakeHost
from agent.service.host import BrokerGone, HostError
from agent.service.question import BadQuestionError, Question

QUESTION = Question(src="10.244.4.138", dst="172.31.16.124", in_="cni0", dport="10250")
TWIN = TwinResult(verdict=TwinVerdict.REJECT, reply=TwinReply.ICMP, icmp=(3, 10))
CLOCK = SystemClock()


class Remembering(FakeHost):
    """A fake that keeps what it was asked to try."""

    def twin(self, request):
        self.asked = request
        return super().twin(request)


@pytest.fixture
def host(capture):
    return Remembering(replace(capture, twin=TWIN))


def test_the_twin_is_asked_only_where_it_is_wanted(host):
    assert explain_live(host, QUESTION, CLOCK).twin is None
    assert "twin" not in host.calls
    assert explain_live(host, QUESTION, CLOCK, twin=True).twin == TWIN
    assert host.asked.insert is None


def test_a_rule_is_tried_in_the_table_of_the_rule_that_decides(host):
    explain_live(host, QUESTION, CLOCK, what_if="INPUT 3 -s 10.244.4.0/24 -m comment --comment 'a b' -j ACCEPT")
    spec = ("-s", "10.244.4.0/24", "-m", "comment", "--comment", "a b", "-j", "ACCEPT")
    assert host.asked.insert == TwinInsert(backend="legacy", table="filter", chain="INPUT", position=3, spec=spec)


@pytest.mark.parametrize("text", ["INPUT", "INPUT x -j ACCEPT", "INPUT 1 'open"])
def test_what_is_no_place_and_rule_is_refused_before_the_node_is_asked(host, text):
    with pytest.raises(BadQuestionError, match="is no place and rule"):
        explain_live(host, QUESTION, CLOCK, what_if=text)
    assert host.calls == []


def test_a_packet_that_the_twin_cannot_send_is_said(host):
    asked = Question(src="10.244.4.138", dst="172.31.16.124", proto="icmp")
    assert "by which interface" in explain_live(host, asked, CLOCK, twin=True).twin.problem


def test_a_broker_that_refuses_is_a_twin_that_says_why(capture):
    host = FakeHost(capture, failures={"twin": HostError("no namespaces here")})
    assert explain_live(host, QUESTION, CLOCK, twin=True).twin.problem == "no namespaces here"
    with pytest.raises(BrokerGone):
        explain_live(FakeHost(capture, failures={"twin": BrokerGone("dead")}), QUESTION, CLOCK, twin=True)


class Noon(SystemClock):
    """At twelve."""

    def now(self):
        return "2026-01-01T12:00:00.400Z"


@pytest.mark.parametrize(
    ("stop", "src", "verdict"),
    [
        ("2026-01-01T12:00:59", "10.244.4.138", Verdict.ACCEPT),
        ("2026-01-01T12:00:59", "10.244.4.0/24", Verdict.ACCEPT),
        ("2026-01-01T12:00:02", "10.244.4.138", Verdict.UNDECIDED),
        ("2026-01-01T11:59:59", "10.244.4.138", Verdict.REJECT),
    ],
    ids=["lasts", "lasts for a network", "ends meanwhile", "over"],
)
def test_a_lease_is_open_until_it_ends(capture, stop, src, verdict):
    """Whoever asks after `fix apply` is told by the rule of the fix, and after its end by the one that was there before."""
    lease = f"-A INPUT -s 10.244.4.0/24 -m time --datestop {stop} -m comment --comment kubereach:0123456789ab -j ACCEPT"
    (reading,) = capture.before.readings
    before, after = reading.stdout.split("[9:540]")
    opened = replace(reading, stdout=f"{before}[0:0] {lease}\n[9:540]{after}")
    host = FakeHost(replace(capture, before=replace(capture.before, readings=(opened,))))
    found = explain_live(host, replace(QUESTION, src=src), Noon())
    assert found.verdict is verdict
    assert verdict is not Verdict.ACCEPT or (found.decided_by and "kubereach:0123456789ab" in found.decided_by.text)
