"""Reads iptables-save, ip6tables-save and `iptables -S`, of either backend and any age, into a ruleset.

It never raises and loses nothing: a line that looks like a rule but is not understood is kept as a rule that may do
anything and says why, and every line that is no rule and could not be read has its sentence in `problems`.

Rules are first sorted to their chains as they are, and understood chain by chain when somebody looks (late.py): through
shapes.py where a rule is one of many alike, else word by word. A rule keeps its line, and nothing else is kept twice.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from agent.analysis.readers.iptables_rule import ANYTHING, parse_counter, read_words
from agent.analysis.readers.late import LateRules, Lines
from agent.analysis.readers.shapes import Shapes
from agent.analysis.readers.tokens import Stretch, stretches, without_words, words
from agent.model.ruleset import (
    Backend,
    Base,
    Chain,
    Counter,
    Forget,
    Hook,
    Rule,
    Ruleset,
    Table,
    Unclear,
)

# Priorities of the kernel's own hooks: enum nf_ip_hook_priorities in linux/netfilter_ipv4.h.
_PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_NAT_SOURCE = 100
_HOOKS = {hook.value.upper(): hook for hook in Hook if hook is not Hook.INGRESS}
# `iptables -S` does not print the table; the policies it prints first tell all but security from filter.
_TABLES = {
    frozenset(("PREROUTING", "OUTPUT")): "raw",
    frozenset(("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")): "nat",
    frozenset(("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")): "mangle",
}
_QUOTED = 5  # lines that are not understood: the first few show what kind of text it is
_DECLARATION = re.compile(r":(\S+)(?:[ \t]+([A-Z]+|-))?(?:[ \t]+\[(\d+):(\d+)\])?", re.ASCII)
_COUNTS = re.compile(r"\[(\d+):(\d+)\][ \t]+", re.ASCII)
_EDITS = {"-I", "--insert", "-R", "--replace", "-D", "--delete", "-F", "--flush", "-X", "-Z", "-E"}


@dataclass(slots=True)
class _Chain:
    """`lines` are those of its rules, `edits` those that edit it."""

    lines: Lines
    policy: str = ""
    counter: Counter | None = None
    declared: bool = False
    edits: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Table:
    text: str
    name: str = ""
    chains: dict[str, _Chain] = field(default_factory=dict)

    def chain(self, name: str) -> _Chain:
        found = self.chains.get(name)
        if found is None:
            found = self.chains[name] = _Chain(Lines(self.text))
        return found


class _Reader:
    """Collects tables stretch by stretch; rules are understood at the end or later, when all chain names are known."""

    def __init__(self, text: str, backend: Backend, family: str) -> None:
        self.text, self.backend, self.family = text, backend, family
        self.tables: dict[str, _Table] = {}
        self.table: _Table | None = None
        self.listed = _Table(text)  # what stood outside any table: `iptables -S`
        self.adrift = False  # chains of iptables-save without its table lines, or rules beside the tables
        self.problems: list[str] = []
        self.strange = 0  # lines that are nothing of iptables-save's

    def read(self, stretch: Stretch) -> None:
        """Takes one stretch of the text."""
        if stretch.chain:
            (self.table or self.listed).chain(stretch.chain).lines.add(stretch.start, stretch.end)
            return
        line, number = self.text[stretch.start : stretch.end].strip(" \t\r"), stretch.number
        if not line or line[0] == "#":
            return
        if line[0] == "*":
            self._open(number, line[1:].strip())
        elif line[0] == ":":
            self._declare(number, line)
        elif line == "COMMIT":
            self.table = None
        elif not self._read_command(stretch, line):
            self.strange += 1
            if self.strange <= _QUOTED:
                self.problems.append(f"Line {number} is not understood: {line}")

    def _open(self, number: int, name: str) -> None:
        if name in self.tables:
            self.problems.append(f"Line {number}: table {name} is given a second time; only the last one is used.")
        self.table = self.tables[name] = _Table(self.text, name)

    def _declare(self, number: int, line: str) -> None:
        found = _DECLARATION.fullmatch(line)
        if found is None:
            self.problems.append(f"Line {number} does not declare a chain: {line}")
            return
        if self.table is None:
            self.adrift = True
        chain = (self.table or self.listed).chain(found[1])
        chain.declared, chain.policy = True, (found[2] or "-").lower()
        chain.counter = parse_counter((found[3], found[4])) if found[3] else None

    def _read_command(self, stretch: Stretch, line: str) -> bool:
        """A line that starts with a command, or with a counter and a command. False when it is none."""
        counts = _COUNTS.match(line)
        split = (line if counts is None else line[counts.end() :]).split(maxsplit=2)
        table = self.table or self.listed
        command, name = (*split, "", "")[:2]
        if command in ("-A", "--append") and name:
            table.chain(name).lines.add(stretch.start, stretch.end)
        elif command in ("-N", "--new-chain") and name:
            table.chain(name).declared = True
        elif command in ("-P", "--policy") and len(split) > 2:
            chain, rest = table.chain(name), words(split[2])
            chain.declared, chain.policy = True, rest[0].lower()
            chain.counter = parse_counter(tuple(rest[2:4])) if rest[1:2] == ["-c"] else None
        elif command in _EDITS and name:
            self.problems.append(f"Line {stretch.number} edits a chain, which a saved ruleset does not: {line}")
            table.chain(name).edits.append(line)
        else:
            return False
        return True

    def finish(self) -> Ruleset:
        """Everything that was read, understood."""
        if self.listed.chains:
            bases = frozenset(name for name in self.listed.chains if name in _HOOKS)
            self.listed.name = _TABLES.get(bases, "filter")
            self.adrift = self.adrift or bool(self.tables)
            if self.listed.name not in self.tables:
                self.tables[self.listed.name] = self.listed
        tables = tuple(self._finish_table(table) for table in self.tables.values())
        adrift = "Chains or rules stand outside any table: which table each belongs to is not known, and some may be missing."
        unread: tuple[str, ...] = (adrift,) if self.adrift else ()
        if self.strange:
            unread += (f"{self.strange} line(s) are not understood: what they were meant to say is missing.",)
        return Ruleset(tables, (*self.problems, *unread), unread)

    def _finish_table(self, table: _Table) -> Table:
        shapes = Shapes(self.family, frozenset(table.chains))
        chains = tuple(self._finish_chain(table.name, name, chain, shapes) for name, chain in table.chains.items())
        return Table(self.backend, self.family, table.name, chains)

    def _finish_chain(self, table: str, name: str, chain: _Chain, shapes: Shapes) -> Chain:
        rules: Sequence[Rule] = LateRules(chain.lines, partial(_understand, name, tuple(chain.edits), self.family, shapes))
        if chain.edits:
            rules = tuple(rules)  # they are rules, too, of which the lines know nothing
        hook = _HOOKS.get(name)
        if hook is None or table not in _PRIORITIES:
            if hook is not None:
                self.problems.append(f"Table {table} is not one of iptables' own: when chain {name} runs is not known.")
            elif not chain.declared:
                self.problems.append(f"Chain {name} of table {table} has rules and is never declared.")
            return Chain(name, rules)
        if chain.policy.strip("-") == "":
            self.problems.append(f"The policy of chain {name} in table {table} is not printed; ACCEPT is assumed.")
        elif chain.policy not in ("accept", "drop"):
            why = f"The policy {chain.policy} of chain {name} in table {table} is not understood."
            self.problems.append(why)
            rules = (*rules, Rule(len(rules) + 1, f":{name} {chain.policy}", (Unclear(chain.policy, why),)))
        kind = "nat" if table == "nat" else "route" if table == "mangle" and hook is Hook.OUTPUT else "filter"
        late = table == "nat" and hook in (Hook.INPUT, Hook.POSTROUTING)
        priority = _NAT_SOURCE if late else _PRIORITIES[table]
        return Chain(name, rules, Base(kind, hook, priority, chain.policy.strip("-") or "accept", chain.counter))


def _understand(name: str, edits: Sequence[str], family: str, shapes: Shapes, lines: Iterable[str]) -> Iterator[Rule]:
    """The chain's rules; what edits it stands before them, because it may do anything."""
    for count, line in enumerate(reversed(edits), 1):
        why = "the line edits the chain, which a saved ruleset does not"
        text, counter = _without_counter(line)
        yield Rule(count, text, (Forget(ANYTHING, text, why), Unclear(text, why)), counter=counter)
    plain = f"-A {name} "
    start = len(plain) - 1
    for count, line in enumerate(lines, len(edits) + 1):
        text, counter = (line, None) if line[0] == "-" else _without_counter(line)
        alike = shapes.read(text[start:]) if text.startswith(plain) else None
        if alike is None:
            yield _read_rule(count, text, counter, family, shapes.chains)
        else:
            yield Rule(count, text, alike[0], None, counter, alike[1])


def _read_rule(count: int, text: str, counter: Counter | None, family: str, chains: frozenset[str]) -> Rule:
    """A rule that is unlike others, word by word."""
    reading = read_words(words(text)[2:], family, chains)
    if not reading.fault and reading.counter is not None:
        counter = reading.counter
        text = text if reading.counter_at is None else without_words(text, reading.counter_at + 2, 3)
    return Rule(count, text, reading.statements, counter=counter, comment=reading.comment)


def _without_counter(line: str) -> tuple[str, Counter | None]:
    """The command of a line, and the counter that may stand before it."""
    counts = _COUNTS.match(line)
    return (line, None) if counts is None else (line[counts.end() :], parse_counter((counts[1], counts[2])))


def parse(text: str, backend: Backend, family: str) -> Ruleset:
    """The tables of one reading. `family` is `ip` or `ip6`; rules outside any table are those of `iptables -S`.

    Never raises; linear in the length of the text.
    """
    reader = _Reader(text, backend, family)
    for stretch in stretches(text):
        reader.read(stretch)
    return reader.finish()
