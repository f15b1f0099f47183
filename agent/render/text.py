"""The page that an engineer pastes into the incident channel: plain text, the answer in its first line.

Pure: the same report gives the same bytes. Everything that came from the node passes `clean` on its way.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from agent.model.explanation import Departure, Explanation, Fate, Part, Reply, RuleRef, Verdict
from agent.model.report import Finding, Probe, Report, State, Word
from agent.render.clean import clean

WIDTH = 118  # fits a terminal of 120 columns and most chat clients' code blocks
MAX_PARTS = 50  # more is for programs; `wide` has them all
_INDENT = "  "
_MARK = {Word.AGREES: "agrees", Word.DISAGREES: "DISAGREES", Word.SILENT: "silent", Word.ABSENT: "not heard"}


def verdict(report: Report) -> str:
    """One line: node, state, and the reason in a sentence."""
    return f"{clean(report.node)}: {report.state.value.upper()}. {clean(report.summary)}\n"


def report(report: Report, *, wide: bool = False) -> str:
    """The whole page. `wide` adds the packet's steps, the facts with their sources and the timings."""
    blocks: list[Iterable[str]] = [[verdict(report).rstrip()]]
    if report.disagreements:
        blocks.append(_section("WITNESSES DISAGREE - do not act on the rule before this is understood", report.disagreements))
    cause = report.cause
    if report.explanation and report.explanation.decided_by and report.state is not State.REACHABLE:
        blocks.append(_titled(_rule_title(report.explanation, cause), _rule_lines(report.explanation)))
    blocks.append(_titled("tried", _probe_lines(report.probes)))
    if cause:
        blocks.append(_titled("witnesses", _witness_lines(cause)))
        blocks.append(_section(f"cause: {cause.code}", [cause.message]))
    if report.why_only_this_node:
        blocks.append(_section("why only this node", [report.why_only_this_node]))
    if cause and cause.remedy:
        blocks.append(_titled("what would fix it (nothing was changed)", _remedy_lines(cause)))
    others = [finding for finding in report.findings if finding is not cause]
    blocks.append(_section("also seen", [f"{finding.code}: {finding.message}" for finding in others]))
    blocks.append(_section("ruled out", [f"{item.what}: {item.because}" for item in report.excluded]))
    blocks.append(_section("could not be looked at", report.problems))
    if report.explanation and (wide or report.explanation.verdict is Verdict.UNDECIDED or report.explanation.reply):
        blocks.append(_titled("not decided", _assumption_lines(report.explanation)))
    if wide:
        if report.explanation:
            blocks.append(_titled("the packet's way", _step_lines(report.explanation)))
        blocks.append(_titled("facts", _table([(fact.name, fact.value, fact.source) for fact in report.facts])))
    total = report.seconds.get("total")
    took = f", took {total:.2f} s" if total is not None else ""
    blocks.append([f"kubereach {report.version}, {report.taken_at}{took}"])
    return "\n\n".join("\n".join(lines) for lines in map(list, blocks) if lines) + "\n"


def explanation(explanation: Explanation, *, wide: bool = False) -> str:
    """`kubereach explain` as text: the verdict, the rule, what it hangs on; with `wide` every step."""
    packet = " ".join(f"{key}={value}" for key, value in explanation.packet.items() if value not in (None, ""))
    blocks: list[Iterable[str]] = [
        [f"{_verdict_words(explanation)}", f"{_INDENT}packet: {clean(packet)}"],
        _titled("by source", _part_lines(explanation.partition, wide=wide)),
        _titled("decided by", _decider_lines(explanation)),
        _section("its answer", [_answer(explanation.reply)] if explanation.reply else []),
        _section("it leaves as", map(_departure, explanation.leaves_as)),
        _section("what may become of it", map(_fate, explanation.fates)),
        _titled("not decided", _assumption_lines(explanation)),
        _titled("the packet's way", _step_lines(explanation)) if wide else [],
        _section("could not be read", explanation.problems),
    ]
    return "\n\n".join("\n".join(lines) for lines in map(list, blocks) if lines) + "\n"


def place(rule: RuleRef) -> str:
    """A rule's place in words: `filter INPUT rule 6 (iptables-legacy)`."""
    table = f"{rule.family} {rule.table}" if rule.tool == "nft" else rule.table
    where = "policy" if rule.policy else f"rule {rule.rule_number}"
    return clean(f"{table} {rule.chain} {where} ({rule.tool})")


def _verdict_words(explanation: Explanation) -> str:
    words = explanation.verdict.value
    if explanation.reply and explanation.reply.verdict is not Verdict.ACCEPT:
        words += f", then {explanation.reply.verdict} of its answer"
    if explanation.reject_with:
        words += f" with {clean(explanation.reject_with)}"
    if explanation.client_sees:
        words += f", the client sees {explanation.client_sees}"
    if len({part.verdict for part in explanation.partition}) > 1:
        words += ": it depends on the source"
    return words


