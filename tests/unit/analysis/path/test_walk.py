from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.analysis.path.steps import MAX_STEPS
from agent.analysis.path.walk import Walk, walk
from agent.model.explanation import Verdict
from agent.model.packet import CtState, Field
from agent.model.ruleset import (
    Accept,
    AnyBit,
    Backend,
    Chain,
    Compare,
    CopyMark,
    Drop,
    Forget,
    Hook,
    Intervals,
    Jump,
    Masked,
    NoTrack,
    Pass,
    Reject,
    Return,
    Ruleset,
    SetMark,
    Table,
    Translate,
    Unclear,
    VerdictMap,
    Words,
)
from tests.unit.analysis.path.rulesets import (
    MAYBE,
    NODE,
    POD,
    TCP_ONLY,
    UDP_ONLY,
    chain,
    filtering,
    hung,
    packet,
    ruleset,
    table,
)

PATH = (Hook.PREROUTING, Hook.INPUT)
UNCLEAR = Unclear("-j NFQUEUE", "a program in user space decides")
HOST_PROHIBITED = Reject("icmp-host-prohibited")
NEW = Compare(Field.CT_STATE, AnyBit(CtState.NEW))


def marked(value: int, mask: int = 0xFFFFFFFF) -> Compare:
    return Compare(Field.MARK, Masked(mask, value))


def set_mark(value: int) -> SetMark:
    return SetMark(Field.MARK, 0, value)


def go(rules: Ruleset, **changes: Any) -> Walk:
    return walk(rules, packet(**changes), PATH)


def place(found: Walk) -> tuple[str, str, int | None]:
    assert found.decided_by is not None
    return found.decided_by.table, found.decided_by.chain, found.decided_by.rule_number


def doubts(found: Walk) -> list[tuple[str, int | None]]:
    return [(each.rule.chain, each.rule.rule_number) for each in found.assumptions]


def before_nat(*rules: Any) -> Table:
    """A nat PREROUTING chain."""
    return table(hung("PREROUTING", *rules, hook=Hook.PREROUTING, priority=-100, kind="nat"), name="nat")


def raw(*rules: Any, priority: int = -300) -> Table:
    return table(hung("PREROUTING", *rules, hook=Hook.PREROUTING, priority=priority), name="raw")


class TestOneChain:
    def test_the_first_rule_that_ends_the_packet_decides(self) -> None:
        found = go(filtering((UDP_ONLY, Drop()), (TCP_ONLY, HOST_PROHIBITED), Drop()))
        assert (found.verdict, found.reply, place(found)) == (Verdict.REJECT, "icmp-host-prohibited", ("filter", "INPUT", 2))
        assert [(step.rule.rule_number, step.result, step.effect) for step in found.steps] == [
            (2, "match", "reject with icmp-host-prohibited")
        ]

    def test_the_policy_decides_when_no_rule_does(self) -> None:
        found = go(filtering((UDP_ONLY, Accept()), policy="DROP"))
        assert found.verdict is Verdict.DROP
        assert found.decided_by is not None
        assert (found.decided_by.policy, found.decided_by.rule_number) == (True, None)
        assert found.decided_by.text == "-P INPUT DROP"
        assert [(step.result, step.effect) for step in found.steps] == [("policy", "drop")]

    def test_a_native_chain_has_its_own_word_for_its_policy(self) -> None:
        found = go(ruleset(table(hung("in", policy="drop"), family="inet", name="t", backend=Backend.NFT)))
        assert found.decided_by is not None
        assert found.decided_by.text == "policy drop"

    def test_without_any_chain_nothing_decides(self) -> None:
        found = go(ruleset())
        assert (found.verdict, found.decided_by, found.steps) == (Verdict.ACCEPT, None, ())

    def test_return_in_a_base_chain_is_its_policy(self) -> None:
        found = go(filtering((TCP_ONLY, Return()), Accept(), policy="drop"))
        assert found.verdict is Verdict.DROP
        assert [step.result for step in found.steps] == ["match", "policy"]

    def test_an_action_before_a_failing_test_is_done(self) -> None:
        found = go(filtering((set_mark(7), UDP_ONLY, Accept()), (marked(7), Drop())))
        assert place(found)[2] == 2
        assert found.steps[0].effect == "mark = 0x7"

    def test_a_rule_without_action_goes_on(self) -> None:
        found = go(filtering((TCP_ONLY,), (Pass("LOG"),), Drop()))
        assert [(step.rule.rule_number, step.effect) for step in found.steps] == [(1, "go on"), (2, "LOG"), (3, "drop")]

    def test_replies_for_either_version_are_translated(self) -> None:
        rules = ruleset(table(hung("i", (Reject("icmpx-admin-prohibited"),)), family="inet", backend=Backend.NFT))
        assert go(rules).reply == "icmp-admin-prohibited"
        six = {"source": ip_address("fd00::1"), "destination": ip_address("fd00::2"), "local": ()}
        assert go(rules, **six).reply == "icmp6-adm-prohibited"


