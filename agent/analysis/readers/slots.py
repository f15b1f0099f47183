"""Fills what `nft -j` hides in the rules of iptables-nft (its `xt` slots) from what iptables-nft-save prints.

Each of the two readings lies alone: nft names an iptables extension and not what it asks, and iptables-nft-save drops nft
expressions that it cannot translate and says nothing. So nft is the authority for which rules exist, their order, handles
and every expression that it shows. A save line gives no more than the slots of the rule at the same place, and only when the
chain has as many rules in both readings and all else that the two show of this rule is equal. Otherwise the rule stays
unanswered. A rule without a slot never takes a statement from the save line.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from agent.analysis.readers.iptables_rule import Part, read_words
from agent.analysis.readers.nft_statements import XT_MATCH, XT_TARGET
from agent.analysis.readers.tokens import words
from agent.model.ruleset import Backend, Chain, Forget, Pass, Rule, Ruleset, Statement, Table, Unclear, Unsure

# The kernel's name of an extension where iptables prints another one.
_KERNEL_NAMES = {"state": "conntrack", "NOTRACK": "CT"}


def fill(nft: Ruleset, save: Ruleset, family: str) -> Ruleset:
    """`nft` with the slots of its tables of that family (`ip`, `ip6`) filled from the tables of `save`, where that is safe.

    Filled rules, and rules that both readings show equally, carry the save line as their text; policy counters come along.
    """
    saved = {table.name: table for table in save.tables}
    tables = tuple(
        _fill_table(table, saved[table.name])
        if table.backend is Backend.NFT and table.family == family and table.name in saved
        else table
        for table in nft.tables
    )
    return replace(nft, tables=tables)


def _fill_table(table: Table, saved: Table) -> Table:
    names = frozenset(chain.name for chain in table.chains)
    others = {chain.name: chain for chain in saved.chains}
    return replace(
        table, chains=tuple(_fill_chain(chain, others.get(chain.name), table.family, names) for chain in table.chains)
    )


def _fill_chain(chain: Chain, saved: Chain | None, family: str, names: frozenset[str]) -> Chain:
    if saved is None:
        return chain
    base = chain.base
    counter = saved.base.counter if saved.base is not None else None
    # A chain that was made without counters prints zeros: only a number that rose is one.
    if base is not None and saved.base is not None and base.policy == saved.base.policy and counter and counter.packets:
        base = replace(base, counter=counter)
    if len(chain.rules) != len(saved.rules):
        why = f"nft shows {len(chain.rules)} rules in chain {chain.name} and iptables-save {len(saved.rules)}"
        return replace(chain, rules=tuple(_leave(rule, why) for rule in chain.rules), base=base)
    rules = tuple(_fill_rule(rule, line, family, names) for rule, line in zip(chain.rules, saved.rules, strict=True))
    return replace(chain, rules=rules, base=base)


def _fill_rule(rule: Rule, line: Rule, family: str, names: frozenset[str]) -> Rule:
    statements = _merge(rule.statements, read_words(words(line.text)[2:], family, names).parts)
    if statements is None:
        return _leave(rule, f"nft shows `{rule.text}` and iptables-save `{line.text}`, which do not agree")
    counter, comment = rule.counter or line.counter, line.comment or rule.comment
    return replace(rule, text=line.text, statements=statements, counter=counter, comment=comment)


def _merge(statements: Sequence[Statement], parts: Sequence[Part]) -> tuple[Statement, ...] | None:
    """nft's statements with each slot replaced by the part of its name. None when the rest of the two differs."""
    found, shown = list[Statement](), list[Statement]()
    rest: dict[tuple[bool, str], deque[Part]] = defaultdict(deque)
    for part in parts:
        rest[part.target, _KERNEL_NAMES.get(part.name, part.name)].append(part)
    filled_target = False
    for statement in statements:
        slot = _slot(statement)
        if slot is None:
            found.append(statement)
            shown.append(statement)
            continue
        target, _ = slot
        if target and filled_target:
            continue  # the second statement of the one target
        if not rest[slot]:
            return None
        found += rest[slot].popleft().statements
        filled_target = filled_target or target
    left = (each for waiting in rest.values() for part in waiting for each in part.statements)
    return tuple(found) if _said(shown) == _said(left) else None


def _slot(statement: Statement) -> tuple[bool, str] | None:
    """(whether it is a target, the extension's name) of a statement that stands for an `xt` slot, else None."""
    text = statement.text if isinstance(statement, Unsure | Unclear | Forget | Pass) else ""
    for prefix in (XT_MATCH, XT_TARGET):
        if text.startswith(prefix):
            return prefix == XT_TARGET, text.removeprefix(prefix)
    return None


def _said(statements: Iterable[Statement]) -> set[object]:
    """What statements say, whatever their order: without those of no influence; maybes (`limit`) by their name alone."""
    found: set[object] = set()
    for statement in statements:
        if isinstance(statement, Unsure):
            found.add(statement.text.removeprefix("-m ").split(" ", 1)[0])
        elif not isinstance(statement, Pass):
            found.add(statement)
    return found


def _leave(rule: Rule, why: str) -> Rule:
    """The rule with its slots unanswered, and why."""
    return replace(
        rule,
        statements=tuple(
            replace(each, why=f"{each.why}; {why}") if isinstance(each, Unsure | Unclear | Forget) and _slot(each) else each
            for each in rule.statements
        ),
    )
