"""Whose counter moved between two readings of a firewall: the kernel's own word on which rules a packet met."""

from collections.abc import Iterator

from agent.analysis.path.references import refer
from agent.model.explanation import Moved
from agent.model.ruleset import Chain, Counter, Rule, Ruleset, Table

_Key = tuple[str, ...]


def moved(before: Ruleset, after: Ruleset) -> tuple[Moved, ...]:
    """The rules and base-chain policies whose packet counter rose, in the order of `after`.

    A rule is known again by its handle, else by its number and text: one that is new, or was changed or renumbered, has no
    earlier counter to compare with and is left out (`same_shape` tells whether there are any). A policy that had no counter
    before has counted from nought: iptables-nft-save shows both alike. `hook` is empty for user chains.
    """
    earlier = dict(_packets(before))
    found = []
    for table, chain in _chains(after):
        for rule in (None, *chain.rules):
            counter, old = _counter(chain, rule), earlier.get(_key(table, chain, rule))
            if counter is not None and old is not None and counter.packets > old:
                found.append(Moved(refer(table, chain, rule), counter.packets - old))
    return tuple(found)


def same_shape(before: Ruleset, after: Ruleset) -> bool:
    """Whether both readings have the same tables, chains, policies and rules, counters aside."""
    return list(_shape(before)) == list(_shape(after))


def _chains(ruleset: Ruleset) -> Iterator[tuple[Table, Chain]]:
    return ((table, chain) for table in ruleset.tables for chain in table.chains)


def _packets(ruleset: Ruleset) -> Iterator[tuple[_Key, int]]:
    for table, chain in _chains(ruleset):
        for rule in (None, *chain.rules):
            counter = _counter(chain, rule)
            if counter is not None:
                yield _key(table, chain, rule), counter.packets
            elif rule is None and chain.base is not None:
                yield _key(table, chain, rule), 0


def _counter(chain: Chain, rule: Rule | None) -> Counter | None:
    """The rule's counter, or without a rule that of the chain's policy."""
    if rule is not None:
        return rule.counter
    return chain.base.counter if chain.base is not None else None


def _key(table: Table, chain: Chain, rule: Rule | None) -> _Key:
    place = (table.backend, table.family, table.name, chain.name)
    if rule is None:
        return (*place, "policy")
    return (*place, str(rule.number), rule.text) if rule.handle is None else (*place, "handle", str(rule.handle))


def _shape(ruleset: Ruleset) -> Iterator[tuple[object, ...]]:
    for table, chain in _chains(ruleset):
        hung = chain.base and (chain.base.kind, chain.base.hook, chain.base.priority, chain.base.policy)
        yield table.backend, table.family, table.name, chain.name, hung
        for rule in chain.rules:
            yield rule.number, rule.handle, rule.text, rule.statements