class TestJumps:
    def test_a_chain_returns_to_behind_the_jump(self) -> None:
        found = go(filtering((Jump("A"),), HOST_PROHIBITED, others=(chain("A", (TCP_ONLY, Return()), Drop()),)))
        assert place(found) == ("filter", "INPUT", 2)

    def test_goto_returns_to_the_grandparent(self) -> None:
        a, b = chain("A", (Jump("B", goto=True),), Accept()), chain("B", (UDP_ONLY, Accept()))
        assert place(go(filtering((Jump("A"),), Drop(), others=(a, b)))) == ("filter", "INPUT", 2)

    def test_goto_from_a_base_chain_ends_in_its_policy(self) -> None:
        found = go(filtering((Jump("A", goto=True),), Accept(), policy="drop", others=(chain("A"),)))
        assert (found.verdict, found.steps[-1].result) == (Verdict.DROP, "policy")

    def test_jumps_nest_as_deep_as_they_come(self) -> None:
        depth = 3000
        nested = [chain(f"C{i}", (Jump(f"C{i + 1}"),)) for i in range(depth)]
        found = go(filtering((Jump("C0"),), others=(*nested, chain(f"C{depth}", Drop()))))
        assert place(found) == ("filter", f"C{depth}", 1)

    def test_a_loop_is_not_followed(self) -> None:
        loop = (chain("A", (Jump("B"),)), chain("B", (Jump("A"),)))
        found = go(filtering((Jump("A"),), Drop(), others=loop))
        assert found.verdict is Verdict.UNDECIDED
        assert doubts(found) == [("B", 1)]
        assert "a loop" in found.assumptions[0].why

    def test_a_chain_that_is_not_there_is_not_passed_by(self) -> None:
        found = go(filtering((Jump("GONE"),), Drop()))
        assert found.verdict is Verdict.UNDECIDED
        assert "GONE" in found.assumptions[0].why

    def test_a_chain_jumped_to_from_everywhere_costs_once(self) -> None:
        # Every chain is jumped to twice by the one before it: 2 ** 200 ways in all.
        ladder = [chain(f"C{i}", (MAYBE, Jump(f"C{i + 1}")), (Jump(f"C{i + 1}"),)) for i in range(200)]
        found = go(filtering((Jump("C0"),), others=(*ladder, chain("C200", (MAYBE, Accept()))), policy="drop"))
        assert found.verdict is Verdict.UNDECIDED
        assert ("C200", 1) in doubts(found)


