from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent.analysis.path.blame import Alike, moved, same_shape
from agent.analysis.readers.late import repeat
from agent.analysis.readers.parse_iptables import parse
from agent.model.ruleset import Accept, Backend, Counter, Drop, Rule, Ruleset
from tests.unit.analysis.path.rulesets import chain, hung, rule, ruleset, table


def counted(*packets: int | None, policy: int | None = 0, handles: bool = False, **more: Any) -> Ruleset:
    """An INPUT chain with these counters and a user chain with the last of them."""
    rules = [
        rule(Drop(), counter=None if each is None else Counter(each, 60 * each), handle=10 + index if handles else None)
        for index, each in enumerate(packets)
    ]
    counter = None if policy is None else Counter(policy, 60 * policy)
    return ruleset(table(hung("INPUT", *rules[:-1], counter=counter, **more), chain("USER", *rules[-1:])))


def names(before: Ruleset, after: Ruleset) -> list[tuple[str, int | None, int]]:
    return [(each.rule.chain, each.rule.rule_number, each.packets) for each in moved(before, after)]


def test_rules_and_policies_whose_counter_rose_are_named() -> None:
    assert names(counted(1, 2, 3), counted(1, 4, 4, policy=2)) == [("INPUT", None, 2), ("INPUT", 2, 2), ("USER", 1, 1)]


def test_what_has_no_counter_did_not_move() -> None:
    assert names(counted(None, 2, policy=None), counted(None, 2, policy=None)) == []


def test_a_policy_that_had_no_counter_counts_from_nought() -> None:
    assert names(counted(1, 1, policy=None), counted(1, 1, policy=3)) == [("INPUT", None, 3)]


def test_a_counter_that_was_reset_did_not_rise() -> None:
    assert names(counted(5, 5), counted(0, 5)) == []


def test_a_rule_is_known_again_by_its_handle() -> None:
    before, after = counted(1, 1, 1, handles=True), counted(1, 2, 1, handles=True)
    assert names(before, after) == [("INPUT", 2, 1)]
    assert [each.rule.handle for each in moved(before, after)] == [11]


def test_a_new_rule_has_nothing_to_compare_with() -> None:
    assert names(counted(1, 1), counted(9, 9, 1)) == [("INPUT", 1, 8)]


def test_the_shape_is_all_but_the_counters() -> None:
    one = counted(1, 2)
    assert same_shape(one, counted(7, 8, policy=9))
    assert not same_shape(one, counted(1, 2, 3))
    assert not same_shape(one, counted(1, 2, handles=True))
    assert not same_shape(one, counted(1, 2, priority=10))
    assert not same_shape(one, ruleset())
    changed = replace(one.tables[0].chains[1].rules[0], statements=(Accept(),))
    assert not same_shape(one, ruleset(table(one.tables[0].chains[0], replace(one.tables[0].chains[1], rules=(changed,)))))


def test_a_changed_policy_is_another_shape() -> None:
    assert not same_shape(counted(1, 2, policy=0), ruleset(table(hung("INPUT", policy="drop"))))


def late(text: str) -> Ruleset:
    """iptables' text, whose rules are understood when somebody looks."""
    return parse(text, Backend.LEGACY, "ip")


SAVED = """\
*filter
:INPUT ACCEPT [5:300]
:USER - [0:0]
[1:60] -A INPUT -p tcp -j USER
[1:60] -A USER -s 10.0.0.0/8 -j DROP
[0:0] -A USER -j RETURN
COMMIT
"""


@pytest.mark.parametrize("alike", [repeat, lambda *_: False])
def test_what_was_printed_alike_is_judged_without_a_look(alike: Alike) -> None:
    counted_on = SAVED.replace("[1:60] -A USER", "[2:120] -A USER").replace("INPUT ACCEPT [5:300]", "INPUT ACCEPT [6:360]")
    one, other = late(SAVED), late(counted_on)
    assert same_shape(one, other, alike)
    assert [(each.rule.chain, each.packets) for each in moved(one, other, alike)] == [("INPUT", 1), ("USER", 1)]
    assert moved(one, late(SAVED), alike) == ()
    for changed in ("-s 10.0.0.0/9", "-s 10.0.0.0/8 -i eth0"):
        assert not same_shape(one, late(SAVED.replace("-s 10.0.0.0/8", changed)), alike)
    assert not same_shape(one, late(SAVED.replace("[0:0] -A USER -j RETURN\n", "")), alike)


def test_rules_that_were_not_met_are_not_understood() -> None:
    one, other = late(SAVED), late(SAVED.replace("-A INPUT -p tcp", "-A INPUT -p udp"))
    looked: list[Sequence[Rule]] = []

    def alike(rules: Sequence[Rule], others: Sequence[Rule]) -> bool:
        same = repeat(rules, others)
        looked.extend([] if same else [rules])
        return same

    assert not same_shape(one, other, alike)
    assert looked == [one.tables[0].chains[0].rules]


def test_a_chain_that_was_not_there_has_nothing_to_compare_with() -> None:
    assert moved(ruleset(), counted(1, 2), repeat) == ()
