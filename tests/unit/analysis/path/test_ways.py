"""The ways of a packet beside the plain one to this node: its answer, through the node, from the host to itself."""

from ipaddress import ip_address
from typing import Any

import pytest

from agent.analysis.path.answer import answer_to
from agent.analysis.path.explain import Way, explain, explain_way
from agent.analysis.path.walk import walk
from agent.model.explanation import Departure, Verdict
from agent.model.packet import CtState, Field
from agent.model.ruleset import (
    Accept,
    AnyBit,
    Backend,
    Compare,
    Drop,
    Hook,
    Intervals,
    Lookup,
    Masked,
    Names,
    NoTrack,
    Pass,
    Reject,
    Ruleset,
    SetMark,
    Translate,
    Words,
)
from tests.unit.analysis.path.rulesets import MAYBE, NODE, POD, hung, packet, ruleset, table

AWAY = ip_address("172.31.22.159")
OTHER = "172.31.16.200"
LOCAL_SOURCE = Compare(Field.SADDR_TYPE, Words(("local",)))
INVALID = Compare(Field.CT_STATE, AnyBit(CtState.INVALID))
SEEN_REPLY = Compare(Field.CT_STATUS, AnyBit(2))
REPLYING = Compare(Field.CT_DIRECTION, Intervals(((1, 1),)))


def port(field: Field, number: int) -> Compare:
    return Compare(field, Intervals(((number, number),)))


def source(address: str) -> Compare:
    number = int(ip_address(address))
    return Compare(Field.SADDR, Intervals(((number, number),)))


def sending(*rules: Any, policy: str = "accept", others: tuple[Any, ...] = (), **more: Any) -> Ruleset:
    """A ruleset with one OUTPUT chain, and other tables."""
    return ruleset(table(hung("OUTPUT", *rules, hook=Hook.OUTPUT, policy=policy)), *others, **more)


def at(hook: Hook, *rules: Any, **more: Any) -> Ruleset:
    return ruleset(table(hung(hook.upper(), *rules, hook=hook, **more), name="mangle"))


def translating(hook: Hook, action: Translate, *rules: Any) -> Any:
    return table(hung(hook.upper(), (action,), *rules, hook=hook, kind="nat", priority=100), name="nat")


def test_an_answer_that_output_drops_is_named_beside_the_accept() -> None:
    found = explain(sending((Compare(Field.OIF, Names(("cni0",))), Drop())), packet())
    assert found.verdict is Verdict.ACCEPT
    assert found.reply is not None
    assert (found.reply.verdict, found.reply.lost) == (Verdict.DROP, True)
    assert found.stopped_by == found.reply.decided_by
    assert found.stopped_by is not None
    assert (found.stopped_by.hook, found.stopped_by.rule_number) == ("output", 1)
    assert found.client_sees == "ETIMEDOUT"


def test_an_answer_that_gets_out_is_no_news() -> None:
    found = explain(sending((INVALID, Drop()), Accept()), packet())
    assert found.reply is not None
    assert (found.reply.verdict, found.reply.lost, found.stopped_by, found.client_sees) == (Verdict.ACCEPT, False, None, None)
    assert found.reply.decided_by is not None
    assert found.reply.decided_by.rule_number == 2


def test_of_a_packet_that_does_not_arrive_nothing_is_answered() -> None:
    found = explain(ruleset(table(hung("INPUT", Drop()), hung("OUTPUT", Drop(), hook=Hook.OUTPUT))), packet())
    assert (found.verdict, found.reply, found.stopped_by) == (Verdict.DROP, None, found.decided_by)


def test_what_came_by_lo_went_out_unseen_and_so_does_its_answer() -> None:
    assert explain(sending(Drop()), packet(iif="lo", source=NODE)).reply is None


@pytest.mark.parametrize(
    ("rules", "want"),
    [
        ((Compare(Field.SADDR, Intervals(((int(NODE), int(NODE)),))), Drop()), Verdict.DROP),
        ((Compare(Field.DADDR, Intervals(((int(POD), int(POD)),))), Drop()), Verdict.DROP),
        ((port(Field.SPORT, 10250), port(Field.DPORT, 40000), Drop()), Verdict.DROP),
        ((Compare(Field.TCP_FLAGS, Masked(0x17, 0x12)), Drop()), Verdict.DROP),
        ((Compare(Field.CT_STATE, AnyBit(CtState.ESTABLISHED)), Drop()), Verdict.DROP),
        ((Compare(Field.CT_STATE, AnyBit(CtState.NEW)), Drop()), Verdict.ACCEPT),
        ((REPLYING, Drop()), Verdict.DROP),
        ((SEEN_REPLY, Drop()), Verdict.DROP),
        ((port(Field.CT_DPORT, 10250), Drop()), Verdict.DROP),
        ((port(Field.CT_SPORT, 10250), Drop()), Verdict.ACCEPT),
        ((LOCAL_SOURCE, Drop()), Verdict.DROP),
        ((Compare(Field.IIF, Names(("cni0",))), Drop()), Verdict.ACCEPT),
        ((Compare(Field.PHYSDEV_OUT, Names(("veth*",))), Drop()), Verdict.ACCEPT),
        ((Compare(Field.MARK, Masked(1, 1)), Drop()), Verdict.ACCEPT),
        ((Reject("tcp-reset"),), Verdict.REJECT),
        ((MAYBE, Drop()), Verdict.UNDECIDED),
    ],
)
def test_what_is_known_of_the_answer(rules: Any, want: Verdict) -> None:
    found = explain(sending(rules), packet(mark=1))
    assert found.reply is not None
    assert found.reply.verdict is want
    assert bool(found.reply.assumptions) is (want is Verdict.UNDECIDED)


