"""Whose counter moved between two readings of a firewall: the kernel's own word on which rules a packet met."""

from collections.abc import Callable, Iterator, Sequence

from agent.analysis.path.references import refer
from agent.model.explanation import Moved
from agent.model.ruleset import Chain, Counter, Rule, Ruleset, Table

_Key = tuple[str, ...]
# Whether rules of one chain are known to be the same to the last counter without a look at them, each of which would have it
# understood: most of a hundred thousand were not met. False where it is not known.
Alike = Callable[[Sequence[Rule], Sequence[Rule]], bool]


def _unknown(_: Sequence[Rule], __: Sequence[Rule]) -> bool:
    return False


def moved(before: Ruleset, after: Ruleset, alike: Alike = _unknown) -> tuple[Moved, ...]:
    """The rules and base-chain policies whose packet counter rose, in the order of `after`.

    A rule is known again by its handle, else by its number and text: one that is new, or was changed or renumbered, has no
    earlier counter to compare with and is left out (`same_shape` tells whether there are any). A policy that had no counter
    before has counted from nought: iptables-nft-save shows both alike. `hook` is empty for user chains.
    """
    earlier = {_place(table, chain): chain for table, chain in _chains(before)}
    found = []
    for table, chain in _chains(after):
        old = earlier.get(_place(table, chain))
        if old is None:
            continue
        same = alike(old.rules, chain.rules)
        packets = dict(_packets(old, () if same else old.rules))
        for rule in (None, *(() if same else chain.rules)):
            counter, count = _counter(chain, rule), packets.get(_key(rule))
            if counter is not None and count is not None and counter.packets > count:
                found.append(Moved(refer(table, chain, rule), counter.packets - count))
    return tuple(found)


def same_shape(before: Ruleset, after: Ruleset, alike: Alike = _unknown) -> bool:
    """Whether both readings have the same tables, chains, policies and rules, counters aside."""
    ours, theirs = list(_chains(before)), list(_chains(after))
    return [_head(*each) for each in ours] == [_head(*each) for each in theirs] and all(
        alike(one.rules, other.rules) or list(map(_shape, one.rules)) == list(map(_shape, other.rules))
        for (_, one), (_, other) in zip(ours, theirs, strict=True)
    )


def _chains(ruleset: Ruleset) -> Iterator[tuple[Table, Chain]]:
    return ((table, chain) for table in ruleset.tables for chain in table.chains)


def _packets(chain: Chain, rules: Sequence[Rule]) -> Iterator[tuple[_Key, int]]:
    for rule in (None, *rules):
        counter = _counter(chain, rule)
        if counter is not None:
            yield _key(rule), counter.packets
        elif rule is None and chain.base is not None:
            yield _key(rule), 0


def _counter(chain: Chain, rule: Rule | None) -> Counter | None:
    """The rule's counter, or without a rule that of the chain's policy."""
    if rule is not None:
        return rule.counter
    return chain.base.counter if chain.base is not None else None


def _place(table: Table, chain: Chain) -> _Key:
    return table.backend, table.family, table.name, chain.name


def _key(rule: Rule | None) -> _Key:
    if rule is None:
        return ("policy",)
    return (str(rule.number), rule.text) if rule.handle is None else ("handle", str(rule.handle))


def _head(table: Table, chain: Chain) -> tuple[object, ...]:
    return *_place(table, chain), chain.base and (chain.base.kind, chain.base.hook, chain.base.priority, chain.base.policy)


def _shape(rule: Rule) -> tuple[object, ...]:
    return rule.number, rule.handle, rule.text, rule.statements