class TestMaybes:
    def test_a_maybe_that_changes_nothing_is_no_assumption(self) -> None:
        found = go(filtering((MAYBE, Jump("L")), (MAYBE, Pass("LOG")), Drop(), others=(chain("L", (Return(),)),)))
        assert (found.verdict, place(found), found.assumptions) == (Verdict.DROP, ("filter", "INPUT", 3), ())
        assert [(step.rule.rule_number, step.result) for step in found.steps] == [
            (1, "maybe"),
            (1, "match"),
            (2, "maybe"),
            (3, "match"),
        ]

    def test_maybes_that_end_alike_are_decided_by_the_last(self) -> None:
        found = go(filtering((MAYBE, Accept()), (MAYBE, Accept()), (TCP_ONLY, Accept()), Drop()))
        assert (found.verdict, place(found), found.assumptions) == (Verdict.ACCEPT, ("filter", "INPUT", 3), ())

    def test_a_maybe_that_could_change_the_outcome_is_an_assumption(self) -> None:
        found = go(filtering((MAYBE, Accept()), Drop()))
        assert (found.verdict, found.decided_by, found.reply) == (Verdict.UNDECIDED, None, None)
        assert doubts(found) == [("INPUT", 1)]
        assert found.assumptions[0].why == "a rate limit is kernel state"
        assert {outcome.verdict for outcome in found.outcomes} == {Verdict.ACCEPT, Verdict.DROP}

    def test_replies_count_as_outcomes(self) -> None:
        assert go(filtering((MAYBE, Reject("tcp-reset")), HOST_PROHIBITED)).verdict is Verdict.UNDECIDED
        assert go(filtering((MAYBE, HOST_PROHIBITED), HOST_PROHIBITED)).verdict is Verdict.REJECT

    def test_only_the_maybes_that_matter_are_listed(self) -> None:
        found = go(
            filtering(
                (MAYBE, Jump("L")),
                (MAYBE, Drop()),
                (MAYBE, Accept()),
                others=(chain("L", (Pass("LOG"),), (Return(),)),),
            )
        )
        assert doubts(found) == [("INPUT", 2)]

    def test_a_difference_in_a_chain_matters_only_where_it_reaches_the_end(self) -> None:
        fork = chain("F", (MAYBE, Accept()))
        assert go(filtering((Jump("F"),), (TCP_ONLY, Accept()), others=(fork,))).verdict is Verdict.ACCEPT
        found = go(filtering((Jump("F"),), Drop(), others=(fork,)))
        assert doubts(found) == [("F", 1)]

    def test_a_failing_test_outweighs_a_maybe(self) -> None:
        found = go(filtering((MAYBE, UDP_ONLY, Accept()), (UDP_ONLY, MAYBE, Accept()), Drop()))
        assert (found.verdict, place(found)) == (Verdict.DROP, ("filter", "INPUT", 3))
        assert len(found.steps) == 1

    def test_two_reasons_in_one_rule_are_both_told(self) -> None:
        length = Compare(Field.LENGTH, Intervals(((40, 60),)))
        found = go(filtering((MAYBE, length, Accept()), Drop()))
        assert found.assumptions[0].why == "a rate limit is kernel state; not enough is known of the packet's length"

    def test_variants_that_differ_by_a_mark_are_followed_apart(self) -> None:
        found = go(filtering((MAYBE, set_mark(1)), (marked(1), Accept()), (marked(0), Drop())))
        assert found.verdict is Verdict.UNDECIDED
        assert doubts(found) == [("INPUT", 1)]

    def test_too_many_variants_are_given_up(self) -> None:
        flips = [(MAYBE, SetMark(Field.MARK, 0xFFFFFFFF, 1 << bit)) for bit in range(8)]
        found = go(filtering(*flips, Drop()))
        assert found.verdict is Verdict.UNDECIDED
        assert "different packets" in found.assumptions[-1].why

    def test_an_unclear_action_may_accept_drop_or_go_on(self) -> None:
        found = go(filtering((UNCLEAR,), HOST_PROHIBITED))
        assert {outcome.verdict for outcome in found.outcomes} == {Verdict.ACCEPT, Verdict.DROP, Verdict.REJECT}
        assert doubts(found) == [("INPUT", 1)]
        assert go(ruleset(raw((UNCLEAR,)), table(hung("INPUT", Drop())))).verdict is Verdict.DROP

    def test_behind_an_unclear_action_marks_are_not_known(self) -> None:
        found = go(ruleset(raw((UNCLEAR,)), table(hung("INPUT", (marked(1), Accept()), Drop()))))
        assert {each.verdict for each in found.outcomes} == {Verdict.ACCEPT, Verdict.DROP}

    def test_what_a_rule_rewrote_is_not_known(self) -> None:
        lost = Forget((Field.MARK, Field.DSCP), "MARK ?", "not understood")
        assert go(filtering((lost,), (marked(0), Accept()), Drop())).verdict is Verdict.UNDECIDED
        assert go(filtering((lost,), (set_mark(3),), (marked(3), Accept()), Drop())).verdict is Verdict.ACCEPT
        moved = Forget((Field.DADDR, Field.SADDR), "ip daddr set", "not understood")
        found = go(ruleset(raw((moved,)), table(hung("INPUT", Drop()))))
        assert "not known" in found.assumptions[0].why


