"""A ruleset made smaller for many packets at once: rules that none of them can match are left out.

What remains answers for each of these packets exactly as the whole would, because a rule is left out only where a test before
its first action fails for all of them, whatever the rules before it did (`losses`), and an element of a set only where it holds
for none. Two things look at rules that a packet does not match and are kept as they were: whether conntrack is at work
(`hooks.uses_conntrack`), and the numbers of the rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.analysis.path.hooks import needs_conntrack, uses_conntrack
from agent.analysis.path.losses import Lost, Place, find_losses
from agent.analysis.path.match import Value, element_holds, is_match, read_fields, rules_out
from agent.analysis.path.spans import Span
from agent.model.packet import Field, Packet
from agent.model.ruleset import AnyOf, Chain, Compare, Hook, Lookup, Pass, Rule, Ruleset, Statement, Table, Test, VerdictMap
from agent.model.tri import Tri

# Where a rule can meet the packet's source. What is told of the source's type is up to the caller.
SOURCES = (Field.SADDR, Field.CT_SADDR)
# Fields that are as the packet brought them until a rule rewrites them. All others are taken as not known.
_BROUGHT = (
    *(Field.IIF, Field.NFPROTO, Field.PROTOCOL, Field.FRAGMENT, Field.DADDR, Field.SPORT, Field.DPORT, Field.TCP_FLAGS),
    *(Field.ICMP_TYPE, Field.ICMP_CODE, Field.MARK, Field.LENGTH, Field.TTL, Field.DSCP),
)


@dataclass(frozen=True, slots=True)
class Folded:
    """The ruleset that is left for a span of sources.

    `tests` are those on the source that are true for some of them only; `open` are the numbers of the rules that they stand in.
    """

    ruleset: Ruleset
    tests: tuple[Test, ...]
    open: Mapping[Place, frozenset[int]]


class Folding:
    """Folds a ruleset for spans of sources of an otherwise given packet."""

    def __init__(self, ruleset: Ruleset, packet: Packet, hooks: Sequence[Hook], span: Span) -> None:
        fields = read_fields(packet, delivered=True)
        self._known: Mapping[Field, Value] = {**dict.fromkeys(fields), **{name: fields[name] for name in _BROUGHT}}
        self._lost = find_losses(ruleset, hooks, packet.version, {**self._known, Field.SADDR: span})
        everything = dict.fromkeys(self._lost)
        met = replace(ruleset, tables=tuple(self._met(number, table) for number, table in enumerate(ruleset.tables)))
        if uses_conntrack(ruleset, packet.version) and not uses_conntrack(met, packet.version):
            met = ruleset
        self.start = self._fold(met, span, everything)

    def fold(self, folded: Folded, span: Span) -> Folded:
        """What is left of it for a part of its span."""
        return self._fold(folded.ruleset, span, folded.open)

    def _met(self, number: int, table: Table) -> Table:
        return replace(table, chains=tuple(chain for chain in table.chains if Place(number, chain.name) in self._lost))

    def _fold(self, ruleset: Ruleset, span: Span, places: Mapping[Place, frozenset[int] | None]) -> Folded:
        """Looks at the rules of these numbers in these chains, at all rules for None."""
        touched = {place.table for place in places}
        tests: dict[Test, None] = {}
        still_open: dict[Place, frozenset[int]] = {}
        tables = list(ruleset.tables)
        for number in touched:
            chains = list(tables[number].chains)
            for index, chain in enumerate(chains):
                place = Place(number, chain.name)
                if place in places:
                    chains[index], found = self._fold_chain(chain, span, places[place], self._lost[place])
                    if found:
                        still_open[place] = frozenset(found)
                        tests |= {test: None for each in found.values() for test in each}
            tables[number] = replace(tables[number], chains=tuple(chains))
        return Folded(replace(ruleset, tables=tuple(tables)), tuple(tests), still_open)

    def _fold_chain(
        self, chain: Chain, span: Span, numbers: frozenset[int] | None, lost: Lost
    ) -> tuple[Chain, dict[int, tuple[Test, ...]]]:
        fields = {**self._known, Field.SADDR: span, **dict.fromkeys(lost)}
        rules: list[Rule] = []
        found: dict[int, tuple[Test, ...]] = {}
        for rule in chain.rules:
            if numbers is not None and rule.number not in numbers:
                rules.append(rule)
            elif _acts(rule) and not rules_out(rule.statements, fields):
                folded = replace(rule, statements=tuple(_shrink(item, fields) for item in rule.statements))
                rules.append(folded)
                divided = tuple(test for item in folded.statements for test in _divided(item, span))
                if divided:
                    found[rule.number] = divided
            elif any(needs_conntrack(item) for item in rule.statements):
                rules.append(rule)
        return replace(chain, rules=tuple(rules)), found


def _acts(rule: Rule) -> bool:
    """Whether it does anything that the packet's fate can hang on: a rule that only logs or counts does not."""
    return not all(is_match(item) or isinstance(item, Pass) for item in rule.statements)


def _shrink(statement: Statement, fields: Mapping[Field, Value]) -> Statement:
    """The same without the elements that hold for none of the packets."""
    if isinstance(statement, Lookup) and Field.SADDR in statement.fields:
        left = tuple(each for each in statement.elements if element_holds(statement.fields, each, fields) is not Tri.NO)
        return replace(statement, elements=left)
    if isinstance(statement, VerdictMap) and Field.SADDR in statement.fields:
        entries = tuple(each for each in statement.entries if element_holds(statement.fields, each[0], fields) is not Tri.NO)
        return replace(statement, entries=entries)
    return statement


def _divided(statement: Statement, span: Span) -> Iterator[Test]:
    """The tests of the source that not all addresses of the span answer alike."""
    if isinstance(statement, AnyOf):
        for each in statement.tests:
            yield from _divided(each, span)
        return
    asked: Iterator[tuple[Field, Test]]
    if isinstance(statement, Compare):
        asked = iter(((statement.field, statement.test),))
    elif isinstance(statement, Lookup):
        asked = ((name, test) for each in statement.elements for name, test in zip(statement.fields, each, strict=True))
    elif isinstance(statement, VerdictMap):
        asked = ((name, test) for each, _ in statement.entries for name, test in zip(statement.fields, each, strict=True))
    else:
        return
    yield from (test for name, test in asked if name in SOURCES and span.passes(test) is Tri.UNKNOWN)
