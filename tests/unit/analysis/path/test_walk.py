"""One chain and the chains it jumps to: which rule decides, and where nobody can say."""

from ipaddress import ip_address
from typing import Any

from agent.analysis.path.steps import MAX_STEPS
from agent.analysis.path.trail import MOST_OTHERS
from agent.model.explanation import Verdict
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    Backend,
    Compare,
    Drop,
    Forget,
    Intervals,
    Jump,
    Masked,
    Pass,
    Reject,
    Return,
    SetMark,
    Unclear,
    VerdictMap,
)
from tests.unit.analysis.path.rulesets import (
    MAYBE,
    TCP_ONLY,
    UDP_ONLY,
    chain,
    filtering,
    hung,
    ruleset,
    table,
)
from tests.unit.analysis.path.walking import HOST_PROHIBITED, UNCLEAR, doubts, go, marked, place, raw, set_mark


class TestOneChain:
    def test_the_first_rule_that_ends_the_packet_decides(self) -> None:
        found = go(filtering((UDP_ONLY, Drop()), (TCP_ONLY, HOST_PROHIBITED), Drop()))
        assert (found.verdict, found.reply, place(found)) == (Verdict.REJECT, "icmp-host-prohibited", ("filter", "INPUT", 2))
        assert [(step.rule.rule_number, step.result, step.effect) for step in found.steps] == [
            (2, "match", "reject with icmp-host-prohibited")
        ]

    def test_a_rule_in_doubt_that_would_decide_alike_is_told_beside_the_sure_one(self) -> None:
        found = go(filtering((MAYBE, HOST_PROHIBITED), (TCP_ONLY, HOST_PROHIBITED)))
        assert (found.verdict, place(found)) == (Verdict.REJECT, ("filter", "INPUT", 2))
        assert [each.rule_number for each in found.or_by] == [1]

    def test_of_very_many_that_would_decide_alike_a_few_are_told(self) -> None:
        found = go(filtering(*[(MAYBE, Drop())] * 100, Drop()))
        assert place(found) == ("filter", "INPUT", 101)
        assert len(found.or_by) == MOST_OTHERS

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


def test_steps_are_bounded_and_say_so() -> None:
    found = go(filtering(*[(Pass(f"LOG {i}"),) for i in range(MAX_STEPS + 50)], Drop()))
    assert len(found.steps) == MAX_STEPS
    assert found.steps[-1].effect.endswith("(further steps are left out)")
    last = go(filtering(*[(Pass(f"LOG {i}"),) for i in range(MAX_STEPS)]))
    assert last.steps[-1].effect == f"LOG {MAX_STEPS - 1} (further steps are left out)"