class TestVerdictMaps:
    @staticmethod
    def by_port(*entries: tuple[int, Any]) -> VerdictMap:
        return VerdictMap((Field.DPORT,), tuple(((Intervals(((port, port),)),), verdict) for port, verdict in entries))

    def test_the_element_that_holds_gives_the_verdict(self) -> None:
        found = go(filtering((self.by_port((22, Accept()), (10250, Drop())), Accept())))
        assert (found.verdict, found.steps[0].effect) == (Verdict.DROP, "drop")

    def test_none_that_holds_goes_on_with_the_rule(self) -> None:
        assert go(filtering((self.by_port((22, Accept())), Drop()))).verdict is Verdict.DROP

    def test_continue_goes_on_with_the_rule(self) -> None:
        assert go(filtering((self.by_port((10250, Pass("continue"))), Drop()))).verdict is Verdict.DROP

    def test_elements_that_may_hold_are_all_possible(self) -> None:
        by_length = VerdictMap(
            (Field.LENGTH,),
            (
                ((Intervals(((40, 40),)),), Accept()),
                ((Intervals(((60, 60),)),), Pass("continue")),
                ((Intervals(((80, 80),)),), Unclear("queue", "user space")),
            ),
        )
        found = go(filtering((by_length, HOST_PROHIBITED), (Drop(),)))
        assert {each.verdict for each in found.outcomes} == {Verdict.ACCEPT, Verdict.DROP, Verdict.REJECT}
        assert doubts(found) == [("INPUT", 1)]
        assert found.steps[0].effect.startswith("perhaps accept")

    def test_a_later_element_that_surely_holds_ends_the_search(self) -> None:
        mixed = VerdictMap(
            (Field.LENGTH, Field.DPORT),
            (
                ((Intervals(((40, 40),)), Masked(0, 0)), Pass("continue")),
                ((Masked(0, 0), Intervals(((22, 22),))), Accept()),
            ),
        )
        assert go(filtering((mixed, Drop()))).verdict is Verdict.DROP

    def test_jump_and_goto(self) -> None:
        target = chain("A", (UDP_ONLY, Accept()))
        jump = filtering((self.by_port((10250, Jump("A"))), Accept()), Drop(), others=(target,))
        assert place(go(jump)) == ("filter", "INPUT", 2)
        goto = filtering((self.by_port((10250, Jump("A", goto=True))),), Accept(), policy="drop", others=(target,))
        assert go(goto).verdict is Verdict.DROP