def test_of_an_old_connections_answer_less_is_known() -> None:
    old = packet(ctstate=CtState.ESTABLISHED)
    for asked in (REPLYING, SEEN_REPLY, port(Field.CT_DPORT, 10250)):
        found = explain(sending((asked, Drop())), old)
        assert found.reply is not None
        assert found.reply.verdict is Verdict.UNDECIDED


def test_a_maybe_on_the_way_there_can_decide_on_the_way_back() -> None:
    marking = hung("PREROUTING", (MAYBE, SetMark(Field.CT_MARK, 0, 5)), hook=Hook.PREROUTING, priority=-150)
    tables = (table(marking, name="mangle"),)
    marked = Compare(Field.CT_MARK, Intervals(((5, 5),)))
    found = explain(sending((marked, Drop()), others=tables), packet())
    assert found.reply is not None
    assert found.reply.verdict is Verdict.UNDECIDED
    assert [(each.rule.hook, each.why) for each in found.reply.assumptions] == [("prerouting", MAYBE.why)]
    harmless = explain(sending((INVALID, Drop()), others=tables), packet())
    assert harmless.reply is not None
    assert harmless.reply.verdict is Verdict.ACCEPT


@pytest.mark.parametrize(("changes", "want"), [({}, Verdict.DROP), ({"protocol": 17}, Verdict.UNDECIDED)])
def test_the_answer_of_the_untracked(changes: dict[str, Any], want: Verdict) -> None:
    untracking = table(hung("PREROUTING", NoTrack(), hook=Hook.PREROUTING, priority=-300), name="raw")
    found = explain(sending((INVALID, Drop()), others=(untracking,)), packet(**changes))
    assert found.reply is not None
    assert found.reply.verdict is want


class TestTranslated:
    redirect = Translate("redirect", port=8080)

    def go(self, hook: Hook, *rules: Any, priority: int = 0, action: Translate = redirect) -> Verdict:
        there = translating(Hook.PREROUTING, action) if action.kind != "snat" else translating(Hook.INPUT, action)
        asks = (Compare(Field.CT_STATE, AnyBit(CtState.INVALID)), Drop())
        back = table(hung("back", asks, *rules, hook=hook, priority=priority), family="inet", backend=Backend.NFT)
        found = explain(ruleset(there, back), packet())
        assert found.reply is not None
        return found.reply.verdict

    def test_it_comes_from_the_port_that_was_really_asked(self) -> None:
        assert self.go(Hook.OUTPUT, (port(Field.SPORT, 8080), Drop())) is Verdict.DROP
        assert self.go(Hook.OUTPUT, (port(Field.SPORT, 10250), Drop())) is Verdict.ACCEPT
        assert self.go(Hook.POSTROUTING, (port(Field.SPORT, 8080), Drop()), priority=-150) is Verdict.DROP

    def test_from_an_address_that_is_local_whichever_it_is(self) -> None:
        assert self.go(Hook.OUTPUT, (LOCAL_SOURCE, Drop())) is Verdict.DROP

    def test_where_it_gets_its_old_source_back_is_not_followed(self) -> None:
        assert self.go(Hook.POSTROUTING, (port(Field.SPORT, 8080), Drop()), priority=300) is Verdict.UNDECIDED

    def test_without_translation_there_is_nothing_to_give_back(self) -> None:
        same = Translate("dnat", str(NODE))
        dropping = (port(Field.SPORT, 10250), Drop())
        assert self.go(Hook.POSTROUTING, dropping, priority=300, action=same) is Verdict.DROP

    def test_an_answer_to_a_rewritten_source_is_not_followed(self) -> None:
        renamed = Translate("snat", OTHER)
        to_pod = (Compare(Field.DADDR, Intervals(((int(POD), int(POD)),))), Drop())
        assert self.go(Hook.OUTPUT, to_pod, action=renamed) is Verdict.UNDECIDED


