"""agent.analysis.diagnosis.deep_words: what the kernel's own trace says of the model's verdict."""

import pytest

from agent.analysis.diagnosis.deep_words import deep_words
from agent.model.explanation import Explanation, Reply, RuleRef, Verdict
from agent.model.report import Word
from agent.model.trace import DeepTrace, TraceRequest
from tests.unit.analysis.readers.test_trace_text import RULES, STATE, SYN, freed

REQUEST = TraceRequest(namespace=42, source="10.244.4.7", target="10.244.4.1", port=10250)
DROPPING = RuleRef(backend="nft", family="ip", hook="input", table="filter", chain="INPUT", rule_number=2, handle=2)
PASSED = RULES.replace("verdict drop", "verdict accept")
EVENTS = "\n".join((STATE, SYN, freed("00000000ef225f21")))


def explained(verdict=Verdict.DROP, rule=DROPPING, **parts):
    return Explanation(packet={}, verdict=verdict, decided_by=rule, **parts)


def said(explanation, **parts):
    deep = DeepTrace(request=REQUEST, sport=53011, **parts)
    return {witness: (word, text) for witness, word, text in deep_words(explanation, deep)}


def test_nobody_speaks_who_was_not_asked():
    assert list(deep_words(explained(), None)) == []


def test_the_rule_that_the_kernel_names_is_the_models():
    assert said(explained(), rules=RULES)["trace"][0] is Word.AGREES


@pytest.mark.parametrize("change", [{"handle": 9}, {"chain": "KUBE"}, {"table": "raw"}, {"family": "inet"}, {"policy": True}])
def test_another_rule_is_contradicted(change):
    parts = {"backend": "nft", "family": "ip", "hook": "input", "table": "filter", "chain": "INPUT", "handle": 2, **change}
    assert said(explained(rule=RuleRef(**parts)), rules=RULES)["trace"][0] is Word.DISAGREES


def test_a_drop_that_the_model_does_not_know_contradicts_it():
    assert said(explained(Verdict.ACCEPT, None), rules=RULES)["trace"][0] is Word.DISAGREES


def test_a_packet_that_passed_the_rule_contradicts_it():
    assert said(explained(), rules=PASSED)["trace"][0] is Word.DISAGREES
    assert said(explained(Verdict.ACCEPT, None), rules=PASSED)["trace"][0] is Word.AGREES


def test_a_legacy_rule_is_nothing_that_nft_could_trace():
    legacy = RuleRef(backend="legacy", family="ip", hook="input", table="filter", chain="INPUT", rule_number=2)
    assert said(explained(rule=legacy), rules=PASSED)["trace"][0] is Word.SILENT


def test_the_answers_rule_counts_as_well():
    reply = Reply(verdict=Verdict.DROP, decided_by=DROPPING)
    accepted = explained(Verdict.ACCEPT, None, reply=reply)
    assert said(accepted, rules=RULES)["trace"][0] is Word.AGREES


def test_what_could_not_be_had_is_absent_with_the_reason():
    found = said(explained(), rules_problem="nft is not installed", events_problem="no tracefs")
    assert found == {"trace": (Word.ABSENT, "nft is not installed"), "drop-reason": (Word.ABSENT, "no tracefs")}
    assert {word for word, _ in said(explained(), problem="the pod is gone").values()} == {Word.ABSENT}


@pytest.mark.parametrize(
    ("reason", "verdict", "word"),
    [
        ("NETFILTER_DROP", Verdict.REJECT, Word.AGREES),
        ("NETFILTER_DROP", Verdict.ACCEPT, Word.DISAGREES),
        ("NETFILTER_DROP", Verdict.UNDECIDED, Word.SILENT),
        ("NO_SOCKET", Verdict.ACCEPT, Word.AGREES),
        ("NO_SOCKET", Verdict.DROP, Word.DISAGREES),
        ("IP_RPFILTER", Verdict.ACCEPT, Word.SILENT),
        ("IP_RPFILTER", Verdict.DROP, Word.DISAGREES),
        ("NOT_SPECIFIED", Verdict.DROP, Word.SILENT),
    ],
)
def test_the_kernels_reason_is_held_against_the_verdict(reason, verdict, word):
    found = said(explained(verdict), events=EVENTS.replace("NETFILTER_DROP", reason))["drop-reason"]
    assert found[0] is word
    assert reason in found[1] or reason == "NOT_SPECIFIED"


def test_a_packet_that_nobody_threw_away_is_silence():
    assert said(explained(), events=STATE)["drop-reason"][0] is Word.SILENT
    assert said(explained())["drop-reason"][0] is Word.SILENT
