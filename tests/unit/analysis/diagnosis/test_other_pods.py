"""agent.analysis.diagnosis.other_pods: pods that fare otherwise than the first one are told of."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import Interface, Namespace, Process, Processes
from agent.model.probe import Outcome, Vantage
from agent.model.report import Severity, State
from tests.unit.analysis.diagnosis.captures import HOST_OPEN, KUBELET_TLS, LISTENER, PROHIBITED, SEED, capture, firewall, probe

OTHER = "10.9.1.9"
OPEN = probe(Vantage.POD, Outcome.OPEN, tls=KUBELET_TLS)
BANNED = SEED.replace(
    "-A INPUT -s 192.0.2.0/24 -j ACCEPT", f"-A INPUT -s {OTHER}/32 -j DROP\n[0:0] -A INPUT -s 10.9.1.0/24 -j ACCEPT"
)


def second(outcome, **parts):
    request = replace(PROHIBITED.request, namespace=43, source=OTHER)
    return replace(probe(Vantage.POD, outcome, **parts), request=request, source=OTHER)


def two_pods(first, other, rules="", **parts):
    seen = capture(firewall(rules.format(hits=0)) if rules else None, pod=first, **parts)
    namespace = Namespace(
        inode=43, path="/run/netns/q", interfaces=(Interface(index=2, name="eth0", addresses=(f"{OTHER}/24",)),)
    )
    node = replace(seen.node, namespaces=(*seen.node.namespaces, namespace))
    return replace(seen, node=node, probes=(*seen.probes, other))


def codes(report):
    return [finding.code for finding in report.findings]


def test_a_pod_that_is_stopped_is_not_hidden_by_one_that_gets_through():
    report = analyse(two_pods(OPEN, second(Outcome.TIMEOUT, errno="ETIMEDOUT"), BANNED))
    assert report.state is State.DEGRADED
    assert codes(report)[:1] == ["pods-differ"]
    message = report.findings[0].message
    assert "Pod 10.9.1.5 gets through, pod 10.9.1.9 does not." in message
    assert f"-s {OTHER}/32 -j DROP" in message, "the rule that stops it is named"
    assert report.findings[0].severity is Severity.WARNING


def test_where_the_rules_do_not_say_why_the_pods_own_side_is_pointed_at():
    accepting = SEED.replace("-s 192.0.2.0/24", "-s 10.9.1.0/24")
    report = analyse(two_pods(OPEN, second(Outcome.NO_ROUTE, errno="ENETUNREACH"), accepting))
    assert "look at its own namespace" in report.findings[0].message


def test_what_is_known_of_the_stopped_pod_itself_is_told_with_it():
    seen = two_pods(OPEN, second(Outcome.RESET, errno="ECONNREFUSED"), SEED.replace("-s 192.0.2.0/24", "-s 10.9.1.0/24"))
    meshed = replace(seen.node.namespaces[-1], nat=("ip nat ISTIO_OUTPUT",))
    report = analyse(replace(seen, node=replace(seen.node, namespaces=(*seen.node.namespaces[:-1], meshed))))
    assert f"{OTHER}: " in report.findings[0].message
    assert "service mesh" in report.findings[0].message
    assert "mesh" not in analyse(seen).findings[0].message


def test_pods_whose_packets_cannot_be_built_are_compared_without_a_rule():
    by_ipv6 = {"target": "2001:db8::1"}
    first = replace(OPEN, source="2001:db8::5", request=replace(OPEN.request, **by_ipv6))
    stopped = second(Outcome.TIMEOUT, errno="ETIMEDOUT")
    other = replace(stopped, source="2001:db8::9", request=replace(stopped.request, **by_ipv6))
    report = analyse(two_pods(first, other, BANNED))
    assert report.explanation is None
    assert codes(report) == ["pods-differ"]
    assert "The node's rules alone do not say why" in report.findings[0].message


def test_the_cause_is_judged_on_the_first_pod_and_the_state_tells_that_another_gets_through():
    report = analyse(two_pods(PROHIBITED, second(Outcome.OPEN, tls=KUBELET_TLS)))
    assert report.cause is not None
    assert report.cause.code == "input-reject"
    assert "pods-differ" in codes(report)
    assert report.state is State.DEGRADED
    assert report.summary.startswith("Some pods reach 192.0.2.10:10250 (10.9.1.9), pod 10.9.1.5 does not")


def test_where_the_scrapes_own_pod_is_stopped_the_node_is_blocked():
    processes = Processes(processes=(Process(pid=9, name="metrics-server", namespace=42),), listeners=(LISTENER,))
    report = analyse(two_pods(PROHIBITED, second(Outcome.OPEN, tls=KUBELET_TLS), processes=processes))
    assert report.state is State.BLOCKED
    assert "metrics-server (10.9.1.5) does not" in report.summary


def test_an_opening_for_one_pod_is_the_story_and_the_other_pods_connect_its_evidence():
    rules = SEED.replace("-s 192.0.2.0/24", "-s 10.9.1.5/32")
    report = analyse(two_pods(OPEN, second(Outcome.HOST_PROHIBITED, errno="EHOSTUNREACH", icmp=(3, 10)), rules))
    assert report.cause is not None
    assert report.cause.code == "accept-dies-with-pod"
    assert "pods-differ" not in codes(report)
    told = [evidence.text for evidence in report.cause.evidence if evidence.witness == "other pods"]
    assert told == ["connect from 10.9.1.9: host-prohibited (EHOSTUNREACH, ICMP 3/10)"]


@pytest.mark.parametrize("outcome", [Outcome.POD_GONE, Outcome.NOT_TRIED, Outcome.HOST_PROHIBITED])
def test_pods_that_fare_alike_or_were_not_tried_change_nothing(outcome):
    report = analyse(two_pods(PROHIBITED, second(outcome)))
    assert report.state is State.BLOCKED
    assert "pods-differ" not in codes(report)


def test_where_the_first_pod_is_gone_the_next_that_was_tried_is_judged():
    report = analyse(
        two_pods(probe(Vantage.POD, Outcome.POD_GONE), second(Outcome.HOST_PROHIBITED, errno="EHOSTUNREACH", icmp=(3, 10)))
    )
    assert report.state is State.BLOCKED
    assert report.explanation is not None
    assert report.explanation.packet["src"] == OTHER


def test_of_several_connects_of_a_kind_the_first_counts():
    peer = replace(
        HOST_OPEN, request=replace(HOST_OPEN.request, vantage=Vantage.PEER, target="192.0.2.11"), outcome=Outcome.TIMEOUT
    )
    seen = capture()
    report = analyse(replace(seen, probes=(*seen.probes, peer)))
    assert "The same pod reaches the other node" in report.why_only_this_node