def test_what_has_no_answer() -> None:
    assert answer_to(packet(ctstate=CtState.RELATED)) is None
    assert answer_to(packet(protocol=1, icmp_type=3)) is None
    assert answer_to(packet(protocol=1)) is None
    assert answer_to(packet(icmp_type=8)) is None


def test_an_echo_is_answered() -> None:
    answer = answer_to(packet(protocol=1, icmp_type=8, sport=None, dport=None, oif="eth9"))
    assert answer is not None
    assert (answer.icmp_type, answer.icmp_code, answer.tcp_flags, answer.oif) == (0, 0, None, "eth9")


def test_a_chain_behind_ip_takes_the_answers_accept_back() -> None:
    behind = table(hung("out", Drop(), hook=Hook.EGRESS), family="netdev", name="guard", backend=Backend.NFT)
    found = explain(sending(Accept(), others=(behind,)), packet())
    assert found.verdict is Verdict.ACCEPT
    assert found.reply is not None
    assert found.reply.verdict is Verdict.UNDECIDED
    assert ["behind" in each.why for each in found.reply.assumptions] == [True]
    lost = explain(sending(Drop(), others=(behind,)), packet())
    assert lost.reply is not None
    assert lost.reply.verdict is Verdict.DROP


class TestForward:
    def go(self, rules: Ruleset, **changes: Any) -> Any:
        return explain_way(rules, packet(**({"destination": AWAY, "oif": "eth1"} | changes)), Way.FORWARD)

    def test_the_rule_of_forward_decides(self) -> None:
        rules = ruleset(
            table(hung("INPUT", Drop()), hung("FORWARD", Accept(), hook=Hook.FORWARD)),
            table(hung("POSTROUTING", hook=Hook.POSTROUTING), name="mangle"),
        )
        found = self.go(rules)
        assert (found.verdict, found.decided_by.chain, found.decided_by.rule_number) == (Verdict.ACCEPT, "FORWARD", 1)
        assert found.packet["out"] == "eth1"
        assert found.reply is None

    def test_without_a_rule_of_forward_a_later_one_is_told(self) -> None:
        rules = ruleset(table(hung("POSTROUTING", Accept(), hook=Hook.POSTROUTING), name="mangle"))
        assert self.go(rules).decided_by.chain == "POSTROUTING"

    def test_it_leaves_as_itself(self) -> None:
        own = Departure(source=str(POD), sport=40000, destination=str(AWAY), dport=10250)
        assert self.go(ruleset()).leaves_as == (own,)
        six = {"source": ip_address("fd00::8a"), "destination": ip_address("fd00::9"), "local": ()}
        assert [each.source for each in self.go(ruleset(), **six).leaves_as] == ["fd00::8a"]

    def test_source_nat_names_the_new_source_and_the_rule(self) -> None:
        (leaves,) = self.go(ruleset(translating(Hook.POSTROUTING, Translate("snat", OTHER)))).leaves_as
        assert (leaves.source, leaves.rewritten_by.rule_number) == (OTHER, 1)

    def test_the_address_of_a_masquerade_is_not_known(self) -> None:
        sure = table(hung("FORWARD", (INVALID, Drop()), hook=Hook.FORWARD))
        (leaves,) = self.go(ruleset(sure, translating(Hook.POSTROUTING, Translate("masquerade")))).leaves_as
        assert (leaves.source, leaves.sport) == (None, None)
        assert leaves.rewritten_by is not None

    def test_destination_nat_to_who_knows_where(self) -> None:
        sure = table(hung("POSTROUTING", (INVALID, Drop()), hook=Hook.POSTROUTING))
        moved = translating(Hook.PREROUTING, Translate("dnat", exact=False))
        assert self.go(ruleset(sure, moved)).verdict is Verdict.UNDECIDED

    def test_its_destination_is_not_local_even_if_nobody_says_which_are(self) -> None:
        local = (Compare(Field.DADDR_TYPE, Words(("local",))), Drop())
        assert self.go(at(Hook.PREROUTING, local), local=()).verdict is Verdict.ACCEPT

    def test_a_packet_to_this_node_is_not_forwarded(self) -> None:
        found = self.go(ruleset(), destination=NODE)
        assert (found.verdict, found.leaves_as) == (Verdict.UNDECIDED, ())
        assert "delivered, not forwarded" in found.problems[0]

    def test_the_type_of_a_rewritten_source_is_looked_up_again(self) -> None:
        sure = table(hung("FORWARD", (INVALID, Drop()), hook=Hook.FORWARD))
        late = table(
            hung("late", (LOCAL_SOURCE, Drop()), hook=Hook.POSTROUTING, priority=300), family="inet", backend=Backend.NFT
        )

        def go(address: str, **changes: Any) -> Verdict:
            verdict: Verdict = self.go(
                ruleset(sure, translating(Hook.POSTROUTING, Translate("snat", address)), late), **changes
            ).verdict
            return verdict

        assert go(str(NODE)) is Verdict.DROP
        assert go(OTHER) is Verdict.ACCEPT
        assert go(OTHER, local=()) is Verdict.UNDECIDED

    def test_the_device_of_entry_is_an_old_kernels_secret_behind_routing(self) -> None:
        assert self.go(at(Hook.POSTROUTING, (Compare(Field.IIF, Names(("cni0",))), Drop()))).verdict is Verdict.UNDECIDED


