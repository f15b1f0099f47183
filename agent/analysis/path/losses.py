"""What the rules on a packet's way may rewrite before a chain sees it: everything else is as the packet came in.

Partial evaluation (`folding`) may rest on a field only where no rule can have changed it. Too many fields here cost time, one
too few would cost truth.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.analysis.path.changes import changeable
from agent.analysis.path.hooks import Placed, base_chains, base_of, groups
from agent.analysis.path.match import Value, rules_out
from agent.analysis.path.state import Tracking
from agent.model.packet import Field
from agent.model.ruleset import (
    Base,
    Chain,
    CopyMark,
    Forget,
    Hook,
    Jump,
    Rule,
    Ruleset,
    SetMark,
    Statement,
    Table,
    Translate,
    Unclear,
    VerdictMap,
)

Lost = frozenset[Field]
# What NAT may write: the packet's new ends, and what is told from them.
REWRITTEN: Lost = frozenset(
    (Field.SADDR, Field.SADDR_TYPE, Field.SPORT, Field.DADDR, Field.DADDR_TYPE, Field.DPORT, Field.CT_STATUS)
)
_KINDS = {Field.SADDR: Field.SADDR_TYPE, Field.DADDR: Field.DADDR_TYPE}


@dataclass(frozen=True, slots=True)
class Place:
    """A chain by the position of its table in the ruleset and its name."""

    table: int
    chain: str


def find_losses(ruleset: Ruleset, hooks: Sequence[Hook], version: int, fields: Mapping[Field, Value]) -> Mapping[Place, Lost]:
    """Every chain that packets with these fields can come to at these hooks, with the fields that may be rewritten there.

    Fields that differ among the packets, or that nobody knows, are None in `fields` or hold several values at once.
    """
    numbers = {id(table): number for number, table in enumerate(ruleset.tables)}
    found: dict[Place, Lost] = {}
    lost: Lost = frozenset()
    for hook in hooks:
        for group in groups(base_chains(ruleset, hook, version)):
            lost |= _inside(group)
            known = {**fields, **dict.fromkeys(lost)}
            for table, chain in group:
                met = _reach(table, chain, known)
                for each in met:
                    place = Place(numbers[id(table)], each.name)
                    found[place] = found.get(place, frozenset()) | lost
                if any(isinstance(item, Translate) for each in met for item in _live(each, known)):
                    lost |= REWRITTEN
    return found


def targets(rule: Rule) -> Iterator[str]:
    """The chains that a rule may send packets to."""
    for statement in rule.statements:
        if isinstance(statement, Jump):
            yield statement.chain
        elif isinstance(statement, VerdictMap):
            yield from (verdict.chain for _, verdict in statement.entries if isinstance(verdict, Jump))


def rewrites(statement: Statement, base: Base) -> Lost:
    """The fields that an action may change for the rules behind it in the same base chain; NAT ends that chain."""
    match statement:
        case SetMark():
            return frozenset((statement.field,))
        case CopyMark():
            return frozenset((statement.target,))
        case Forget():
            return frozenset((*statement.fields, *(kind for field, kind in _KINDS.items() if field in statement.fields)))
        case Unclear():
            return frozenset(changeable(base, Tracking.BEFORE)) | (REWRITTEN if base.kind == "nat" else frozenset())
        case VerdictMap():
            return frozenset().union(*(rewrites(verdict, base) for _, verdict in statement.entries))
        case _:
            return frozenset()


def _inside(group: Sequence[Placed]) -> Lost:
    """What may change while base chains of one priority are walked, in whatever order."""
    lost: Lost = frozenset()
    for table, chain in group:
        base = base_of(chain)
        for each in _reach(table, chain, {}):
            for rule in each.rules:
                for item in rule.statements:
                    lost |= rewrites(item, base)
                    if len(group) > 1 and isinstance(item, Translate):
                        lost |= REWRITTEN
    return lost


def _reach(table: Table, start: Chain, known: Mapping[Field, Value]) -> tuple[Chain, ...]:
    """The chains that packets can come to from this one; all that it could ever jump to where nothing is `known`."""
    chains = {chain.name: chain for chain in table.chains}
    found, todo = {start.name: start}, [start]
    while todo:
        for rule in todo.pop().rules:
            wanted = [name for name in targets(rule) if name in chains and name not in found]
            if wanted and not (known and rules_out(rule.statements, known)):
                found |= {name: chains[name] for name in wanted}
                todo += [chains[name] for name in wanted]
    return tuple(found.values())


def _live(chain: Chain, known: Mapping[Field, Value]) -> Iterator[Statement]:
    for rule in chain.rules:
        if any(isinstance(item, Translate) for item in rule.statements) and not rules_out(rule.statements, known):
            yield from rule.statements
