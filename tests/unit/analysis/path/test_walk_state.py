"""What a rule changes of the packet, and who sees it afterwards: marks, conntrack, NAT."""

from ipaddress import ip_address
from typing import Any

import pytest

from agent.analysis.path.walk import Walk
from agent.model.explanation import Verdict
from agent.model.packet import CtState, Field
from agent.model.ruleset import (
    Accept,
    AnyBit,
    Compare,
    CopyMark,
    Drop,
    Forget,
    Hook,
    Intervals,
    Masked,
    NoTrack,
    SetMark,
    Translate,
    Words,
)
from tests.unit.analysis.path.rulesets import (
    NODE,
    POD,
    filtering,
    hung,
    ruleset,
    table,
)
from tests.unit.analysis.path.walking import NEW, UNCLEAR, before_nat, doubts, go, marked, place, raw, set_mark


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
