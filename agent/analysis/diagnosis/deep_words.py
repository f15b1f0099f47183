"""The witnesses that speak only when they are asked to (`--deep`): the kernel's own trace of the rules, and its drop reason.

Both are of one more connect, made right after the pod's probe and the second reading of the firewall.
"""

from collections.abc import Iterator

from agent.analysis.diagnosis.places import rule_name
from agent.analysis.readers.trace_text import Drop, Step, read_drop, read_steps
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.report import Word
from agent.model.ruleset import Backend
from agent.model.trace import DeepTrace

TRACE, DROP_REASON = "trace", "drop-reason"
_NETFILTER = "NETFILTER_DROP"
# A packet that nobody listens for has been let in by the rules; without a reason nothing is said (before Linux 5.17).
_LET_IN = ("NO_SOCKET",)
_UNTOLD = ("", "NOT_SPECIFIED")


def deep_words(explanation: Explanation, deep: DeepTrace | None) -> Iterator[tuple[str, Word, str]]:
    """Witness, word, and what it saw; nothing where no deep look was asked for."""
    if deep is None:
        return
    yield TRACE, *_trace(explanation, deep)
    yield DROP_REASON, *_drop_reason(explanation, deep)


def _trace(explanation: Explanation, deep: DeepTrace) -> tuple[Word, str]:
    problem = deep.problem or deep.rules_problem
    steps = read_steps(deep.rules)
    drop = next((step for step in steps if step.verdict == "drop"), None)
    if problem or not steps:
        return (Word.ABSENT, problem) if problem else (Word.SILENT, "the kernel traced no rule that this packet met")
    if drop is None:
        return _untouched(explanation)
    seen = f"the kernel traced it to {_named(drop)}, which drops it"
    rule = explanation.stopped_by
    if rule is None:
        return (Word.DISAGREES if explanation.verdict is Verdict.ACCEPT else Word.SILENT), seen
    return (Word.AGREES if any(_is(drop, each) for each in explanation.stoppers) else Word.DISAGREES), seen


def _untouched(explanation: Explanation) -> tuple[Word, str]:
    """No nft rule dropped it."""
    rule = explanation.stopped_by
    if rule is None:
        word = Word.AGREES if explanation.verdict is Verdict.ACCEPT else Word.SILENT
        return word, "the kernel traced it to no rule that drops it"
    if any(each.backend != Backend.NFT for each in explanation.stoppers):
        return Word.SILENT, "the kernel traced it to no nft rule that drops it; iptables-legacy's rules are not traced"
    return Word.DISAGREES, f"the kernel traced it past {rule_name(rule)}: no nft rule drops it"


def _drop_reason(explanation: Explanation, deep: DeepTrace) -> tuple[Word, str]:
    problem = deep.problem or deep.events_problem
    if problem or not deep.events:
        return (Word.ABSENT, problem) if problem else (Word.SILENT, "the kernel told nothing of it")
    drop = read_drop(deep.events, deep.request.target, deep.request.port, deep.sport or 0)
    if drop is None:
        return Word.SILENT, "the kernel did not throw the first packet away"
    if drop.reason in _UNTOLD:
        return Word.SILENT, f"the kernel threw it away in {drop.location}, and does not say why"
    return _judge(drop, explanation.verdict)


def _judge(drop: Drop, verdict: Verdict) -> tuple[Word, str]:
    seen = f"the kernel threw it away: {drop.reason} in {drop.location}"
    stopped = verdict in (Verdict.DROP, Verdict.REJECT)
    if verdict is Verdict.UNDECIDED:
        return Word.SILENT, seen
    if drop.reason == _NETFILTER:
        return (Word.AGREES if stopped else Word.DISAGREES), seen
    if drop.reason in _LET_IN:
        return (Word.DISAGREES if stopped else Word.AGREES), seen
    return (Word.DISAGREES if stopped else Word.SILENT), f"{seen}, which is no rule's doing"


def _is(step: Step, rule: RuleRef) -> bool:
    place = (rule.backend, rule.family, rule.table, rule.chain, rule.policy)
    same = place == (Backend.NFT, step.family, step.table, step.chain, step.policy)
    return same and (rule.policy or None in (rule.handle, step.handle) or rule.handle == step.handle)


def _named(step: Step) -> str:
    what = "the policy" if step.policy else f"handle {step.handle}" if step.handle is not None else "a rule"
    return f"{what} of {step.family} {step.table} {step.chain}"