class TestMarks:
    def test_a_mark_set_in_one_table_is_seen_in_the_next(self) -> None:
        rules = ruleset(raw((set_mark(0x4000),), priority=-150), table(hung("INPUT", (marked(0x4000, 0x4000), Drop()))))
        assert place(go(rules)) == ("filter", "INPUT", 1)

    def test_the_packets_own_mark_counts(self) -> None:
        assert go(filtering((marked(9), Drop())), mark=9).verdict is Verdict.DROP

    def test_marks_are_copied_under_masks(self) -> None:
        save = CopyMark(Field.MARK, Field.CT_MARK)
        restore = CopyMark(Field.CT_MARK, Field.MARK, 0xF0, 0xF0)
        found = go(filtering((set_mark(0x12),), (save,), (set_mark(0),), (restore,), (marked(0x10), Drop())))
        assert place(found)[2] == 5

    def test_without_a_connection_there_is_no_connection_mark(self) -> None:
        tests = ((SetMark(Field.CT_MARK, 0, 1), CopyMark(Field.CT_MARK, Field.MARK)), (marked(5), Drop()))
        assert go(filtering(*tests), mark=5, connmark=3, ctstate=CtState.UNTRACKED).verdict is Verdict.DROP
        assert (
            go(filtering((Compare(Field.CT_MARK, Masked(1, 1), True), Drop())), ctstate=CtState.INVALID).verdict
            is Verdict.ACCEPT
        )

    def test_an_unknown_mark_copied_stays_unknown(self) -> None:
        lost = Forget((Field.MARK,), "MARK ?", "not understood")
        copied = (lost, CopyMark(Field.MARK, Field.CT_MARK))
        found = go(filtering(copied, (Compare(Field.CT_MARK, Masked(1, 1)), Drop())))
        assert found.verdict is Verdict.UNDECIDED

    def test_a_connection_mark_is_set_where_there_is_a_connection(self) -> None:
        test = Compare(Field.CT_MARK, Masked(0xF, 5))
        put = SetMark(Field.CT_MARK, 0, 5)
        assert go(filtering((put,), (test, Drop()))).verdict is Verdict.DROP
        for priority, want in ((-150, Verdict.DROP), (-200, Verdict.UNDECIDED), (-300, Verdict.ACCEPT)):
            rules = ruleset(raw((put,), priority=priority), table(hung("INPUT", (test, Drop()))))
            assert go(rules).verdict is want

    def test_a_mask_of_nothing_copies_nothing(self) -> None:
        lost = Forget((Field.MARK,), "MARK ?", "not understood")
        copied = (lost, CopyMark(Field.MARK, Field.CT_MARK, 0, 0xFFFFFFFF))
        assert go(filtering(copied, (Compare(Field.CT_MARK, Masked(0xF, 0)), Drop())), connmark=3).verdict is Verdict.DROP


class TestConntrack:
    @pytest.mark.parametrize(
        ("priority", "state", "want"),
        [
            (-300, CtState.INVALID, Verdict.DROP),
            (-300, CtState.NEW, Verdict.ACCEPT),
            (-200, CtState.NEW, Verdict.UNDECIDED),
            (-150, CtState.NEW, Verdict.DROP),
        ],
    )
    def test_before_conntrack_a_packet_has_no_state(self, priority: int, state: CtState, want: Verdict) -> None:
        rules = ruleset(raw((Compare(Field.CT_STATE, AnyBit(state)), Drop()), priority=priority))
        assert go(rules).verdict is want

    def test_what_comes_by_lo_was_tracked_when_it_was_sent(self) -> None:
        assert go(ruleset(raw((NEW, Drop()))), iif="lo").verdict is Verdict.DROP

    @pytest.mark.parametrize(
        ("priority", "iif", "want"),
        [(-300, "cni0", CtState.UNTRACKED), (-150, "cni0", CtState.NEW), (-300, "lo", CtState.NEW)],
    )
    def test_notrack_works_before_conntrack_only(self, priority: int, iif: str, want: CtState) -> None:
        rules = ruleset(
            raw((NoTrack(),), priority=priority), table(hung("INPUT", (Compare(Field.CT_STATE, AnyBit(want)), Drop())))
        )
        assert go(rules, iif=iif).verdict is Verdict.DROP

    @pytest.mark.parametrize(("priority", "iif"), [(-200, "cni0"), (-150, "cni0"), (-300, "lo")])
    def test_notrack_of_an_invalid_packet_works_at_any_time(self, priority: int, iif: str) -> None:
        untracked = Compare(Field.CT_STATE, AnyBit(CtState.UNTRACKED))
        rules = ruleset(raw((NoTrack(),), priority=priority), table(hung("INPUT", (untracked, Drop()))))
        assert go(rules, iif=iif, ctstate=CtState.INVALID).verdict is Verdict.DROP

    def test_notrack_at_conntracks_own_priority_is_a_maybe(self) -> None:
        rules = ruleset(raw((NoTrack(),), priority=-200), table(hung("INPUT", (NEW, Drop()))))
        assert go(rules).verdict is Verdict.UNDECIDED

    def test_untracked_is_seen_behind_the_rule_that_says_so(self) -> None:
        untracked = Compare(Field.CT_STATE, AnyBit(CtState.UNTRACKED))
        assert go(ruleset(raw((untracked, Accept()), (NoTrack(),), (untracked, Drop())))).verdict is Verdict.DROP

    @pytest.mark.parametrize(
        ("field", "test", "ctstate", "want"),
        [
            (Field.CT_STATUS, AnyBit(32), CtState.NEW, Verdict.ACCEPT),
            (Field.CT_STATUS, AnyBit(32), CtState.ESTABLISHED, Verdict.UNDECIDED),
            (Field.CT_STATUS, AnyBit(32), CtState.UNTRACKED, Verdict.ACCEPT),
            (Field.CT_STATUS, AnyBit(8), CtState.NEW, Verdict.UNDECIDED),
            (Field.CT_DIRECTION, Intervals(((0, 0),)), CtState.NEW, Verdict.DROP),
            (Field.CT_DIRECTION, Intervals(((0, 0),)), CtState.ESTABLISHED, Verdict.UNDECIDED),
            (Field.CT_DIRECTION, Intervals(((0, 0),)), CtState.INVALID, Verdict.ACCEPT),
        ],
    )
    def test_what_is_known_of_a_connection(self, field: Field, test: Any, ctstate: CtState, want: Verdict) -> None:
        assert go(filtering((Compare(field, test), Drop())), ctstate=ctstate).verdict is want

    def test_what_was_translated_on_the_way_out_is_not_known_on_lo(self) -> None:
        assert go(filtering((Compare(Field.CT_STATUS, AnyBit(32)), Drop())), iif="lo").verdict is Verdict.UNDECIDED


