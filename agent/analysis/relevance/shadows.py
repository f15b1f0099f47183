"""Rules that no packet ever comes to, because an earlier rule of the same chain takes every packet that they could match.

A rule takes a packet when it ends the packet's way through the chain: by a verdict, NAT, RETURN, a goto, or a jump to a chain
that lets nothing come back. One earlier rule must cover the later one by itself; that several do it together is not looked
for. Nothing is claimed where a rule between the two may rewrite what they ask for, nor where the earlier one hangs on the
kernel's state.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.analysis.path.losses import rewrites, targets
from agent.analysis.path.match import is_match
from agent.analysis.relevance.inclusion import imply, is_decidable, names_one
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    AnyOf,
    Base,
    Chain,
    Compare,
    Drop,
    Hook,
    Jump,
    Lookup,
    Match,
    NoTrack,
    Pass,
    Reject,
    Return,
    Rule,
    Statement,
    Table,
    Translate,
    Unclear,
    VerdictMap,
)

# Comparisons of rules with earlier ones, in one chain: a second's work. Blocklists have thousands of rules that differ in an
# address alone; those are told apart by that address and cost none of these.
MAX_COMPARISONS = 300_000
_FINAL = (Accept, Drop, Reject, Return, Translate)
_ANYTHING = frozenset(Field)
_CONNECTION = frozenset(name for name in Field if name.startswith("ct "))
# Where a base chain's kind decides what an action may write, the worst of them.
_WORST = Base("nat", Hook.PREROUTING, 0)


@dataclass(frozen=True, slots=True)
class Shadow:
    """`by` is the number of the earlier rule; `whole` tells that it takes every packet, whatever the later one asks."""

    by: int
    whole: bool

    @property
    def remark(self) -> str:
        """In a few words, to stand behind the rule."""
        if self.whole:
            return f"never reached: rule {self.by} takes every packet"
        return f"shadowed by rule {self.by}, which takes every packet that it could match"


@dataclass(frozen=True, slots=True)
class _Taker:
    position: int
    number: int
    tests: tuple[Match, ...]
    asked: frozenset[Field]


@dataclass(slots=True)
class _Takers:
    """Earlier rules that take packets. Those that ask for a single value are found by it."""

    wide: list[_Taker] = field(default_factory=list)
    by_value: dict[Match, list[_Taker]] = field(default_factory=dict)

    def add(self, taker: _Taker) -> None:
        single = [each for each in taker.tests if names_one(each)]
        if single:
            # What least rules share: an address rather than a protocol.
            rarest = min(single, key=lambda each: len(self.by_value.get(each, ())))
            self.by_value.setdefault(rarest, []).append(taker)
        else:
            self.wide.append(taker)

    def candidates(self, tests: tuple[Match, ...]) -> list[_Taker]:
        """All that may cover a rule with these tests, the first of the chain first."""
        found = [*self.wide, *(taker for each in tests if names_one(each) for taker in self.by_value.get(each, ()))]
        return sorted(found, key=lambda taker: taker.position)


class Shadows:
    """Looks through the chains of one table; `unfinished` are those of more rules than were compared."""

    def __init__(self, table: Table) -> None:
        self._chains = {chain.name: chain for chain in table.chains}
        self._writes: dict[str, frozenset[Field]] = {}
        self._closed: dict[str, bool] = {}
        self.unfinished: list[str] = []

    def find(self, chain: Chain) -> dict[int, Shadow]:
        """The rules of a chain that no packet comes to, by number."""
        found: dict[int, Shadow] = {}
        takers, written, left = _Takers(), dict.fromkeys(Field, -1), MAX_COMPARISONS
        for position, rule in enumerate(chain.rules):
            tests = _tests(rule)
            for taker in takers.candidates(tests):
                left -= 1
                if left < 0:
                    self.unfinished.append(chain.name)
                    return found
                if all(written[name] <= taker.position for name in taker.asked) and imply(tests, taker.tests):
                    found[rule.number] = Shadow(taker.number, whole=not taker.tests)
                    break
            else:
                asked = frozenset(name for each in tests for name in _fields(each))
                if self._takes(rule) and all(is_decidable(each) for each in tests):
                    takers.add(_Taker(position, rule.number, tests, asked))
                written |= dict.fromkeys(self._written(rule), position)
        return found

    def _takes(self, rule: Rule) -> bool:
        """Whether no packet that passes the rule's tests comes to the next rule of its chain."""
        action = next((item for item in rule.statements if not is_match(item) and not isinstance(item, Pass)), None)
        if isinstance(action, Jump):
            return action.goto or self._is_closed(action.chain)
        return isinstance(action, _FINAL)

    def _is_closed(self, name: str) -> bool:
        """Whether nothing comes back from a chain: a rule without tests takes what is left, and none before it returns."""
        if name not in self._closed:
            self._closed[name] = False  # in a loop, which no kernel loads
            chain = self._chains.get(name)
            self._closed[name] = chain is not None and self._lets_nothing_back(chain)
        return self._closed[name]

    def _lets_nothing_back(self, chain: Chain) -> bool:
        for rule in chain.rules:
            if any(_returns(item) for item in rule.statements):
                return False
            if self._takes(rule) and not _tests(rule):
                return True
        return False

    def _written(self, rule: Rule) -> frozenset[Field]:
        """What may be rewritten in a packet that met the rule, in the chains it jumps to as well."""
        found = frozenset(name for item in rule.statements for name in _rewrites(item))
        return found.union(*(self._written_in(name) for name in targets(rule)))

    def _written_in(self, name: str) -> frozenset[Field]:
        if name not in self._writes:
            seen, todo = {name}, [name]
            found: frozenset[Field] = frozenset()
            while todo:
                chain = self._chains.get(todo.pop())
                for rule in chain.rules if chain else ():
                    found = found.union(*(_rewrites(item) for item in rule.statements))
                    new = [each for each in targets(rule) if each not in seen]
                    seen.update(new)
                    todo += new
            self._writes[name] = found
        return self._writes[name]