def _part_lines(parts: Sequence[Part], *, wide: bool) -> Iterator[str]:
    shown = parts if wide else parts[:MAX_PARTS]
    rows = []
    for part in shown:
        verdict = f"{part.verdict} with {part.reject_with}" if part.reject_with else part.verdict
        rule = part.decided_by
        count = f"{part.addresses} address{'es' if part.addresses > 1 else ''}"
        named = f"{' or '.join(map(place, (rule, *part.or_by)))}: {rule.text}" if rule else ""
        rows.append((part.src, count, verdict, part.client_sees or "", named))
    yield from _table(rows)
    if len(parts) > len(shown):
        yield f"and {len(parts) - len(shown)} more parts: -o wide has all of them"


def _answer(reply: Reply) -> str:
    rule = reply.decided_by
    return f"{reply.verdict} by {' or '.join(map(place, (rule, *reply.or_by)))}: {rule.text}" if rule else reply.verdict


def _fate(fate: Fate) -> str:
    reply = f" with {fate.reject_with}" if fate.reject_with else ""
    rules = " or ".join(map(place, (fate.decided_by, *fate.or_by))) if fate.decided_by else ""
    return f"{fate.verdict}{reply}{f' by {rules}' if rules else ''}"


def _departure(leaves: Departure) -> str:
    rule = leaves.rewritten_by
    source = leaves.source or "an address that only the kernel knows"
    renamed = f", given to it by {place(rule)}: {rule.text}" if rule else ", its own address"
    target = leaves.destination or "an address that is not known"
    return f"from {source}{renamed}; to {target}{f' port {leaves.dport}' if leaves.dport is not None else ''}"


def _decider_lines(explanation: Explanation) -> Iterator[str]:
    rule = explanation.decided_by
    if rule:
        yield place(rule)
        yield f"{_INDENT}{clean(rule.text)}"
    for other in explanation.or_by:
        yield f"or, where the packet comes to it first, by {place(other)}"
        yield f"{_INDENT}{clean(other.text)}"
    if rule and explanation.unread:
        yield "unless a rule that could not be read stops it before"


def _rule_title(explanation: Explanation, cause: Finding | None) -> str:
    if explanation.verdict is Verdict.ACCEPT and explanation.stopped_by is None:
        return "the firewall lets it in"
    if len(explanation.stoppers) > 1:
        return "one of these rules decides"
    return "the rule that decides" if _proven(cause) else "the rule the model names"


def _proven(cause: Finding | None) -> bool:
    return cause is not None and cause.names_rule and Word.AGREES in map(cause.witnesses.get, ("probe", "counters"))


def _rule_lines(explanation: Explanation) -> Iterator[str]:
    for rule in explanation.stoppers or filter(None, (explanation.decided_by,)):
        yield place(rule)
        yield f"{_INDENT}{clean(rule.text)}"
    yield _verdict_words(explanation)


def _probe_lines(probes: Sequence[Probe]) -> Iterator[str]:
    rows = [
        (probe.vantage, f"{probe.from_} -> {probe.to}", _outcome(probe), f"{probe.seconds * 1000:.1f} ms") for probe in probes
    ]
    return _table(rows)


def _outcome(probe: Probe) -> str:
    words = probe.outcome
    details = [detail for detail in (probe.errno, probe.icmp and f"ICMP {probe.icmp}", probe.tls) if detail]
    if probe.http_status is not None:
        details.append(f"HTTP {probe.http_status}")
    if probe.detail:
        details.append(probe.detail)
    return f"{words} ({', '.join(details)})" if details else words


def _witness_lines(cause: Finding) -> Iterator[str]:
    spoken = {evidence.witness: evidence.text for evidence in cause.evidence}
    rows = [(name, _MARK[word], spoken.get(name, "")) for name, word in cause.witnesses.items()]
    return _table(rows)


def _remedy_lines(cause: Finding) -> Iterator[str]:
    remedy = cause.remedy
    if remedy is None:
        return
    if remedy.command:
        yield clean(remedy.command)
    if remedy.note:
        yield from _wrapped(remedy.note)
    if remedy.undo:
        yield f"undo: {clean(remedy.undo)}"
    for tool, form in remedy.persistent.items():
        yield f"to keep it, {clean(tool)}:"
        yield f"{_INDENT}{clean(form)}"


def _assumption_lines(explanation: Explanation) -> Iterator[str]:
    hanging = tuple(dict.fromkeys(each for part in explanation.partition for each in part.assumptions))
    own = hanging if explanation.partition else explanation.assumptions
    for assumption in (*own, *(explanation.reply.assumptions if explanation.reply else ())):
        yield f"{place(assumption.rule)}: {clean(assumption.rule.text)}"
        yield from (f"{_INDENT}{line}" for line in _wrapped(assumption.why))


def _step_lines(explanation: Explanation) -> Iterator[str]:
    rows = [(step.rule.hook, place(step.rule), step.result, step.effect, step.rule.text) for step in explanation.steps]
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns padded to their widest cell, the last one free."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cleaned, strict=True)] if cleaned else []
    for row in cleaned:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _titled(title: str, lines: Iterable[str]) -> list[str]:
    body = [f"{_INDENT}{line}" for line in lines]
    return [title, *body] if body else []


def _section(title: str, paragraphs: Iterable[str]) -> list[str]:
    return _titled(title, (line for paragraph in paragraphs for line in _wrapped(paragraph)))


def _wrapped(paragraph: str) -> list[str]:
    return textwrap.wrap(clean(paragraph), WIDTH - len(_INDENT), break_long_words=False, break_on_hyphens=False)
