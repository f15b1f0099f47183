"""Where a live backend could not be read a rule of it may have stopped the packet before the one that is known came to it."""

from dataclasses import replace
from ipaddress import ip_network

from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.path.explain import explain
from agent.analysis.path.partition import explain_sources
from agent.analysis.readers.read import read_firewall
from agent.model.capture import NFT_JSON, Firewall, Reading
from agent.model.report import State, Word
from agent.model.twin import TwinReply, TwinResult, TwinRule, TwinVerdict
from agent.render import text

from .captures import SEED, capture, firewall
from .test_counted import PACKET

HUNG = Reading(name=NFT_JSON, argv=("nft",), status=None, problem="nft did not end in time")


def blind(hits: int) -> Firewall:
    """The seed's legacy rules, and nftables that was not read."""
    read = firewall(SEED.format(hits=hits))
    return replace(read, readings=(read.readings[0], HUNG))


def test_a_rule_whose_counter_rose_is_named_and_what_an_opening_does_is_left_open() -> None:
    report = analyse(capture(blind(0), blind(1)))
    assert report.cause is not None
    assert (report.state, report.cause.code) == (State.BLOCKED, "input-reject")
    assert report.cause.witnesses["model"] is Word.AGREES
    assert "Whether an opening there is enough is not known: not all rules could be read." in report.cause.message
    whole = analyse(capture(firewall(SEED.format(hits=0)), firewall(SEED.format(hits=1))))
    assert whole.cause is not None
    assert "is enough" not in whole.cause.message


def test_without_a_counter_no_rule_is_named_however_alike_the_icmp_error() -> None:
    report = analyse(capture(blind(0)))
    assert report.cause is not None
    assert (report.state, report.cause.code, report.cause.remedy) == (State.BLOCKED, "rule-undecided", None)
    words = report.cause.witnesses
    assert (words["model"], words["probe"], words["icmp"]) == (Word.SILENT, Word.AGREES, Word.AGREES)
    assert report.summary.endswith("pods are stopped, and which rule does it could not be decided.")
    assert "if nothing does so before, which no counter tells: nft-json did not end" in report.cause.message
    shown = text.report(report)
    assert "the rule the model names" in shown
    assert "unless a rule that could not be read does so before it" in shown
    assert "the rule that decides" not in shown


def test_a_twin_that_loaded_what_is_not_understood_stands_for_the_rule() -> None:
    odd = firewall(SEED.format(hits=0), nft='{"nftables": [{"of tomorrow": {}}]}')
    rule = TwinRule(backend="legacy", family="ip", table="filter", chain="INPUT", rule_number=5)
    tried = TwinResult(verdict=TwinVerdict.REJECT, reply=TwinReply.ICMP, icmp=(3, 10), rules=(rule,))
    for twin, code in ((None, "rule-undecided"), (tried, "input-reject")):
        report = analyse(capture(odd, twin=twin))
        assert report.cause is not None
        assert report.cause.code == code


def test_a_counter_that_stood_still_is_a_contradiction_as_ever() -> None:
    report = analyse(capture(blind(0), blind(0)))
    assert report.cause is not None
    assert report.cause.code == "witnesses-disagree"


def test_without_a_packet_it_is_stopped_and_by_whom_is_open() -> None:
    report = analyse(capture(blind(0), blind(0), pod=None))
    assert report.cause is not None
    assert (report.state, report.cause.code) == (State.BLOCKED, "rule-undecided")
    assert report.summary.endswith("(which rule does it could not be decided); no real packet was sent.")
    named = analyse(capture(firewall(SEED.format(hits=0)), firewall(SEED.format(hits=0)), pod=None))
    assert named.summary.endswith("(rule 5 of filter INPUT (iptables-legacy)); no real packet was sent.")


def test_explain_says_that_another_rule_may_come_before() -> None:
    ruleset = read_firewall(blind(0))
    for found in (explain(ruleset, PACKET), explain_sources(ruleset, PACKET, ip_network("10.9.1.0/24"))):
        assert found.unread == ruleset.unread != ()
        assert "unless a rule that could not be read stops it before" in text.explanation(found)
    assert "unless" not in text.explanation(explain(read_firewall(firewall(SEED.format(hits=0))), PACKET))
