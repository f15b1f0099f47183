"""Base chains in the order of the kernel, of both backends together."""

from ipaddress import ip_address
from typing import Any

from agent.analysis.path.walk import walk
from agent.model.explanation import Verdict
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    Backend,
    Compare,
    Drop,
    Hook,
    Ruleset,
    Translate,
    Words,
)
from tests.unit.analysis.path.rulesets import (
    MAYBE,
    TCP_ONLY,
    UDP_ONLY,
    filtering,
    hung,
    packet,
    ruleset,
    table,
)
from tests.unit.analysis.path.walking import HOST_PROHIBITED, before_nat, go, marked, place, raw, set_mark


class TestBaseChains:
    def test_accept_ends_its_base_chain_only(self) -> None:
        rules = ruleset(
            table(hung("INPUT", Accept())),
            table(hung("in", HOST_PROHIBITED, priority=10), family="inet", name="firewalld", backend=Backend.NFT),
        )
        assert place(go(rules)) == ("firewalld", "in", 1)

    def test_the_last_rule_that_accepts_decides_before_any_policy(self) -> None:
        rules = ruleset(
            table(hung("INPUT", Accept(), priority=-150), name="mangle"),
            table(hung("INPUT", (UDP_ONLY, Drop()), Accept())),
            table(hung("in", priority=10), family="inet", name="firewalld", backend=Backend.NFT),
            table(hung("INPUT", Accept(), priority=50), name="security"),
        )
        assert place(go(rules)) == ("filter", "INPUT", 2)

    def test_without_a_rule_the_policy_of_the_last_filter_chain_decides(self) -> None:
        rules = ruleset(
            table(hung("INPUT", Accept(), priority=-150), name="mangle"),
            table(hung("INPUT")),
            table(hung("INPUT", priority=100, kind="nat"), name="nat"),
        )
        assert go(rules).decided_by is not None
        assert place(go(rules)) == ("filter", "INPUT", None)

    def test_other_tables_decide_where_there_is_no_filter_chain(self) -> None:
        rules = ruleset(table(hung("INPUT", priority=-150), name="mangle"), before_nat())
        assert place(go(rules)) == ("mangle", "INPUT", None)

    def test_who_accepts_before_routing_does_not_decide(self) -> None:
        assert go(ruleset(raw(Accept()))).decided_by is None

    @staticmethod
    def both(first: Any, second: Any) -> Ruleset:
        return ruleset(table(hung("INPUT", first)), table(hung("INPUT", second), backend=Backend.NFT))

    def test_at_one_priority_only_the_one_that_acts_counts(self) -> None:
        for rules in (self.both((TCP_ONLY, HOST_PROHIBITED), Accept()), self.both(Accept(), HOST_PROHIBITED)):
            assert go(rules).verdict is Verdict.REJECT

    def test_two_that_act_alike_are_decided_by_the_first(self) -> None:
        found = go(self.both(HOST_PROHIBITED, HOST_PROHIBITED))
        assert (found.verdict, found.assumptions) == (Verdict.REJECT, ())
        assert found.decided_by is not None
        assert found.decided_by.backend == "legacy"
        assert [each.backend for each in found.or_by] == ["nft"], "which of them comes first is in no listing"

    def test_who_is_first_beyond_doubt_has_none_beside_it(self) -> None:
        assert go(self.both(HOST_PROHIBITED, (UDP_ONLY, HOST_PROHIBITED))).or_by == ()

    def test_two_that_act_differently_are_both_assumptions(self) -> None:
        found = go(self.both(HOST_PROHIBITED, Drop()))
        assert found.verdict is Verdict.UNDECIDED
        assert [each.rule.backend for each in found.assumptions] == ["legacy", "nft"]
        assert "which of them comes first is in no listing" in found.assumptions[0].why

    def test_a_maybe_beside_another_that_acts_is_an_assumption(self) -> None:
        found = go(self.both((MAYBE, HOST_PROHIBITED), Drop()))
        assert found.verdict is Verdict.UNDECIDED
        assert {each.rule.backend for each in found.assumptions} == {"legacy", "nft"}

    def test_a_mark_set_and_tested_at_one_priority_hangs_on_the_order(self) -> None:
        assert go(self.both((set_mark(1),), (marked(1), Drop()))).verdict is Verdict.UNDECIDED
        assert go(self.both((set_mark(1),), (marked(2), Drop()))).verdict is Verdict.ACCEPT

    def test_more_that_act_than_can_be_tried_are_given_up(self) -> None:
        tables = [table(hung("INPUT", Drop()), name=f"t{i}") for i in range(5)]
        found = go(ruleset(*tables))
        assert found.verdict is Verdict.UNDECIDED
        assert "5 base chains at one priority" in found.assumptions[0].why

    def test_other_hooks_can_be_walked(self) -> None:
        masquerade = hung("POSTROUTING", (Translate("masquerade"),), hook=Hook.POSTROUTING, priority=100, kind="nat")
        found = walk(ruleset(table(masquerade, name="nat")), packet(oif="eth0", iif=None), (Hook.POSTROUTING,))
        assert [(step.result, step.effect) for step in found.steps] == [("match", "masquerade")]

    def test_a_forwarded_packet_is_not_for_this_node(self) -> None:
        local = Compare(Field.DADDR_TYPE, Words(("local",)))
        rules = ruleset(table(hung("FORWARD", (local, Drop()), hook=Hook.FORWARD)))
        away = packet(destination=ip_address("172.31.22.159"))
        assert walk(rules, away, (Hook.PREROUTING, Hook.FORWARD)).verdict is Verdict.ACCEPT

    def test_a_device_that_a_hook_does_not_have_has_an_empty_name(self) -> None:
        out = Compare(Field.OIF, Words(()))
        assert go(filtering((out, Drop()))).verdict is Verdict.UNDECIDED
        sent = walk(ruleset(table(hung("OUTPUT", Drop(), hook=Hook.OUTPUT))), packet(iif=None, oif="eth0"), (Hook.OUTPUT,))
        assert sent.verdict is Verdict.DROP
