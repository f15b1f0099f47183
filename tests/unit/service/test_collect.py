"""The order of a look, and what becomes of things that cannot be had."""

from dataclasses import replace

import pytest

from agent.model.probe import Outcome, Vantage
from agent.model.settings import Settings
from agent.model.twin import TwinResult, TwinVerdict
from agent.service.clock import SystemClock
from agent.service.collect import Senses, collect, probe_only
from agent.service.fake import FakeHost
from agent.service.host import BrokerGone, HostError, NamespaceGone

CLOCK = SystemClock()


def look(host, heard=None):
    return collect(host, Settings(), CLOCK, heard, Senses(host.probe, host.node_object))


def by_vantage(results):
    return {result.request.vantage: result for result in results}


def test_the_pods_probe_lies_alone_between_two_readings_of_the_firewall(capture):
    host = FakeHost(capture)
    taken = look(host)
    order = [call for call in host.calls if call == "firewall" or call.startswith("probe")]
    assert order[:3] == ["firewall", "probe pod", "firewall"]
    assert sorted(order[3:]) == ["probe host", "probe peer"]
    assert taken.before == capture.before
    assert taken.between == capture.between
    assert taken.probes == capture.probes


def test_the_capture_holds_what_the_host_said(capture):
    taken = look(FakeHost(capture))
    assert (taken.node, taken.processes, taken.legacy_chain) == (capture.node, capture.processes, capture.legacy_chain)
    assert taken.pod_routes == capture.pod_routes
    assert taken.problems == ()
    assert taken.taken_at.endswith("Z")


def test_every_stage_is_timed_and_told(capture):
    heard = []
    taken = look(FakeHost(capture), heard.append)
    names = {stage.name for stage in taken.stages}
    assert names >= {"node", "processes", "firewall before", "firewall between", "legacy chain", "probe pod", "total"}
    assert heard == list(taken.stages)
    assert all(stage.seconds >= 0 for stage in heard)


def test_a_pod_that_died_is_a_result(capture):
    host = FakeHost(capture, failures={"socket": NamespaceGone("namespace 4026532001 is gone")})
    pod = by_vantage(look(host).probes)[Vantage.POD]
    assert pod.outcome is Outcome.POD_GONE
    assert pod.detail == "namespace 4026532001 is gone"


@pytest.mark.parametrize("operation", ["node", "processes", "firewall", "legacy_chain", "pod_route", "socket"])
def test_what_the_host_refuses_becomes_a_problem_and_the_look_goes_on(capture, operation):
    host = FakeHost(capture, failures={operation: HostError("it may not be read: run as root.")})
    taken = look(host)
    assert "it may not be read: run as root." in {problem.why for problem in taken.problems}


def test_a_firewall_that_cannot_be_read_never_looks_empty(capture):
    taken = look(FakeHost(capture, failures={"firewall": HostError("refused")}))
    assert [problem.why for problem in taken.before.problems] == ["refused"]
    assert taken.between is None


def test_a_socket_that_is_refused_is_a_probe_that_was_not_tried(capture):
    taken = look(FakeHost(capture, failures={"socket": HostError("CAP_SYS_ADMIN is missing")}))
    assert {result.outcome for result in taken.probes} == {Outcome.NOT_TRIED}
    assert {result.detail for result in taken.probes} == {"CAP_SYS_ADMIN is missing"}


def test_a_broker_that_is_gone_ends_the_look(capture):
    with pytest.raises(BrokerGone):
        look(FakeHost(capture, failures={"processes": BrokerGone("it died")}))


def test_without_a_pod_the_host_alone_connects(capture):
    bare = replace(capture, node=replace(capture.node, namespaces=()))
    taken = look(FakeHost(bare))
    assert list(by_vantage(taken.probes)) == [Vantage.HOST]
    assert taken.between is None


def test_probing_alone_reads_no_firewall(capture):
    host = FakeHost(capture)
    results, problems = probe_only(host, Settings(), CLOCK, Senses(host.probe, host.node_object))
    assert results == capture.probes
    assert problems == ()
    assert "firewall" not in host.calls


def test_the_twin_has_the_rules_of_the_first_reading(capture):
    twin = TwinResult(verdict=TwinVerdict.REJECT)
    host = FakeHost(replace(capture, twin=twin))
    taken = look(host)
    assert taken.twin == twin
    assert "twin" in {stage.name for stage in taken.stages}


def test_a_twin_that_is_refused_or_not_wanted_is_no_problem_of_the_look(capture):
    refused = look(FakeHost(capture, failures={"twin": HostError("no namespaces here")}))
    assert (refused.twin, refused.problems) == (TwinResult(problem="no namespaces here"), ())
    host = FakeHost(capture)
    assert collect(host, Settings(twin=False), CLOCK, None, Senses(host.probe, host.node_object)).twin is None
    assert "twin" not in host.calls
    with pytest.raises(BrokerGone):
        look(FakeHost(capture, failures={"twin": BrokerGone("it died")}))


def test_counters_are_read_right_around_the_pods_probe_and_evidence_after_it(capture):
    host = FakeHost(capture)
    taken = look(host)
    order = [
        call.partition(" ")[0] for call in host.calls if call.startswith(("counters", "probe pod", "evidence", "socket 0"))
    ]
    assert order[:3] == ["counters", "probe", "counters"]
    assert "evidence" in order[3:]
    assert len(taken.counters) == 2


@pytest.mark.parametrize("operation", ["counters", "evidence", "pod_firewall"])
def test_evidence_that_is_refused_is_a_problem_and_nothing_more(capture, operation):
    taken = look(FakeHost(capture, failures={operation: HostError("it may not be read.")}))
    assert "it may not be read." in {problem.why for problem in taken.problems}
    assert taken.probes == capture.probes
