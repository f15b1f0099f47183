"""The order of a look, and what becomes of things that cannot be had."""

from dataclasses import replace

import pytest

from agent.model.phantom import Phantom
from agent.model.probe import Outcome, Vantage
from agent.model.settings import Settings
from agent.model.trace import DeepTrace, TraceRequest
from agent.model.twin import TwinResult, TwinVerdict
from agent.service.clock import SystemClock
from agent.service.collect import collect, probe_only
from agent.service.fake import FakeHost
from agent.service.host import BrokerGone, HostError, NamespaceGone
from agent.service.senses import Senses

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
    assert sorted(order[3:]) == ["probe host", "probe peer", "probe peer"]
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


class DyingPod(FakeHost):
    """A host whose pod is there once."""

    def socket(self, namespace, version):
        sock = super().socket(namespace, version)
        if namespace and self.calls.count(f"socket {namespace}") > 1:
            sock.close()
            raise NamespaceGone(f"namespace {namespace} is gone")
        return sock


def alone(capture):
    """Without another node, to which the same pod would connect meanwhile."""
    return replace(capture, node=replace(capture.node, routes=()), settings=Settings())


def test_a_pod_that_died_under_its_probe_is_gone_whatever_the_connect_met(capture):
    pod, *_ = probe_only(DyingPod(alone(capture)), Settings(), CLOCK, Senses(FakeHost(capture).probe, lambda _: None))[0]
    assert (pod.outcome, pod.errno) == (Outcome.POD_GONE, "EHOSTUNREACH")
    assert "during the probe" in pod.detail


def test_a_second_question_that_is_refused_leaves_the_first_answer(capture):
    class Stingy(DyingPod):
        def socket(self, namespace, version):
            try:
                return super().socket(namespace, version)
            except NamespaceGone as error:
                raise HostError("too many open files") from error

    pod, *_ = probe_only(Stingy(alone(capture)), Settings(), CLOCK, Senses(FakeHost(capture).probe, lambda _: None))[0]
    assert pod.outcome is Outcome.HOST_PROHIBITED


def test_neighbours_are_knocked_at_one_after_the_other(capture):
    paused = []
    settings = Settings(peers=tuple(f"172.31.22.{number}" for number in range(1, 15)))
    host = FakeHost(capture)
    taken = collect(host, settings, CLOCK, None, Senses(host.probe, host.node_object, pause=paused.append))
    assert len([result for result in taken.probes if result.request.vantage is Vantage.PEER]) == 20
    assert sorted(set(paused)) == sorted({result.request.after for result in taken.probes} - {0.0})


PHANTOM = Phantom(namespace=4026532001, address="10.244.4.138", how="CNI network cbr0 (bridge)")


def haunted(capture, phantom=PHANTOM):
    """A node without pods, and how it looks with a phantom."""
    bare = replace(capture, node=replace(capture.node, namespaces=()))
    return FakeHost(bare, haunted=replace(capture, phantom=phantom) if phantom.address else replace(bare, phantom=phantom))


def look_for_phantom(host, **settings):
    given = Settings(pod_cidrs=("10.244.4.0/24",), **settings)
    return collect(host, given, CLOCK, None, Senses(host.probe, host.node_object))


def test_a_phantom_is_there_before_the_first_reading_and_gone_at_the_end(capture):
    host = haunted(capture)
    taken = look_for_phantom(host, phantom=True)
    assert taken.phantom == PHANTOM
    assert by_vantage(taken.probes)[Vantage.POD].outcome is Outcome.HOST_PROHIBITED
    made, ended = host.calls.index("phantom 10.244.4.0/24"), host.calls.index("end_phantom")
    probed = host.calls.index("probe pod")
    assert made < probed < ended
    assert "firewall" in [call.split()[0] for call in host.calls[made:probed]] or "survey" in host.calls[made:probed]


def test_no_phantom_without_being_asked_nor_where_there_is_a_pod(capture):
    host = haunted(capture)
    assert look_for_phantom(host).phantom is None
    crowded = FakeHost(capture)
    assert look_for_phantom(crowded, phantom=True).phantom is None
    assert not {"phantom 10.244.4.0/24", "end_phantom"} & {*host.calls, *crowded.calls}


def test_a_phantom_that_could_not_be_made_is_a_problem(capture):
    host = haunted(capture, Phantom(problem="no CNI configuration"))
    taken = look_for_phantom(host, phantom=True)
    assert [problem.why for problem in taken.problems if problem.what == "phantom pod"] == ["no CNI configuration"]
    assert [result.request.vantage for result in taken.probes] == [Vantage.HOST]


def test_a_look_that_breaks_off_ends_its_phantom_all_the_same(capture):
    host = haunted(capture)

    def fail(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        collect(host, Settings(pod_cidrs=("10.244.4.0/24",), phantom=True), CLOCK, None, Senses(fail, host.node_object))
    assert "end_phantom" in host.calls


def test_what_of_a_phantom_could_not_be_taken_back_is_a_problem(capture):
    host = haunted(capture)
    host.failures = {"end_phantom": HostError("its CNI network did not take it back")}
    taken = look_for_phantom(host, phantom=True)
    assert "its CNI network did not take it back" in {problem.why for problem in taken.problems}


def test_a_deep_look_traces_the_pod_that_was_judged_and_only_when_asked(capture):
    traced = DeepTrace(request=TraceRequest(namespace=1, source="10.0.0.1", target="10.0.0.2", port=1), sport=7)
    host = FakeHost(replace(capture, deep=traced))
    assert look_for_phantom(host, deep=True).deep == traced
    assert host.calls.index("deep") > host.calls.index("probe pod")
    assert look_for_phantom(FakeHost(replace(capture, deep=traced))).deep is None


def test_a_trace_that_is_refused_says_so(capture):
    taken = look_for_phantom(FakeHost(capture, failures={"deep": HostError("no")}), deep=True)
    assert taken.deep is not None
    assert taken.deep.problem == "no"


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


def test_probing_those_that_are_known_asks_nothing_else(capture):
    host = FakeHost(capture)
    requests = [result.request for result in capture.probes]
    results, problems = probe_only(host, Settings(), CLOCK, Senses(host.probe, host.node_object), requests)
    assert (results, problems) == (capture.probes, ())
    assert not {"node", "processes", "node_object"}.intersection(host.calls)


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