class TestFromHost:
    def go(self, rules: Ruleset, **changes: Any) -> Any:
        return explain_way(rules, packet(**({"source": NODE, "iif": None} | changes)), Way.FROM_HOST)

    @pytest.mark.parametrize("hook", [Hook.OUTPUT, Hook.POSTROUTING, Hook.PREROUTING, Hook.INPUT])
    def test_it_passes_four_hooks(self, hook: Hook) -> None:
        found = self.go(at(hook, Drop()))
        assert (found.verdict, found.decided_by.hook) == (Verdict.DROP, hook)
        assert (found.packet["in"], found.packet["out"]) == ("lo", "lo")

    def test_its_answer_passes_them_as_well(self) -> None:
        answering = Compare(Field.TCP_FLAGS, Masked(0x12, 0x12))
        found = self.go(at(Hook.INPUT, (answering, Compare(Field.IIF, Names(("lo",))), Drop())))
        assert (found.verdict, found.reply.verdict, found.client_sees) == (Verdict.ACCEPT, Verdict.DROP, "ETIMEDOUT")

    def test_it_has_no_device_of_entry_until_it_comes_back(self) -> None:
        by_lo = (Compare(Field.IIF, Names(("lo",))), Drop())
        assert self.go(at(Hook.OUTPUT, by_lo)).verdict is Verdict.ACCEPT
        assert self.go(at(Hook.POSTROUTING, by_lo)).verdict is Verdict.ACCEPT
        assert self.go(at(Hook.PREROUTING, by_lo)).verdict is Verdict.DROP

    def test_sent_elsewhere_it_does_not_come_back(self) -> None:
        sure = table(hung("OUTPUT", (INVALID, Drop()), hook=Hook.OUTPUT))
        found = self.go(ruleset(sure, translating(Hook.OUTPUT, Translate("dnat", str(AWAY)))))
        assert found.verdict is Verdict.UNDECIDED
        assert "does not come to postrouting" in found.assumptions[0].why


def test_an_answer_alone_can_be_walked() -> None:
    answer = packet(source=NODE, destination=POD, sport=10250, dport=40000, iif=None, oif="cni0", ctstate=CtState.ESTABLISHED)
    assert explain_way(sending(Drop()), answer, Way.REPLY).verdict is Verdict.DROP


def test_arrivals_are_the_packets_as_they_come_through() -> None:
    marking = hung("PREROUTING", (MAYBE, SetMark(Field.MARK, 0, 5)), hook=Hook.PREROUTING)
    found = walk(ruleset(table(marking, name="mangle")), packet(), (Hook.PREROUTING,))
    assert (found.verdict, {state.mark for state in found.arrivals}) == (Verdict.ACCEPT, {0, 5})
    assert walk(at(Hook.INPUT, Drop()), packet(), (Hook.INPUT,)).arrivals == ()


@pytest.mark.parametrize("field", [Field.CT_SADDR, Field.CT_PROTOCOL])
def test_whoever_asks_for_a_connections_beginning_needs_conntrack(field: Field) -> None:
    asking = table(hung("FORWARD", (Lookup((field,), ((Intervals(((1, 1),)),),)), Drop()), hook=Hook.FORWARD))
    renaming = translating(Hook.POSTROUTING, Translate("snat", OTHER))
    found = explain_way(ruleset(asking, renaming), packet(destination=AWAY), Way.FORWARD)
    assert [each.source for each in found.leaves_as] == [OTHER]


def test_an_action_without_words_leaves_none_in_the_account() -> None:
    found = walk(at(Hook.INPUT, (Pass(""), Drop())), packet(), (Hook.INPUT,))
    assert [step.effect for step in found.steps] == ["drop"]


def test_what_conntrack_found_invalid_can_be_untracked_at_any_time() -> None:
    untracked = Compare(Field.CT_STATE, AnyBit(CtState.UNTRACKED))
    found = explain(at(Hook.INPUT, NoTrack(), (untracked, Drop())), packet(ctstate=CtState.INVALID))
    assert found.verdict is Verdict.DROP
