"""Which of several rules that stop a packet alike is the one that did, and which stops it next once that one lets it pass.

Two backends may carry the same REJECT at one priority, and the kernel lists no order of them; a rule in doubt may stand before
a sure one. The counters know.
"""

from collections.abc import Sequence
from dataclasses import replace

from agent.analysis.diagnosis.block import BLOCKS, Block
from agent.analysis.diagnosis.places import is_counted, same_place
from agent.analysis.path.explain import explain
from agent.model.explanation import Explanation, Moved, RuleRef
from agent.model.ruleset import Accept, Chain, Rule, Ruleset, Table


def choose(
    ruleset: Ruleset, explanation: Explanation, moved: Sequence[Moved] | None
) -> tuple[Explanation, tuple[RuleRef, ...]]:
    """The explanation with the one rule that counted the packet as the one that decides, and the others.

    Where none of them counted, several did, or one that has no counter may have been it, it stays open (`or_by`).
    """
    rule, others = explanation.decided_by, explanation.or_by
    if rule is None or not others or moved is None:
        return explanation, others
    every = (rule, *others)
    counted = [each for each in every if any(same_place(rise.rule, each) for rise in moved)]
    if len(counted) != 1 or not all(is_counted(ruleset, each) for each in every):
        return explanation, others
    left = tuple(each for each in every if each != counted[0])
    return replace(explanation, decided_by=counted[0], or_by=()), left


def next_stop(block: Block) -> RuleRef | None:
    """The rule that surely stops the packet after an ACCEPT directly before the block's; None where none does."""
    opened = explain(_opened(block), block.packet)
    return opened.decided_by if opened.verdict in BLOCKS else None


def _opened(block: Block) -> Ruleset:
    position = block.rule.rule_number
    accept = Rule(0, "", (Accept(),))

    def changed(chain: Chain) -> Chain:
        before = [rule for rule in chain.rules if position is None or rule.number < position]
        return replace(chain, rules=(*before, accept, *chain.rules[len(before) :])) if chain is block.chain else chain

    def table(each: Table) -> Table:
        return replace(each, chains=tuple(map(changed, each.chains))) if each is block.table else each

    return replace(block.ruleset, tables=tuple(map(table, block.ruleset.tables)))