def lost_chains(table: Table, shadowed: dict[str, dict[int, Shadow]]) -> tuple[frozenset[str], frozenset[str]]:
    """User chains that no base chain leads to, and those that it leads to by rules alone that no packet comes to.

    Both are empty where something in the table was not understood: it might be a jump.
    """
    if any(isinstance(item, Unclear) for chain in table.chains for rule in chain.rules for item in rule.statements):
        return frozenset(), frozenset()
    led = _led_to(table, {})
    reached = _led_to(table, shadowed)
    names = frozenset(chain.name for chain in table.chains)
    return names - led, led - reached


def _led_to(table: Table, shadowed: dict[str, dict[int, Shadow]]) -> frozenset[str]:
    chains = {chain.name: chain for chain in table.chains}
    todo = [chain.name for chain in table.chains if chain.base is not None]
    seen = set(todo)
    while todo:
        name = todo.pop()
        skipped = shadowed.get(name, {})
        for rule in chains[name].rules:
            new = [] if rule.number in skipped else [each for each in targets(rule) if each in chains and each not in seen]
            seen.update(new)
            todo += new
    return frozenset(seen)


def _tests(rule: Rule) -> tuple[Match, ...]:
    """What a packet must pass before the rule does anything."""
    found: list[Match] = []
    for item in rule.statements:
        if is_match(item):
            found.append(item)
        elif not isinstance(item, Pass):
            break
    return tuple(found)


def _returns(statement: Statement) -> bool:
    """Whether a packet may leave the chain for its caller by this, or for somewhere that is not looked into."""
    if isinstance(statement, VerdictMap):
        return any(_returns(verdict) for _, verdict in statement.entries)
    return isinstance(statement, Return) or (isinstance(statement, Jump) and statement.goto)


def _rewrites(statement: Statement) -> frozenset[Field]:
    if isinstance(statement, Unclear):
        return _ANYTHING
    return _CONNECTION if isinstance(statement, NoTrack) else rewrites(statement, _WORST)


def _fields(match: Match) -> Iterator[Field]:
    if isinstance(match, Compare):
        yield match.field
    elif isinstance(match, Lookup):
        yield from match.fields
    elif isinstance(match, AnyOf):
        for each in match.tests:
            yield from _fields(each)
