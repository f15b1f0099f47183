import pytest

from agent.analysis.path.hooks import base_chains, base_of, groups, link_chains, run_priority, uses_conntrack
from agent.model.packet import CtState, Field
from agent.model.ruleset import (
    Accept,
    AnyBit,
    AnyOf,
    Backend,
    Base,
    Compare,
    CopyMark,
    Drop,
    Hook,
    Intervals,
    Jump,
    Lookup,
    Pass,
    SetMark,
    Statement,
    Translate,
    VerdictMap,
)
from tests.unit.analysis.path.rulesets import MAYBE, TCP_ONLY, chain, filtering, hung, ruleset, table

NEW = Compare(Field.CT_STATE, AnyBit(CtState.NEW))


def test_chains_of_all_tables_and_backends_come_in_order_of_priority() -> None:
    found = base_chains(
        ruleset(
            table(hung("INPUT"), hung("FORWARD", hook=Hook.FORWARD), chain("user")),
            table(hung("INPUT", priority=-150), name="mangle", backend=Backend.NFT),
            table(hung("in", priority=10), name="firewalld", family="inet", backend=Backend.NFT),
            table(hung("early", priority=-300), name="six", family="ip6", backend=Backend.NFT),
            table(hung("frames", priority=-400), name="b", family="bridge", backend=Backend.NFT),
        ),
        Hook.INPUT,
        4,
    )
    assert [(each.name, placed.name) for each, placed in found] == [
        ("mangle", "INPUT"),
        ("filter", "INPUT"),
        ("firewalld", "in"),
    ]


def test_each_ip_version_meets_its_own_tables() -> None:
    rules = ruleset(table(hung("a"), family="ip"), table(hung("b"), family="ip6"), table(hung("c"), family="inet"))
    assert [each.name for _, each in base_chains(rules, Hook.INPUT, 4)] == ["a", "c"]
    assert [each.name for _, each in base_chains(rules, Hook.INPUT, 6)] == ["b", "c"]


@pytest.mark.parametrize(
    ("hook", "want"), [(Hook.PREROUTING, -100), (Hook.OUTPUT, -100), (Hook.INPUT, 100), (Hook.POSTROUTING, 100)]
)
def test_nat_chains_run_where_the_nat_hook_does(hook: Hook, want: int) -> None:
    assert run_priority(Base("nat", hook, 7)) == want
    assert run_priority(Base("filter", hook, 7)) == 7


def test_chains_of_one_priority_are_kept_together() -> None:
    rules = ruleset(
        table(hung("a", priority=5), hung("b", priority=-90, kind="nat", hook=Hook.PREROUTING)),
        table(hung("c", priority=5), hung("d", priority=-110, kind="nat", hook=Hook.PREROUTING), name="t"),
    )
    assert [[each.name for _, each in group] for group in groups(base_chains(rules, Hook.INPUT, 4))] == [["a", "c"]]
    assert [[each.name for _, each in group] for group in groups(base_chains(rules, Hook.PREROUTING, 4))] == [["d", "b"]]


def test_a_user_chain_is_no_base_chain() -> None:
    with pytest.raises(ValueError, match="user is not a base chain"):
        base_of(chain("user"))


@pytest.mark.parametrize(
    ("statement", "want"),
    [
        (NEW, True),
        (AnyOf((TCP_ONLY, NEW)), True),
        (Lookup((Field.DPORT, Field.CT_MARK), ()), True),
        (VerdictMap((Field.CT_STATE,), ()), True),
        (SetMark(Field.CT_MARK, 0, 1), True),
        (CopyMark(Field.MARK, Field.CT_MARK), True),
        (Translate("masquerade"), True),
        (SetMark(Field.MARK, 0, 1), False),
        (AnyOf((TCP_ONLY,)), False),
        (MAYBE, False),
        (Drop(), False),
    ],
)
def test_conntrack_is_at_work_when_a_rule_asks_for_it(statement: Statement, want: bool) -> None:
    assert uses_conntrack(filtering((statement,)), 4) is want
    assert not uses_conntrack(filtering((statement,)), 6)


@pytest.mark.parametrize(
    ("action", "want"), [(Translate("dnat", "10.0.0.1"), False), (Translate("redirect"), True), (NEW, True)]
)
def test_in_an_inet_table_only_nat_of_one_version_leaves_the_other_without_conntrack(action: Statement, want: bool) -> None:
    rules = ruleset(table(hung("n", (Compare(Field.NFPROTO, Intervals(((2, 2),))), action)), family="inet"))
    assert uses_conntrack(rules, 4)
    assert uses_conntrack(rules, 6) is want


@pytest.mark.parametrize(
    ("family", "made", "want"),
    [
        ("netdev", hung("i", (Drop(),), hook=Hook.INGRESS), True),
        ("netdev", hung("i", hook=Hook.INGRESS, policy="drop"), True),
        ("netdev", hung("i", (MAYBE, Pass("log"), Accept()), (Jump("x"),), hook=Hook.INGRESS), False),
        ("netdev", hung("i", (SetMark(Field.MARK, 0, 1),), hook=Hook.INGRESS), True),
        ("netdev", hung("i", hook=Hook.INGRESS), False),
        ("inet", hung("i", (Drop(),), hook=Hook.INGRESS), True),
        ("inet", hung("i", (Drop(),)), False),
        ("bridge", hung("i", (Drop(),)), True),
        ("bridge", hung("i", (Drop(),), hook=Hook.FORWARD), False),
        ("arp", hung("i", (Drop(),)), False),
    ],
)
def test_chains_below_ip_that_may_stop_a_packet_are_known(family: str, made: object, want: bool) -> None:
    assert bool(link_chains(ruleset(table(made, family=family, backend=Backend.NFT)))) is want  # type: ignore[arg-type]
