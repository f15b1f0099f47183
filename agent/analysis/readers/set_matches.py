"""Answers `-m set` from the entries of ipsets: the last step of a reading, when all rules and all sets are known.

Until then such a test is an `Unsure` that holds the rule's own words. It stays one where only the kernel knows: a set that was
not read or not understood, one that rules of this firewall add to or delete from, an entry's counters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent.analysis.readers.intervals import between
from agent.analysis.readers.ipset import Ipset, Ipsets
from agent.analysis.readers.ipset_members import UnknownMembersError, members
from agent.analysis.readers.iptables_options import Option, sort_words
from agent.analysis.readers.late import mention
from agent.analysis.readers.nft_statements import XT_TARGET
from agent.analysis.readers.tokens import unquoted, words
from agent.model.packet import Field
from agent.model.ruleset import (
    AnyOf,
    Chain,
    Compare,
    Forget,
    Lookup,
    Match,
    Pass,
    Rule,
    Ruleset,
    Statement,
    Table,
    Unclear,
    Unsure,
)

_PREFIX = "-m set "
_SET_TARGET = "SET "
# What they ask of an entry's counters is kernel state; the others that are known here have no say in the answer.
_COUNTERS = {f"--{what}-{how}" for what in ("packets", "bytes") for how in ("eq", "lt", "gt")}
_WITHOUT_SAY = {"--update-counters", "--update-subcounters"}
_CHANGES = {"--add-set", "--del-set"}
_DIRECTIONS = {"src": True, "dst": False}
_NEVER = Compare(Field.NFPROTO, between(1, 0))

_Tests = tuple[Compare | Lookup | Unsure, ...]


def answer(ruleset: Ruleset, ipsets: Ipsets | None) -> Ruleset:
    """`ruleset` with every test of a set in it answered as far as `ipsets` tells; None: no sets were read."""
    filled = _Answers(ipsets, _changed(ruleset))
    tables = tuple(filled.table(table) for table in ruleset.tables)
    return replace(ruleset, tables=tables, problems=(*ruleset.problems, *(ipsets.problems if ipsets else ())))


def _changed(ruleset: Ruleset) -> frozenset[str] | None:
    """The names of the sets that rules add to or delete from; None where a rule does so and hides to which."""
    found: set[str] = set()
    changing = (chain for table in ruleset.tables for chain in table.chains if mention(chain.rules, "SET"))
    for rule in (rule for chain in changing for rule in chain.rules if "SET" in rule.text):
        for statement in rule.statements:
            text = statement.text if isinstance(statement, Pass | Forget | Unclear) else ""
            if text == f"{XT_TARGET}SET":
                return None
            if text.startswith(_SET_TARGET):
                target = sort_words(words(f"-j {text}")).target
                options = [each for each in target.options if each.name in _CHANGES] if target is not None else []
                if any(len(each.values) < 2 for each in options):
                    return None
                found.update(name for each in options for name in _names(each))
    return frozenset(found)


def _names(option: Option) -> set[str]:
    """The names that the values before the directions may mean: iptables prints a name as it is, people put it into quotes."""
    name = " ".join(option.values[:-1])
    return {name, unquoted(name)}


def _plain(name: str) -> str:
    """A name as far as the words of a rule tell it: not one blank from two, or from a newline."""
    return " ".join(name.split())


class _Answers:
    """The answers of one reading; those of one set, directions and family are worked out once."""

    def __init__(self, ipsets: Ipsets | None, changed: frozenset[str] | None) -> None:
        self._ipsets, self._changed = ipsets, changed
        self._known: dict[tuple[str, tuple[bool, ...], str, bool], _Tests] = {}
        self._names: dict[str, list[Ipset]] = {}
        for name, each in ipsets.sets.items() if ipsets else ():
            self._names.setdefault(_plain(name), []).append(each)
        if changed is not None:
            # What is added to a list goes into its sets.
            lists = [each for name in changed for each in self._names.get(name, ()) if each.kind == "list:set"]
            self._changed = changed | {_plain(entry.text) for each in lists for entry in each.entries}

    def table(self, table: Table) -> Table:
        """The table, the same one where no rule asks for a set."""
        chains = tuple(self._chain(chain, table.family) for chain in table.chains)
        same = all(new is old for new, old in zip(chains, table.chains, strict=True))
        return table if same else replace(table, chains=chains)

    def _chain(self, chain: Chain, family: str) -> Chain:
        if not mention(chain.rules, "--match-set"):
            return chain
        return replace(chain, rules=tuple(self._rule(rule, family) for rule in chain.rules))

    def _rule(self, rule: Rule, family: str) -> Rule:
        if "--match-set" not in rule.text:
            return rule
        return replace(rule, statements=tuple(new for old in rule.statements for new in self._statement(old, family)))

    def _statement(self, statement: Statement, family: str) -> Iterator[Statement]:
        if isinstance(statement, Unsure) and statement.text.startswith(_PREFIX):
            yield from self._matches(statement, family)
        else:
            yield statement

    def _matches(self, asked: Unsure, family: str) -> Sequence[Match]:
        """The test that these words are, as statements that must all hold."""
        rule = sort_words(words(asked.text))
        options = rule.matches[0].options if len(rule.matches) == 1 and not rule.leftovers and not rule.builtin else []
        named = [each for each in options if each.name == "--match-set" and len(each.values) > 1]
        rest = {each.name for each in options if each not in named} - _WITHOUT_SAY
        directions = [_DIRECTIONS.get(word) for word in named[0].values[-1].split(",")] if len(named) == 1 else [None]
        sources = tuple(each for each in directions if each is not None)
        odd = any(each.negate for each in options if each.name == "--return-nomatch")
        if odd or len(sources) != len(directions) or rest - _COUNTERS - {"--return-nomatch"}:
            return (replace(asked, why="this way of asking for a set is not understood by this version"),)
        tests = self._tests(named[0], sources, family, "--return-nomatch" in rest)
        return _joined(asked, tests, negate=named[0].negate, counted=bool(rest & _COUNTERS))

    def _tests(self, named: Option, sources: tuple[bool, ...], family: str, swapped: bool) -> _Tests:
        name = " ".join(named.values[:-1])
        found = [each for spelled in sorted(_names(named)) for each in self._names.get(spelled, ())]
        if len(found) != 1:
            why = f"{len(found)} sets may be meant by {name}" if found else f"set {name} was not read: give ipset save"
            return (Unsure(f"{_PREFIX}{named}", why),)
        key = (found[0].name, sources, family, swapped)
        if key not in self._known:
            self._known[key] = tuple(self._of(found[0], sources, family, swapped))
        return self._known[key]

    def _of(self, ipset: Ipset, sources: tuple[bool, ...], family: str, swapped: bool) -> Iterator[Compare | Lookup | Unsure]:
        doubt = self._doubt(ipset)
        if doubt:
            yield Unsure(f"{_PREFIX}--match-set {ipset.name}", doubt)
        elif ipset.kind == "list:set":
            yield from (test for entry in ipset.entries for test in self._member(ipset, entry.text, sources, family, swapped))
        elif ipset.family in ("", family):  # the kernel finds nothing in a set of the other family
            try:
                yield from members(ipset, sources, swapped=swapped)
            except UnknownMembersError as error:
                yield Unsure(f"{_PREFIX}--match-set {ipset.name}", str(error))

    def _member(
        self,
        around: Ipset,
        name: str,
        sources: tuple[bool, ...],
        family: str,
        swapped: bool,
    ) -> Iterator[Compare | Lookup | Unsure]:
        """What a list asks of one of its sets; the kernel keeps no list in a list."""
        ipset = self._ipsets.sets.get(name) if self._ipsets else None
        if ipset is None or ipset.kind == "list:set":
            yield Unsure(
                f"{_PREFIX}--match-set {around.name}", f"set {name} in list {around.name} was not read: give ipset save"
            )
        else:
            yield from self._of(ipset, sources, family, swapped)

    def _doubt(self, ipset: Ipset) -> str:
        """Why the entries that were read are not the ones that the packet meets, if they are not."""
        if self._ipsets is not None and self._ipsets.problems:
            return f"ipset save was not understood whole, so that set {ipset.name} may hold other entries"
        if self._changed is None:
            return f"a rule that nft does not show whole may change set {ipset.name}"
        return f"rules of this firewall change set {ipset.name} as packets pass" if _plain(ipset.name) in self._changed else ""


def _joined(asked: Unsure, tests: _Tests, *, negate: bool, counted: bool) -> Sequence[Match]:
    counters = replace(asked, why="the counters of a set's entries are kernel state")
    if len(tests) == 1 and isinstance(tests[0], Unsure):
        return (replace(asked, why=tests[0].why),)
    if len(tests) <= 1:
        one = tests[0] if tests else _NEVER
        test: Match = one if isinstance(one, Unsure) else replace(one, negate=negate)
    else:
        test = AnyOf(tests, negate)
    if not counted:
        return (test,)
    if not negate:
        return (test, counters)
    # Not (in the set and so counted): one of the two need not hold.
    return (counters,) if isinstance(test, AnyOf | Unsure) else (AnyOf((test, counters)),)
