"""agent.analysis.diagnosis.reach: the report as the cluster keeps it, and the name of a set of rules."""

from dataclasses import replace

from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.diagnosis.identify import identify
from agent.analysis.diagnosis.reach import fingerprint, reach_of
from agent.analysis.readers.read import read_firewall
from agent.model.reach import ReachFix
from agent.model.ruleset import Ruleset

from .captures import NODE_IP, SEED, capture, firewall


def print_of(text: str, *own: str) -> str:
    return fingerprint(read_firewall(firewall(text)), own)


def test_the_seed_incident_is_short_and_whole() -> None:
    seen = capture()
    identity = identify(seen.node, seen.processes, seen.node_object, seen.settings)
    found = reach_of("worker1", analyse(seen), identity, "abc", ReachFix(id="f", state="trial"))
    assert (found.node, found.state, found.cause, found.fingerprint) == ("worker1", "blocked", "input-reject", "abc")
    assert found.fix == ReachFix(id="f", state="trial")
    assert found.rule is not None
    assert (found.rule.place, found.rule.number) == ("rule 5 of filter INPUT (iptables-legacy)", 5)
    assert found.rule.text == "-A INPUT -j REJECT --reject-with icmp-host-prohibited"
    assert (found.vantages[0].vantage, found.vantages[0].outcome) == ("pod", "host-prohibited")
    assert found.findings[0].code == "input-reject"
    assert found.node_addresses == (NODE_IP,)
    assert found.transition_time == found.look_time


def test_a_healthy_node_names_no_rule() -> None:
    seen = capture(firewall("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), pod=None, probes=())
    identity = identify(seen.node, seen.processes, seen.node_object, seen.settings)
    found = reach_of("n1", analyse(seen), identity, "abc")
    assert (found.rule, found.cause, found.fix) == (None, "", None)


def test_a_rule_that_a_witness_contradicts_is_not_named() -> None:
    seen = capture(firewall(SEED.format(hits=0)), firewall(SEED.format(hits=0)))
    identity = identify(seen.node, seen.processes, seen.node_object, seen.settings)
    report = analyse(seen)
    found = reach_of("n1", report, identity, "abc")
    assert report.explanation is not None
    assert report.explanation.stopped_by is not None
    assert (found.state, found.cause, found.rule) == ("blocked", "witnesses-disagree", None)


def test_long_words_are_cut_to_what_the_object_may_hold() -> None:
    seen = capture()
    identity = identify(seen.node, seen.processes, seen.node_object, seen.settings)
    found = reach_of("n1", replace(analyse(seen), summary="x" * 5000), identity, "abc")
    assert len(found.summary) == 1024
    assert found.summary.endswith("...")


def test_equal_rules_have_equal_names_whatever_they_counted_and_whoever_the_node_is() -> None:
    one = print_of(SEED.format(hits=0), "10.9.1.0/24")
    assert one == print_of(SEED.format(hits=7), "10.9.1.0/24")
    assert one == print_of(SEED.format(hits=0).replace("10.9.1.0/24", "10.9.2.0/24"), "10.9.2.0/24")
    assert one != print_of(SEED.format(hits=0).replace("--reject-with icmp-host-prohibited", ""), "10.9.1.0/24")
    assert len(one) == 16


def test_tables_that_see_nothing_of_the_way_in_do_not_count() -> None:
    only_out = "*filter\n:OUTPUT DROP [0:0]\nCOMMIT\n"
    assert print_of(only_out) == fingerprint(Ruleset(()), ())
