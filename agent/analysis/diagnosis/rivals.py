"""Which of several rules that may stop a packet is the one that did, and which stops it next once that one lets it pass.

Two backends may both stop it at one priority, and the kernel lists no order of them; a rule in doubt may stand before a sure
one. The counters know.
"""

from collections.abc import Sequence
from dataclasses import replace

from agent.analysis.diagnosis.block import BLOCKS, Block
from agent.analysis.diagnosis.expected import expected_outcomes
from agent.analysis.diagnosis.places import is_counted, same_place
from agent.analysis.path.explain import explain
from agent.analysis.path.journey import ORDER
from agent.analysis.path.replies import errno_of
from agent.model.explanation import Explanation, Fate, Moved, RuleRef, Verdict
from agent.model.packet import Packet
from agent.model.probe import ProbeResult
from agent.model.ruleset import Accept, Chain, Rule, Ruleset, Table
from agent.model.tri import Tri

_Chosen = tuple[Explanation, tuple[RuleRef, ...]]


def choose(
    ruleset: Ruleset, packet: Packet, explanation: Explanation, moved: Sequence[Moved] | None, probe: ProbeResult | None
) -> _Chosen:
    """The explanation with the one rule that counted the packet as the one that decides, and the others that would stop it.

    Where none of them counted, several did, or one that has no counter may have been it, it stays open. Where they stop it in
    different ways, and nothing but their order is in doubt, the way that the probe met must be that rule's.
    """
    rules, reply = explanation.stoppers, explanation.reply
    if explanation.verdict is Verdict.UNDECIDED:
        return _by_order(ruleset, packet, explanation, moved or (), probe)
    counted = _counted(ruleset, rules, moved or ()) if len(rules) > 1 else None
    if counted is None:
        return explanation, rules[1:]
    left = tuple(each for each in rules if each != counted)
    if explanation.verdict is Verdict.ACCEPT and reply is not None:
        return replace(explanation, reply=replace(reply, decided_by=counted, or_by=())), left
    return replace(explanation, decided_by=counted, or_by=()), left


def surely_stopping(explanation: Explanation) -> tuple[RuleRef, ...]:
    """The rules by one of which the packet or its answer is surely stopped; empty where it may get through."""
    return explanation.stoppers or _stopping(explanation.fates)


def next_stop(block: Block) -> RuleRef | None:
    """The rule that surely stops the packet after an ACCEPT directly before the block's; None where none does."""
    opened = explain(_opened(block), block.packet)
    return opened.decided_by if opened.verdict in BLOCKS else None


def _by_order(
    ruleset: Ruleset, packet: Packet, explanation: Explanation, moved: Sequence[Moved], probe: ProbeResult | None
) -> _Chosen:
    """One of several chains of one priority stops the packet, each in its own way."""
    doubts = (part for assumption in explanation.assumptions for part in assumption.why.split("; "))
    rules = _stopping(explanation.fates)
    counted = _counted(ruleset, rules, moved) if all(doubt.endswith(ORDER) for doubt in doubts) else None
    if counted is None or probe is None:
        return explanation, ()
    fate = next(fate for fate in explanation.fates if counted in (fate.decided_by, *fate.or_by))
    settled = replace(
        explanation,
        verdict=fate.verdict,
        reject_with=fate.reject_with,
        client_sees=errno_of(fate.reject_with, packet.version) if fate.reject_with else "ETIMEDOUT",
        decided_by=counted,
        assumptions=(),
        fates=(),
    )
    if probe.outcome not in expected_outcomes(settled, listening=Tri.UNKNOWN):
        return explanation, ()
    return settled, tuple(rule for rule in rules if rule != counted)


def _stopping(fates: Sequence[Fate]) -> tuple[RuleRef, ...]:
    """The rules of fates that are all stops; else none."""
    if not all(fate.verdict in BLOCKS for fate in fates):
        return ()
    return tuple(rule for fate in fates for rule in (fate.decided_by, *fate.or_by) if rule is not None)


def _counted(ruleset: Ruleset, rules: Sequence[RuleRef], moved: Sequence[Moved]) -> RuleRef | None:
    """The only one that counted, where each of them would have."""
    counted = [each for each in rules if any(same_place(rise.rule, each) for rise in moved)]
    return counted[0] if len(counted) == 1 and all(is_counted(ruleset, each) for each in rules) else None


def _opened(block: Block) -> Ruleset:
    position = block.rule.rule_number
    accept = Rule(0, "", (Accept(),))

    def changed(chain: Chain) -> Chain:
        before = [rule for rule in chain.rules if position is None or rule.number < position]
        return replace(chain, rules=(*before, accept, *chain.rules[len(before) :])) if chain is block.chain else chain

    def table(each: Table) -> Table:
        return replace(each, chains=tuple(map(changed, each.chains))) if each is block.table else each

    return replace(block.ruleset, tables=tuple(map(table, block.ruleset.tables)))