class TestNat:
    PORT = Compare(Field.DPORT, Intervals(((8080, 8080),)))
    DNAT = Compare(Field.CT_STATUS, AnyBit(32))

    def after(self, action: Translate, *tests: Any, **changes: Any) -> Walk:
        return go(ruleset(before_nat((action,)), table(hung("INPUT", (*tests, Drop())))), **changes)

    def test_a_redirect_changes_the_port_and_the_connections_status(self) -> None:
        assert self.after(Translate("redirect", port=8080), self.PORT, self.DNAT).verdict is Verdict.DROP

    def test_the_address_after_a_redirect_is_local_but_not_known(self) -> None:
        local = Compare(Field.DADDR_TYPE, Words(("local",)))
        assert self.after(Translate("redirect", port=8080), local).verdict is Verdict.DROP
        there = Compare(Field.DADDR, Intervals(((int(NODE), int(NODE)),)))
        assert self.after(Translate("redirect", port=8080), there).verdict is Verdict.UNDECIDED
        assert self.after(Translate("redirect"), self.DNAT).verdict is Verdict.UNDECIDED

    def test_a_translation_to_the_same_place_is_none(self) -> None:
        for local in ((NODE,), ()):
            assert self.after(Translate("dnat", str(NODE)), self.DNAT, local=local).verdict is Verdict.ACCEPT

    def test_a_translation_to_an_own_address_arrives(self) -> None:
        own = (NODE, ip_address("10.244.4.1"))
        assert self.after(Translate("dnat", "10.244.4.1", 8080), self.PORT, self.DNAT, local=own).verdict is Verdict.DROP

    @pytest.mark.parametrize(
        ("action", "local", "why"),
        [
            (Translate("dnat", "10.244.4.99"), (NODE,), "10.244.4.99, so that the packet does not come to input"),
            (Translate("dnat", "10.244.4.99"), (), "10.244.4.99, and whether that is delivered here is not known"),
            (Translate("dnat", "127.0.0.1"), (NODE, ip_address("127.0.0.1")), "127.0.0.1, and whether"),
            (Translate("dnat", exact=False), (NODE,), "an address that is not known"),
            (Translate("netmap", exact=False), (NODE,), "an address that is not known"),
            (Translate("dnat", "nonsense"), (NODE,), "an address that is not known"),
        ],
    )
    def test_a_packet_sent_elsewhere_is_not_followed(self, action: Translate, local: Any, why: str) -> None:
        found = self.after(action, local=local)
        assert (found.verdict, doubts(found)) == (Verdict.UNDECIDED, [("PREROUTING", 1)])
        assert why in found.assumptions[0].why

    def test_an_unclear_action_in_a_nat_chain_may_have_translated(self) -> None:
        found = go(ruleset(before_nat((UNCLEAR,)), table(hung("INPUT", (NEW, Drop()), Drop()))))
        assert (found.verdict, doubts(found)) == (Verdict.UNDECIDED, [("PREROUTING", 1)])

    def test_a_packet_dropped_before_it_is_routed_is_dropped(self) -> None:
        drop = table(hung("PREROUTING", Drop(), hook=Hook.PREROUTING, priority=-50), name="late")
        assert go(ruleset(before_nat((Translate("dnat", "10.9.9.9"),)), drop)).verdict is Verdict.DROP

    @pytest.mark.parametrize("changes", [{"ctstate": CtState.ESTABLISHED}, {"ctstate": CtState.UNTRACKED}, {"iif": "lo"}])
    def test_only_first_packets_meet_nat_chains(self, changes: dict[str, Any]) -> None:
        assert self.after(Translate("redirect", port=8080), self.PORT, **changes).verdict is Verdict.ACCEPT

    def test_a_related_packet_may_be_the_first_of_its_connection(self) -> None:
        found = self.after(Translate("redirect", port=8080), self.PORT, ctstate=CtState.RELATED)
        assert (found.verdict, len(found.assumptions)) == (Verdict.UNDECIDED, 1)

    def test_a_nat_chain_without_conntrack_may_not_be_asked(self) -> None:
        assert go(ruleset(before_nat(Drop()))).verdict is Verdict.UNDECIDED
        assert go(ruleset(before_nat(Drop()), table(hung("INPUT", (NEW, Accept()))))).verdict is Verdict.DROP
        found = go(ruleset(before_nat(), table(hung("INPUT", Drop()))))
        assert [step.rule.table for step in found.steps] == ["filter"]

    def test_what_a_nat_chain_does_without_conntrack_is_told_as_a_maybe(self) -> None:
        found = go(ruleset(before_nat((set_mark(1),)), table(hung("INPUT", Drop()))))
        assert found.verdict is Verdict.DROP
        assert (found.steps[0].result, found.steps[0].effect, found.steps[0].rule.policy) == (
            "maybe",
            "come to this nat chain",
            True,
        )

    def test_accept_ends_its_own_nat_chain_and_a_translation_all(self) -> None:
        first = before_nat(Accept(), (Translate("redirect", port=8080),))
        second = table(hung("n", (Translate("redirect", port=9),), hook=Hook.PREROUTING, priority=-90, kind="nat"), name="t")
        third = table(hung("m", (Translate("redirect", port=8080),), hook=Hook.PREROUTING, priority=-80, kind="nat"), name="u")
        nine = Compare(Field.DPORT, Intervals(((9, 9),)))
        assert go(ruleset(first, third, second, table(hung("INPUT", (nine, Drop()))))).verdict is Verdict.DROP

    def test_source_nat_at_input_is_seen_behind_it(self) -> None:
        snat = table(hung("INPUT", (Translate("snat", "10.0.0.9"),), priority=100, kind="nat"), name="nat")
        late = table(
            hung("z", (Compare(Field.SADDR, Intervals(((int(POD), int(POD)),))), Drop()), priority=300), family="inet", name="z"
        )
        status = table(hung("y", (Compare(Field.CT_STATUS, AnyBit(16)), Drop()), priority=300), family="inet", name="y")
        assert go(ruleset(snat, late)).verdict is Verdict.ACCEPT
        assert go(ruleset(snat, status)).verdict is Verdict.DROP


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


