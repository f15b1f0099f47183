"""A packet, the rule that ends it, and the rules around: what every lookalike of a cause looks at."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.analysis.diagnosis.catalog import Cause
from agent.analysis.diagnosis.places import table_at
from agent.analysis.path.match import evaluate
from agent.model.capture import TextFile
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.packet import Field, Packet
from agent.model.ruleset import Accept, Chain, Compare, Intervals, Jump, Match, Rule, Ruleset, Table
from agent.model.tri import Tri

Story = tuple[Cause, str]
BLOCKS = (Verdict.DROP, Verdict.REJECT)


@dataclass(frozen=True, slots=True)
class Block:
    """`explanation` ends in a DROP or REJECT by `rule`, a rule of `chain` in `table` or its policy.

    `saved` are the firewall files that were found on the node.
    """

    ruleset: Ruleset
    packet: Packet
    explanation: Explanation
    rule: RuleRef
    table: Table
    chain: Chain
    saved: tuple[TextFile, ...] = ()


def find_block(
    ruleset: Ruleset, packet: Packet | None, explanation: Explanation | None, saved: tuple[TextFile, ...] = ()
) -> Block | None:
    """What surely stops the packet; None where nothing does, where that is not decided, and where there is no packet."""
    rule = explanation.decided_by if explanation is not None and explanation.verdict in BLOCKS else None
    if packet is None or explanation is None or rule is None:
        return None
    table = table_at(ruleset, rule)
    chain = table.chain(rule.chain) if table is not None else None
    return Block(ruleset, packet, explanation, rule, table, chain, saved) if table is not None and chain is not None else None


def rules_before(block: Block) -> Iterator[tuple[Chain, Rule]]:
    """The rules that stand before the blocking one in its chain, and those of the chains that they jump to, each chain once."""
    return _walk(block.table, block.chain, block.rule.rule_number, {block.chain.name})


def _walk(table: Table, chain: Chain, until: int | None, seen: set[str]) -> Iterator[tuple[Chain, Rule]]:
    for rule in chain.rules:
        if until is not None and rule.number >= until:
            return
        yield chain, rule
        for name in (item.chain for item in rule.statements if isinstance(item, Jump) and item.chain not in seen):
            seen.add(name)
            target = table.chain(name)
            if target is not None:
                yield from _walk(table, target, None, seen)


def accepts(rule: Rule) -> bool:
    """Whether its verdict is ACCEPT."""
    return any(isinstance(statement, Accept) for statement in rule.statements)


def unmet(rule: Rule, packet: Packet) -> list[Match]:
    """The tests of the rule that do not surely hold for the packet as it enters."""
    matches = [statement for statement in rule.statements if isinstance(statement, Match)]
    return [match for match in matches if evaluate(match, packet) is not Tri.YES]


def names_port(rule: Rule) -> bool:
    """Whether the rule speaks of a few destination ports, not of all of them."""
    return any(
        isinstance(statement, Compare)
        and statement.field is Field.DPORT
        and not statement.negate
        and isinstance(statement.test, Intervals)
        and sum(high - low + 1 for low, high in statement.test.ranges) < 1024
        for statement in rule.statements
    )
