"""The life of a fix for a caller, on a host in memory."""

from dataclasses import replace

import pytest

from agent.model.capture import Interface, Namespace
from agent.model.fix import FixState
from agent.model.plan import Ground
from agent.model.probe import Outcome, ProbeResult
from agent.model.settings import Settings
from agent.model.twin import TwinReply, TwinResult, TwinRule, TwinVerdict
from agent.service.clock import SystemClock
from agent.service.fake import FakeHost
from agent.service.fixes import Fixing
from agent.service.host import FixRefused

RULES = (
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A INPUT -s 172.31.16.0/20 -j ACCEPT",
    "-A INPUT -j REJECT --reject-with icmp-host-prohibited",
)
BLOCKED = TwinResult(
    verdict=TwinVerdict.REJECT,
    reply=TwinReply.ICMP,
    icmp=(3, 10),
    rules=(TwinRule(backend="legacy", family="ip", table="filter", chain="INPUT", rule_number=3),),
)
OPEN = TwinResult(verdict=TwinVerdict.ACCEPT, reply=TwinReply.SYN_ACK)


@pytest.fixture
def host(capture):
    capture = replace(capture, twin=BLOCKED, between=capture.between)
    lines = tuple(f"legacy filter: {rule}" for rule in RULES)
    return FakeHost(capture, grounded=Ground(digest="d", lines=lines, rules=RULES, policy="ACCEPT"), after=OPEN)


@pytest.fixture
def fixing(host):
    return build(host, Outcome.OPEN)


def build(host, outcome):
    def probe(request, sock, settings):
        return ProbeResult(request=request, outcome=outcome)

    settings = Settings(pod_cidrs=("10.244.4.0/24",))
    capture = replace(host.capture, settings=settings)
    return Fixing(host, settings, SystemClock(), lambda: capture, probe)


def test_a_plan_has_the_rule_before_the_one_that_blocks_and_changes_nothing(fixing, host):
    plan = fixing.plan()
    assert plan.place.before == RULES[2]
    assert (plan.position, plan.flow.source, plan.flow.port) == (3, "10.244.4.0/24", 10250)
    assert plan.rule.startswith("-I INPUT 3 -s 10.244.4.0/24 -d 172.31.16.124/32 -p tcp -m tcp --dport 10250")
    assert (plan.before.model, plan.after.model, plan.after.twin) == ("REJECT", "ACCEPT", "ACCEPT")
    assert (plan.blast_radius.tried, plan.blast_radius.changed) == (200, ())
    assert {name.split()[0] for name in plan.persistent} == {
        "iptables-services",
        "netfilter-persistent",
        "firewalld",
        "ufw",
        "nftables",
    }
    assert not [call for call in host.calls if call == "apply"]


def test_a_finding_that_the_twin_does_not_back_has_no_plan(host):
    host.capture = replace(host.capture, twin=TwinResult(problem="no twin"))
    with pytest.raises(FixRefused, match="not proven"):
        build(host, Outcome.OPEN).plan()


def test_an_accept_that_does_not_help_in_the_twin_has_no_plan(host):
    host.after = BLOCKED
    with pytest.raises(FixRefused, match="could not be shown in the twin"):
        build(host, Outcome.OPEN).plan()


def test_a_rule_that_changed_since_it_was_analysed_has_no_plan(host):
    host.grounded = replace(host.grounded, rules=RULES[1:])
    with pytest.raises(FixRefused, match="changed while"):
        build(host, Outcome.OPEN).plan()


def test_a_fix_that_a_connect_gets_through_is_on_trial(fixing):
    assert fixing.apply(fixing.plan(), "me").state is FixState.TRIAL


def test_the_same_again_is_the_same_fix(fixing):
    plan = fixing.plan()
    first, second = fixing.apply(plan, "me"), fixing.apply(fixing.plan(), "you")
    assert (second.id, second.known) == (first.id, True)


def test_a_fix_that_does_not_help_is_taken_out_and_says_who_stops_it_now(host):
    fixing = build(host, Outcome.TIMEOUT)
    plan = fixing.plan()
    with pytest.raises(FixRefused, match=r"taken out again.*timeout.*rule 3 of filter INPUT"):
        fixing.apply(plan, "me")
    assert host.fixed[plan.id].state is FixState.REVERTED


def beside(host, *texts):
    """The node with a namespace more, which stands before the pods' and has these addresses."""
    node = host.capture.node
    more = Namespace(inode=1, path="/proc/9/ns/net", interfaces=(Interface(index=2, name="cni0", addresses=texts),))
    host.capture = replace(host.capture, node=replace(node, namespaces=(more, *node.namespaces)))


def asked_from(host, outcomes):
    """A fixing whose connects end as told, by source."""
    fixing, asked = build(host, Outcome.OPEN), []

    def probe(request, sock, settings):
        asked.append(request.source)
        return ProbeResult(request=request, outcome=outcomes.get(request.source, Outcome.OPEN))

    fixing.probe = probe
    return fixing, asked


def test_a_namespace_with_an_address_of_the_nodes_own_is_no_pod(host):
    own = next(text for link in host.capture.node.interfaces for text in link.addresses if text.startswith("10.244.4."))
    beside(host, own)
    fixing, asked = asked_from(host, {})
    fixing.apply(fixing.plan(), "me")
    assert own.split("/")[0] not in asked
    assert len(asked) == 1


def test_a_pod_whose_own_routes_refuse_says_nothing_of_the_fix(host):
    beside(host, "10.244.4.99/24")
    fixing, asked = asked_from(host, {"10.244.4.99": Outcome.NO_ROUTE})
    assert fixing.apply(fixing.plan(), "me").state is FixState.TRIAL
    assert asked[0] == "10.244.4.99"
    assert len(asked) == 2


def test_where_every_pods_own_routes_refuse_nothing_is_verified(host):
    fixing = build(host, Outcome.BLACKHOLE)
    with pytest.raises(FixRefused, match=r"taken out again, because the connect from a pod met blackhole"):
        fixing.apply(fixing.plan(), "me")


def test_a_change_since_the_plan_is_told_line_by_line(fixing, host):
    plan = fixing.plan()
    host.failures = {"apply": FixRefused("changed", "The rules changed.")}
    host.grounded = replace(host.grounded, lines=("legacy filter: -A INPUT -j DROP",))
    with pytest.raises(FixRefused) as refusal:
        fixing.apply(plan, "me")
    assert "+legacy filter: -A INPUT -j DROP" in refusal.value.difference


def test_whoever_holds_a_report_hears_that_the_rules_are_others(fixing):
    heard = []
    fixing.changed = lambda: heard.append(1)
    fixing.apply(fixing.plan(), "me")
    assert heard