def test_steps_are_bounded_and_say_so() -> None:
    found = go(filtering(*[(Pass(f"LOG {i}"),) for i in range(MAX_STEPS + 50)], Drop()))
    assert len(found.steps) == MAX_STEPS
    assert found.steps[-1].effect.endswith("(further steps are left out)")
    last = go(filtering(*[(Pass(f"LOG {i}"),) for i in range(MAX_STEPS)]))
    assert last.steps[-1].effect == f"LOG {MAX_STEPS - 1} (further steps are left out)"


# --- the same by brute force: every way a packet may go, one by one --------------------------------------------------

ENDS = {Accept: "ACCEPT", Drop: "DROP"}
ACTIONS = st.sampled_from(
    [Accept(), Drop(), Reject("tcp-reset"), Return(), Pass("LOG"), set_mark(1), set_mark(2), SetMark(Field.MARK, 0xFFFFFFFF, 1)]
)
TESTS = st.sampled_from([(), (TCP_ONLY,), (UDP_ONLY,), (MAYBE,), (marked(1),), (marked(0),), (MAYBE, marked(1))])


@st.composite
def filters(draw: st.DrawFn) -> Ruleset:
    """A base chain and three user chains that jump only forward."""
    chains: list[Chain] = []
    for depth in range(4):
        later = [Jump(f"C{i}", goto) for i in range(depth + 1, 4) for goto in (False, True)]
        actions = ACTIONS if not later else st.one_of(ACTIONS, st.sampled_from(later))
        rules = draw(st.lists(st.tuples(TESTS, actions), max_size=5))
        bodies = [((*tests, action), {}) for tests, action in rules]
        made = (
            hung("C0", *bodies, policy=draw(st.sampled_from(["accept", "drop"]))) if depth == 0 else chain(f"C{depth}", *bodies)
        )
        chains.append(made)
    return ruleset(table(*chains))


