"""Words for the tests of the walk: a packet sent through some rules, and what is said of it."""

from typing import Any

from agent.analysis.path.walk import Walk, walk
from agent.model.packet import CtState, Field
from agent.model.ruleset import (
    AnyBit,
    Compare,
    Hook,
    Masked,
    Reject,
    Ruleset,
    SetMark,
    Table,
    Unclear,
)
from tests.unit.analysis.path.rulesets import (
    hung,
    packet,
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
