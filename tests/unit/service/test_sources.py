"""A network as the source of a question."""

from ipaddress import ip_network

import pytest

from agent.analysis.path.explain import Way
from agent.model.explanation import Verdict
from agent.service.clock import SystemClock
from agent.service.explaining import explain_live
from agent.service.fake import FakeHost
from agent.service.question import BadQuestionError, Question
from agent.service.sources import split_sources

QUESTION = Question(src="10.244.4.0/24", dst="172.31.16.124", in_="cni0", dport="10250")


def test_a_network_is_told_by_its_slash():
    single, network = split_sources(QUESTION)
    assert (single.src, network) == ("10.244.4.0", ip_network("10.244.4.0/24"))
    assert split_sources(single) == (single, None)


@pytest.mark.parametrize("src", ["10.244.4.1/24", "10.244.4.0/33", "pods/24", "/"])
def test_what_is_no_network_is_refused(src):
    with pytest.raises(BadQuestionError, match="is no network: write one such as") as refusal:
        split_sources(Question(src=src, dst="172.31.16.124"))
    assert refusal.value.name == "src"


@pytest.mark.parametrize("more", [{"way": Way.FORWARD}, {"what_if": "INPUT 1 -j ACCEPT"}])
def test_only_the_way_to_this_node_is_walked_for_a_network(capture, more):
    host = FakeHost(capture)
    with pytest.raises(BadQuestionError, match="give one address"):
        explain_live(host, QUESTION, SystemClock(), **more)
    assert host.calls == []


def test_a_live_network_is_walked_and_not_tried(capture):
    host = FakeHost(capture)
    found = explain_live(host, QUESTION, SystemClock(), twin=True)
    assert (found.verdict, found.packet["src"]) == (Verdict.REJECT, "10.244.4.0/24")
    assert [part.src for part in found.partition] == ["10.244.4.0/24"]
    assert "twin" not in host.calls