def every_way(chains: dict[str, Chain], name: str, mark: int, index: int = 0) -> Iterator[tuple[str, int]]:
    """(end, mark) of each way through a chain: ACCEPT, DROP, REJECT, or FELL off its end."""
    rules = chains[name].rules
    if index == len(rules):
        yield "FELL", mark
        return
    *tests, action = rules[index].statements
    answers = [{TCP_ONLY: True, UDP_ONLY: False, marked(0): mark == 0, marked(1): mark == 1}.get(test) for test in tests]
    if False in answers or None in answers:
        yield from every_way(chains, name, mark, index + 1)
    if False not in answers:
        yield from act(chains, name, mark, index, action)


def act(chains: dict[str, Chain], name: str, mark: int, index: int, action: Any) -> Iterator[tuple[str, int]]:
    match action:
        case Accept() | Drop():
            yield ENDS[type(action)], mark
        case Reject():
            yield "REJECT", mark
        case Return():
            yield "FELL", mark
        case SetMark():
            yield from every_way(chains, name, (mark & action.keep) ^ action.flip, index + 1)
        case Jump():
            for end, after in set(every_way(chains, action.chain, mark)):
                if end == "FELL" and not action.goto:
                    yield from every_way(chains, name, after, index + 1)
                else:
                    yield end, after
        case _:
            yield from every_way(chains, name, mark, index + 1)


@settings(max_examples=80, deadline=None)
@given(filters())
def test_the_walk_finds_every_outcome_and_no_other(rules: Ruleset) -> None:
    chains = {each.name: each for each in rules.tables[0].chains}
    base = chains["C0"].base
    assert base is not None
    want = {base.policy.upper() if end == "FELL" else end for end, _ in every_way(chains, "C0", 0)}
    found = go(rules)
    assert {outcome.verdict.value for outcome in found.outcomes} == want
    assert (found.verdict is Verdict.UNDECIDED) == (len(want) > 1)
    assert bool(found.assumptions) == (len(want) > 1)


@settings(max_examples=50, deadline=None)
@given(filters())
def test_every_assumption_is_a_maybe_and_without_them_the_answer_is_decided(rules: Ruleset) -> None:
    """Taking each assumed rule out of doubt, one after the other, leaves a decided answer at last."""
    listed = {(each.rule.chain, each.rule.rule_number) for each in go(rules).assumptions}
    chains = []
    for each in rules.tables[0].chains:
        kept = []
        for number, one in enumerate(each.rules, 1):
            if (each.name, number) in listed:
                assert MAYBE in one.statements
                kept.append(((UDP_ONLY, Drop()), {}))
            else:
                kept.append((one.statements, {}))
        chains.append(Chain(each.name, chain(each.name, *kept).rules, each.base))
    assert go(ruleset(table(*chains))).verdict is not Verdict.UNDECIDED
