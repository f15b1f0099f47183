"""What the twin's answer says of the model's, and that it never says more than it saw."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.diagnosis.twin_word import compare
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.report import Word
from agent.model.twin import TwinReply, TwinResult, TwinRule, TwinVerdict
from tests.unit.analysis.diagnosis.captures import capture

RULE = RuleRef(
    backend="legacy", family="ip", hook="input", table="filter", chain="INPUT", rule_number=5, text="-A INPUT -j REJECT"
)
MET = TwinRule(backend="legacy", family="ip", table="filter", chain="INPUT", rule_number=5)
MODEL = Explanation(packet={"src": "10.9.1.5"}, verdict=Verdict.REJECT, reject_with="icmp-host-prohibited", decided_by=RULE)
TWIN = TwinResult(verdict=TwinVerdict.REJECT, reply=TwinReply.ICMP, icmp=(3, 10), rules=(MET,))
POLICY = replace(RULE, rule_number=None, policy=True, text="-P INPUT DROP")
DROPPED = Explanation(packet={"src": "fd00::5"}, verdict=Verdict.DROP, decided_by=POLICY)


@pytest.mark.parametrize(
    ("model", "twin", "word", "saying"),
    [
        (MODEL, TWIN, Word.AGREES, "rule 5 of filter INPUT"),
        (MODEL, None, Word.ABSENT, "no twin was asked"),
        (MODEL, TwinResult(problem="no namespace"), Word.ABSENT, "no namespace"),
        (MODEL, replace(TWIN, verdict=TwinVerdict.UNKNOWN, not_modelled=("a set",)), Word.SILENT, "not the node: a set"),
        (MODEL, TwinResult(), Word.SILENT, "no answer came back"),
        (MODEL, replace(TWIN, rules=()), Word.DISAGREES, "did not count the packet there"),
        (MODEL, replace(TWIN, rules=(replace(MET, rule_number=6),)), Word.DISAGREES, "did not count"),
        (MODEL, replace(TWIN, icmp=(3, 13)), Word.DISAGREES, "ICMP 3/13"),
        (MODEL, replace(TWIN, icmp=None, reply=TwinReply.NONE), Word.AGREES, "the kernel said REJECT in"),
        (MODEL, TwinResult(verdict=TwinVerdict.ACCEPT, reply=TwinReply.SYN_ACK), Word.DISAGREES, "ACCEPT (syn-ack)"),
        (MODEL, TwinResult(verdict=TwinVerdict.DROP, fresh=("recent",)), Word.DISAGREES, "began empty there: recent"),
        (
            replace(MODEL, verdict=Verdict.UNDECIDED),
            replace(TWIN, fresh=("limit",)),
            Word.SILENT,
            "leaves open; what these remember",
        ),
        (
            replace(MODEL, packet={"src": "fd00::5"}, reject_with="icmp6-adm-prohibited"),
            replace(TWIN, icmp=(1, 1)),
            Word.AGREES,
            "ICMP 1/1",
        ),
        (DROPPED, TwinResult(verdict=TwinVerdict.DROP), Word.AGREES, "the kernel said DROP"),
        (replace(DROPPED, decided_by=None), TwinResult(verdict=TwinVerdict.DROP), Word.AGREES, "the kernel said DROP"),
        (
            DROPPED,
            TwinResult(verdict=TwinVerdict.DROP, rules=(replace(MET, rule_number=None, policy=True),)),
            Word.AGREES,
            "the policy of filter INPUT",
        ),
    ],
)
def test_the_twins_word(model: Explanation, twin: TwinResult | None, word: Word, saying: str) -> None:
    said, text = compare(model, twin)
    assert said is word, text
    assert saying in text


def test_a_rule_that_counted_there_excuses_another_stop_and_no_accept() -> None:
    rival = replace(RULE, rule_number=9)
    met = replace(MET, rule_number=9)
    assert compare(MODEL, TwinResult(verdict=TwinVerdict.DROP, rules=(met,)), (rival,))[0] is Word.SILENT
    opened = TwinResult(verdict=TwinVerdict.ACCEPT, reply=TwinReply.SYN_ACK, rules=(met,))
    assert compare(MODEL, opened, (rival,))[0] is Word.DISAGREES


def test_a_twin_that_differs_is_a_disagreement_and_no_rule_is_named_as_the_cause() -> None:
    report = analyse(replace(capture(), twin=TwinResult(verdict=TwinVerdict.ACCEPT, reply=TwinReply.SYN_ACK)))
    assert report.cause is not None
    assert report.cause.code == "witnesses-disagree"
    assert report.disagreements[0].startswith("twin: the kernel said ACCEPT")


def test_a_twin_that_agrees_is_one_more_witness() -> None:
    report = analyse(replace(capture(), twin=TWIN))
    assert report.cause is not None
    assert (report.cause.code, report.cause.witnesses["twin"]) == ("input-reject", Word.AGREES)
