"""The twin's answer as text: what the kernel itself did with the packet, or why nobody can say."""

from collections.abc import Iterator

from agent.model.twin import TwinResult, TwinRule
from agent.render.clean import clean


def twin(result: TwinResult, *, inserted: bool = False) -> str:
    """A block of lines below an explanation. `inserted`: a rule was tried that the node does not have."""
    return "\n".join(("", *_lines(result, inserted=inserted), ""))


def _lines(result: TwinResult, *, inserted: bool) -> Iterator[str]:
    yield f"in a throwaway namespace{', with that rule inserted' if inserted else ''}: {_verdict(result)}"
    for sentence in result.not_modelled:
        yield f"  not the same there: {clean(sentence)}"
    if result.fresh:
        yield f"  what these remember began empty there: {', '.join(result.fresh)}"
    for rule in result.rules:
        yield f"  met: {clean(_place(rule))}"


def _verdict(result: TwinResult) -> str:
    if result.problem:
        return f"not tried: {clean(result.problem)}"
    reply = f"ICMP {result.icmp[0]}/{result.icmp[1]}" if result.icmp else result.reply.value
    return f"{result.verdict.value} (answer: {reply})"


def _place(rule: TwinRule) -> str:
    where = "policy" if rule.policy else f"rule {rule.rule_number}"
    return f"{rule.backend} {rule.family} {rule.table} {rule.chain} {where}"
