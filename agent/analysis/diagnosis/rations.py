"""A rate or connection limit stands on the way: the model cannot know what is left of it, the counters around the probe can.

Each limit matches or does not. Every way they may stand together is walked; where only one rule that ends such a walk counted a
packet during the probe, it is known after the fact how they stood.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from agent.analysis.diagnosis.block import Block, find_block
from agent.analysis.diagnosis.expected import expected_outcomes
from agent.analysis.diagnosis.places import rule_at, same_place
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.path.explain import explain
from agent.analysis.readers.kernel_state import why_unsure
from agent.model.explanation import RuleRef, Verdict
from agent.model.ruleset import Rule, Ruleset, Unsure

_LIMITS = frozenset(why_unsure(name) for name in ("limit", "hashlimit", "connlimit", "recent", "quota", "quota2"))
_NFT = ("limit rate", "ct count", "quota")
# Two to the power of this many walks.
_MOST = 4


@dataclass(frozen=True, slots=True)
class Ration:
    """The limits that the packet met, and what became of it in the end: stopped by the rule that counted it."""

    limits: tuple[RuleRef, ...]
    block: Block


def find_ration(scene: Scene) -> Ration | None:
    """None unless everything that was left undecided is a limit, and one rule alone can have ended the packet."""
    explanation, packet = scene.explanation, scene.packet
    probe = scene.pod_probe
    if (
        explanation is None
        or packet is None
        or probe is None
        or explanation.verdict is not Verdict.UNDECIDED
        or not scene.moved
    ):
        return None
    limits = tuple(assumption.rule for assumption in explanation.assumptions)
    if not limits or len(limits) > _MOST or not all(_is_limit(rule_at(scene.ruleset, place)) for place in limits):
        return None
    counted = [
        block
        for world in _worlds(scene.ruleset, limits)
        if (block := find_block(world, packet, explain(world, packet))) is not None
        and any(same_place(moved.rule, block.rule) for moved in scene.moved)
        and probe.outcome in expected_outcomes(block.explanation, listening=scene.listening)
    ]
    if len({(block.rule, block.explanation.reject_with) for block in counted}) != 1:
        return None
    return Ration(limits, counted[0])


def _is_limit(rule: Rule | None) -> bool:
    unsure = [item for item in rule.statements if isinstance(item, Unsure)] if rule else []
    return bool(unsure) and all(item.why in _LIMITS or item.text.startswith(_NFT) for item in unsure)


def _worlds(ruleset: Ruleset, limits: tuple[RuleRef, ...]) -> Iterator[Ruleset]:
    """The ruleset with every limit decided one way or the other."""
    for choice in product((False, True), repeat=len(limits)):
        yield _decided(ruleset, zip(limits, choice, strict=True))


def _decided(ruleset: Ruleset, choices: Iterable[tuple[RuleRef, bool]]) -> Ruleset:
    chosen = {(place.backend, place.family, place.table, place.chain, place.rule_number): holds for place, holds in choices}

    def settle(rule: Rule, holds: bool) -> Rule:
        kept = tuple(item for item in rule.statements if not isinstance(item, Unsure)) if holds else ()
        return replace(rule, statements=kept)

    tables = []
    for table in ruleset.tables:
        chains = []
        for chain in table.chains:
            keys = {rule.number: (table.backend, table.family, table.name, chain.name, rule.number) for rule in chain.rules}
            rules = (settle(rule, chosen[keys[rule.number]]) if keys[rule.number] in chosen else rule for rule in chain.rules)
            chains.append(replace(chain, rules=tuple(rules)))
        tables.append(replace(table, chains=tuple(chains)))
    return replace(ruleset, tables=tuple(tables))
