"""agent.analysis.diagnosis.places: from a reference to the rule, and to words."""

from dataclasses import replace

from agent.analysis.diagnosis.places import chain_at, rule_at, rule_name, same_place
from agent.model.explanation import RuleRef
from agent.model.ruleset import Accept
from tests.unit.analysis.path.rulesets import filtering

RULES = filtering(Accept(), Accept())
SECOND = RuleRef(
    backend="legacy",
    family="ip",
    hook="input",
    table="filter",
    chain="INPUT",
    rule_number=2,
    handle=None,
    policy=False,
    text="-A INPUT -j ACCEPT",
)


def test_a_reference_leads_back_to_its_rule() -> None:
    rule = rule_at(RULES, SECOND)
    assert rule is not None
    assert rule.number == 2


def test_what_is_not_there_is_not_found() -> None:
    assert rule_at(RULES, replace(SECOND, rule_number=3)) is None
    assert rule_at(RULES, replace(SECOND, chain="MINE")) is None
    assert chain_at(RULES, replace(SECOND, table="nat")) is None


def test_words_name_number_or_policy() -> None:
    assert rule_name(SECOND) == "rule 2 of filter INPUT (iptables-legacy)"
    assert (
        rule_name(replace(SECOND, rule_number=None, policy=True, text="-P INPUT ACCEPT"))
        == "the policy of filter INPUT (iptables-legacy)"
    )


def test_two_prints_of_one_rule_are_one_place() -> None:
    assert same_place(SECOND, replace(SECOND, text="other"))
    assert not same_place(SECOND, replace(SECOND, rule_number=1))
