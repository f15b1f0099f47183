"""Reads `nft -j list ruleset`: tables of every family, their chains, sets and rules.

Rules of iptables-nft come with slots that nft does not show (`xt`): they are unanswered here, and slots.py fills them. It
never raises: what is not understood is in `problems`, and a rule that is not understood may do anything.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from reprlib import Repr
from typing import Any

from agent.analysis.readers.nft_matches import Sets
from agent.analysis.readers.nft_neighbours import doubt, find_joined, together
from agent.analysis.readers.nft_statements import read_statement
from agent.analysis.readers.nft_text import render_rule
from agent.model.packet import Field
from agent.model.ruleset import Backend, Base, Chain, Compare, Counter, Forget, Hook, Rule, Ruleset, Statement, Table, Unclear

_HOOKS = {hook.value: hook for hook in Hook}
# Objects that rules refer to by name; what a rule does with them is read where it does it.
_NAMED = {
    "counter", "quota", "limit", "ct helper", "ct timeout", "ct expectation", "flowtable", "secmark", "synproxy", "metainfo",
    "element", "tunnel",
}  # fmt: skip
_AWAKE = {"owner", "persist"}
_SHORT = Repr()
_SHORT.maxdict = 10  # a chain has nine properties

_Name = tuple[str, str]


class _Reader:
    """Sorts the objects of one listing by table and chain; rules are understood when all names are known."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.unread: list[str] = []
        self.tables: dict[_Name, Mapping[str, Any]] = {}
        self.chains: dict[_Name, dict[str, Mapping[str, Any]]] = defaultdict(dict)
        self.elements: dict[_Name, dict[str, Any]] = defaultdict(dict)
        self.rules: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)

    def read(self, item: Any) -> None:
        """Takes one object of the listing."""
        if not isinstance(item, dict) or len(item) != 1:
            self.unread.append(f"An object of nft's listing is not understood: {_short(item)}")
            return
        kind, body = next(iter(item.items()))
        if kind in _NAMED:
            return
        if kind not in ("table", "chain", "set", "map", "rule") or not isinstance(body, dict):
            self.unread.append(f"nft's listing has a {kind}, which is not understood: {_short(body)}")
            return
        table = (_short(body.get("family")), _short(body.get("name" if kind == "table" else "table")))
        self.tables.setdefault(table, {})
        if kind == "table":
            self.tables[table] = body
        elif kind == "chain":
            self.chains[table][_short(body.get("name"))] = body
        elif kind == "rule":
            chain = _short(body.get("chain"))
            self.chains[table].setdefault(chain, {})
            self.rules[*table, chain].append(body)
        else:
            self.elements[table][_short(body.get("name"))] = body.get("elem", [])

    def finish(self) -> Ruleset:
        """Everything that was read, understood."""
        return Ruleset(
            tuple(self._table(name, body) for name, body in self.tables.items()), tuple(self.problems), tuple(self.unread)
        )

    def _table(self, table: _Name, body: Mapping[str, Any]) -> Table:
        sets = Sets(self.elements[table], table[0])
        names = frozenset(self.chains[table])
        flags = body.get("flags", [])
        words = {_short(each) for each in flags} if isinstance(flags, list) else {_short(flags)}
        dormant = "dormant" in words and table[1] != "dormant"
        # nft 1.0.6 prints the table's own name in place of its flags.
        doubt = bool(words - _AWAKE - {"dormant"}) or (bool(words) and table[1] in words)
        if dormant or doubt:
            state = "is dormant: its chains do not run" if dormant else f"has flags nft does not show: {_short(flags)}"
            self.problems.append(f"Table {table[0]} {table[1]} {state}.")
        chains = []
        for name, chain in self.chains[table].items():
            rules = [self._rule(number, rule, sets, names) for number, rule in enumerate(self.rules[*table, name], 1)]
            base = None if dormant else self._base(table, name, chain)
            if doubt and base is not None:
                why = f"table {table[1]} may be dormant: nft does not show its flags"
                rules.insert(0, Rule(0, f"table {table[0]} {table[1]} {{ flags ... }}", (Unclear("flags", why),)))
            chains.append(Chain(name, tuple(rules), base))
        return Table(Backend.NFT, table[0], table[1], tuple(chains))

    def _base(self, table: _Name, name: str, chain: Mapping[str, Any]) -> Base | None:
        if "hook" not in chain:
            return None
        hook, priority = _HOOKS.get(_short(chain["hook"])), chain.get("prio")
        policy = chain.get("policy", "accept")
        if hook is None or not isinstance(priority, int) or policy not in ("accept", "drop"):
            sentence = f"When chain {name} of table {' '.join(table)} runs is not understood: {_short(chain)}"
            self.problems.append(sentence)
            self.unread.append(sentence)
            return None
        return Base(_short(chain.get("type", "filter")), hook, priority, policy)

    def _rule(self, number: int, body: Mapping[str, Any], sets: Sets, names: frozenset[str]) -> Rule:
        expressions, comment, handle = body.get("expr", []), body.get("comment", ""), body.get("handle")
        items = expressions if isinstance(expressions, list) else [expressions]
        comment = comment if isinstance(comment, str) else _short(comment)
        statements: list[Statement] = []
        seen: set[Statement] = set()
        try:
            for one in _statements(items, sets, names):
                if not _is_hidden(one):
                    statements.append(one)
                elif one not in seen:  # tests that nft hides come back with every key: one of a kind is enough
                    seen.add(one)
                    statements.append(one)
            text = render_rule(items, comment)
        except RecursionError:
            text, why = "", "the rule nests deeper than nft writes"
            statements = [Forget((Field.MARK, Field.CT_MARK), text, why), Unclear(text, why)]
        known_handle = handle if isinstance(handle, int) else None
        return Rule(number, text, tuple(statements), known_handle, _counter(items), comment)


