"""The twin's answer as lines."""

from agent.model.twin import TwinReply, TwinResult, TwinRule, TwinVerdict
from agent.render.twin import twin

RULE = TwinRule(backend="nft", family="ip", table="filter", chain="IN\x1b[31mPUT", rule_number=6)


def test_the_verdict_its_answer_and_the_rules_that_were_met():
    result = TwinResult(verdict=TwinVerdict.REJECT, reply=TwinReply.ICMP, icmp=(3, 10), rules=(RULE,))
    lines = twin(result).splitlines()
    assert lines[1] == "in a throwaway namespace: REJECT (answer: ICMP 3/10)"
    assert lines[2].startswith("  met: nft ip filter IN")
    assert "\x1b" not in lines[2]


def test_a_rule_that_was_tried_and_what_was_not_the_same():
    policy = TwinRule(backend="nft", family="ip", table="filter", chain="INPUT", policy=True)
    text = twin(TwinResult(not_modelled=("a set",), fresh=("limit",), rules=(policy,)), inserted=True)
    assert "with that rule inserted: UNKNOWN (answer: none)" in text
    assert "not the same there: a set" in text
    assert "began empty there: limit" in text
    assert "INPUT policy" in text


def test_a_twin_that_was_not_tried_says_why():
    assert "not tried: no namespace" in twin(TwinResult(problem="no namespace"))
