"""A report, made short enough for an object of which a cluster keeps one per node."""

from collections.abc import Iterable
from hashlib import sha256

from agent.analysis.diagnosis.places import rule_name
from agent.model.explanation import RuleRef
from agent.model.identity import Identity
from agent.model.reach import Reach, ReachFinding, ReachFix, ReachRule, ReachVantage
from agent.model.report import Probe, Report, State
from agent.model.ruleset import Hook, Ruleset

# As daemonset/base/crd.yaml limits them; an object that breaks its schema is refused whole.
_LONG, _SENTENCE, _NAME = 4096, 1024, 256
_FINDINGS, _VANTAGES, _ADDRESSES = 32, 64, 16
_IN = (Hook.PREROUTING, Hook.INPUT)


def reach_of(node: str, report: Report, identity: Identity, fingerprint: str, fix: ReachFix | None = None) -> Reach:
    """The status of the object of `node`, as if it had been so since this look: whoever knows better corrects the time."""
    cause = report.cause
    return Reach(
        node=node,
        state=report.state.value,
        cause=cause.code if cause else "",
        summary=_cut(report.summary, _SENTENCE),
        rule=_rule(report),
        findings=tuple(
            ReachFinding(code=each.code, severity=each.severity.value, message=_cut(each.message, _SENTENCE))
            for each in report.findings[:_FINDINGS]
        ),
        vantages=tuple(_vantage(probe) for probe in report.probes[:_VANTAGES]),
        node_addresses=identity.node_ips[:_ADDRESSES],
        pod_cidrs=identity.pod_cidrs[:_ADDRESSES],
        kubelet_port=identity.kubelet_port,
        fingerprint=fingerprint,
        agent_version=report.version,
        look_time=report.taken_at,
        transition_time=report.taken_at,
        fix=fix,
    )


def fingerprint(ruleset: Ruleset, own: Iterable[str]) -> str:
    """A name for the rules on the way in: equal on nodes whose rules differ in counters and their `own` addresses only.

    Base chains count with hook, priority and policy, and every chain of a table that hangs on prerouting or input.
    """
    words = sorted(set(own), key=len, reverse=True)
    digest = sha256()
    for table in sorted(ruleset.tables, key=lambda each: (each.backend.value, each.family, each.name)):
        if not any(chain.base and chain.base.hook in _IN for chain in table.chains):
            continue
        for chain in sorted(table.chains, key=lambda each: each.name):
            base = chain.base
            hung = f"{base.hook} {base.priority} {base.policy}" if base else ""
            lines = (f"{table.backend} {table.family} {table.name} {chain.name} {hung}", *(rule.text for rule in chain.rules))
            for line in lines:
                for number, word in enumerate(words):
                    line = line.replace(word, f"own{number}")  # noqa: PLW2901 - one replacement after the other
                digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()[:16]


def _rule(report: Report) -> ReachRule | None:
    rule = report.stopped_by if report.state in (State.BLOCKED, State.UNKNOWN) else None
    return _reach_rule(rule) if rule else None


def _reach_rule(rule: RuleRef) -> ReachRule:
    return ReachRule(
        place=_cut(rule_name(rule), _NAME),
        text=_cut(rule.text, _LONG),
        backend=rule.backend,
        family=rule.family,
        hook=rule.hook,
        table=_cut(rule.table, _NAME),
        chain=_cut(rule.chain, _NAME),
        number=rule.rule_number,
        policy=rule.policy,
    )


def _vantage(probe: Probe) -> ReachVantage:
    return ReachVantage(
        vantage=probe.vantage,
        to=probe.to,
        outcome=probe.outcome,
        source=probe.from_,
        errno=probe.errno or "",
        icmp=probe.icmp or "",
        http_status=probe.http_status,
        milliseconds=round(probe.seconds * 1000, 3),
    )


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 3] + "..."