def _statements(items: Sequence[Any], sets: Sets, names: frozenset[str]) -> Iterator[Statement]:
    """A rule's expressions in their order, those that nft may have joined with the doubt that this leaves."""
    groups = {index: group for group in find_joined(items) for index in group}
    met: dict[frozenset[int], list[Statement]] = {}
    for index, item in enumerate(items):
        group, found = groups.get(index), read_statement(item, sets, names)
        if group is None:
            yield from found
            continue
        *implied, test = found  # a match is a test at least
        yield from implied
        yield doubt(test)
        tests = met.setdefault(group, [])
        tests.append(test)
        if len(tests) == len(group):
            yield from together(tests)


def _is_hidden(statement: Statement) -> bool:
    """A test for the version, the protocol or the conntrack entry: no statement rewrites those, so once is enough."""
    return isinstance(statement, Compare) and statement.field in (Field.NFPROTO, Field.PROTOCOL, Field.CT_STATE)


def _counter(items: list[Any]) -> Counter | None:
    """The rule's first inline counter."""
    for item in items:
        body = item.get("counter") if isinstance(item, dict) else None
        if isinstance(body, dict):
            packets, size = body.get("packets"), body.get("bytes")
            return Counter(packets, size) if isinstance(packets, int) and isinstance(size, int) else None
    return None


def _short(value: Any) -> str:
    """A string as it is; anything else cut short, however deep it nests."""
    return value if isinstance(value, str) else _SHORT.repr(value)


def parse(text: str) -> Ruleset:
    """The tables of a listing. A text that is not one gives no table, and a sentence in `problems` and `unread`.

    Never raises; linear in the length of the text.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        data, why = None, f": {error}"
    else:
        why = ""
    listing = data.get("nftables") if isinstance(data, dict) else None
    if not isinstance(listing, list):
        sentence = f"The output of nft is not a JSON listing{why}"
        return Ruleset((), (sentence,), (sentence,))
    return understand(listing)


def understand(listing: Iterable[Any]) -> Ruleset:
    """The tables of the objects of a listing."""
    reader = _Reader()
    for item in listing:
        reader.read(item)
    return reader.finish()
