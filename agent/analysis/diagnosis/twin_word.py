"""What the twin says of the model's verdict: the same rules in the kernel itself, one packet, and the counters after it."""

from agent.analysis.diagnosis.places import rule_name
from agent.analysis.path.replies import icmp_of
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.report import Word
from agent.model.twin import TwinResult, TwinRule, TwinVerdict


def compare(explanation: Explanation, twin: TwinResult | None, rivals: tuple[RuleRef, ...] = ()) -> tuple[Word, str]:
    """The twin's word, and in a sentence what it saw or why there was nothing to see.

    `rivals` are rules that stop the packet, too, where they are met first: in which order the node's chains of one priority run
    the twin does not know.
    """
    if twin is None:
        return Word.ABSENT, "no twin was asked"
    if twin.problem:
        return Word.ABSENT, twin.problem
    if twin.not_modelled:
        return Word.SILENT, f"the twin is not the node: {twin.not_modelled[0]}"
    if twin.verdict is TwinVerdict.UNKNOWN:
        return Word.SILENT, "no answer came back in the twin, and no rule there counted a stop"
    if explanation.verdict is Verdict.UNDECIDED:
        return Word.SILENT, f"{saw(twin)}, with rules that the model leaves open{_fresh(twin)}"
    return _against(explanation, twin, rivals)


def saw(twin: TwinResult) -> str:
    """`REJECT (ICMP 3/10) in the kernel's own hands`: the verdict and what came back."""
    reply = f" (ICMP {twin.icmp[0]}/{twin.icmp[1]})" if twin.icmp else f" ({twin.reply})" if twin.reply != "none" else ""
    return f"the kernel said {twin.verdict}{reply} in a throwaway namespace"


def has_met(twin: TwinResult, rule: RuleRef) -> bool:
    """Whether the rule's counter moved in the twin."""
    return any(_same(rule, met) for met in twin.rules)


def _against(explanation: Explanation, twin: TwinResult, rivals: tuple[RuleRef, ...]) -> tuple[Word, str]:
    rule, seen = explanation.decided_by, saw(twin)
    if twin.verdict.value != explanation.verdict.value:
        return _otherwise(twin, rivals)
    version = 6 if ":" in str(explanation.packet["src"]) else 4
    expected = icmp_of(explanation.reject_with, version) if explanation.reject_with else None
    if twin.icmp is not None and twin.icmp != expected:
        return _otherwise(twin, rivals)
    if rule is None:
        return Word.AGREES, seen
    met = next((each for each in (rule, *rivals) if has_met(twin, each)), None)
    if met is not None:
        how = "counted the packet there" if met is rule else "counted it there, which stops it alike and came first"
        return Word.AGREES, f"{seen}; {rule_name(met)} {how}"
    if rule.policy:
        return Word.AGREES, seen  # nft keeps no counter of policies, and a `return` reaches one unseen
    return Word.DISAGREES, f"{seen}, but {rule_name(rule)} did not count the packet there"


def _otherwise(twin: TwinResult, rivals: tuple[RuleRef, ...]) -> tuple[Word, str]:
    """The twin's packet fared otherwise."""
    first = next((each for each in rivals if has_met(twin, each)), None)
    if first is not None and twin.verdict is not TwinVerdict.ACCEPT:
        return Word.SILENT, f"{saw(twin)}; {rule_name(first)} came first there, which stops it as well"
    return Word.DISAGREES, f"{saw(twin)}{_fresh(twin)}"


def _same(rule: RuleRef, met: TwinRule) -> bool:
    place = (rule.backend, rule.family, rule.table, rule.chain, rule.policy)
    number = None if rule.policy else rule.rule_number
    return place == (met.backend, met.family, met.table, met.chain, met.policy) and number == met.rule_number


def _fresh(twin: TwinResult) -> str:
    return f"; what these remember began empty there: {', '.join(twin.fresh)}" if twin.fresh else ""
