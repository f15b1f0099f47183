"""A packet tried live: with the twin, without it, and with a rule that is not there yet."""

import pytest

from agent.model.twin import TwinInsert, TwinReply, TwinResult, TwinVerdict
from agent.service.explaining import explain_live
from agent.service.fake import FakeHost
from agent.service.host import BrokerGone, HostError
from agent.service.question import BadQuestionError, Question

QUESTION = Question(src="10.244.4.138", dst="172.31.16.124", in_="cni0", dport="10250")
TWIN = TwinResult(verdict=TwinVerdict.REJECT, reply=TwinReply.ICMP, icmp=(3, 10))


class Remembering(FakeHost):
    """A fake that keeps what it was asked to try."""

    def twin(self, request):
        self.asked = request
        return super().twin(request)


@pytest.fixture
def host(capture):
    from dataclasses import replace

    return Remembering(replace(capture, twin=TWIN))


def test_the_twin_is_asked_only_where_it_is_wanted(host):
    assert explain_live(host, QUESTION).twin is None
    assert "twin" not in host.calls
    assert explain_live(host, QUESTION, twin=True).twin == TWIN
    assert host.asked.insert is None


def test_a_rule_is_tried_in_the_table_of_the_rule_that_decides(host):
    explain_live(host, QUESTION, what_if="INPUT 3 -s 10.244.4.0/24 -m comment --comment 'a b' -j ACCEPT")
    spec = ("-s", "10.244.4.0/24", "-m", "comment", "--comment", "a b", "-j", "ACCEPT")
    assert host.asked.insert == TwinInsert(backend="legacy", table="filter", chain="INPUT", position=3, spec=spec)


@pytest.mark.parametrize("text", ["INPUT", "INPUT x -j ACCEPT", "INPUT 1 'open"])
def test_what_is_no_place_and_rule_is_refused_before_the_node_is_asked(host, text):
    with pytest.raises(BadQuestionError, match="is no place and rule"):
        explain_live(host, QUESTION, what_if=text)
    assert host.calls == []


def test_a_packet_that_the_twin_cannot_send_is_said(host):
    asked = Question(src="10.244.4.138", dst="172.31.16.124", proto="icmp")
    assert "by which interface" in explain_live(host, asked, twin=True).twin.problem


def test_a_broker_that_refuses_is_a_twin_that_says_why(capture):
    host = FakeHost(capture, failures={"twin": HostError("no namespaces here")})
    assert explain_live(host, QUESTION, twin=True).twin.problem == "no namespaces here"
    with pytest.raises(BrokerGone):
        explain_live(FakeHost(capture, failures={"twin": BrokerGone("dead")}), QUESTION, twin=True)
