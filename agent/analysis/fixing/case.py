"""Is there anything that one ACCEPT would mend? Only a finding that model, twin and probe agree on gets this far.

Each reason against it is a sentence; where somebody else owns the rule, it names the owner's command.
"""

from dataclasses import dataclass

from agent.analysis.diagnosis.places import rule_at, rule_name, rule_names
from agent.analysis.diagnosis.provenance import FIREWALLD, HAND, UFW, owner_of
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.fixing.intent import intent_of
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.packet import Packet
from agent.model.plan import Flow
from agent.model.report import Finding, Report, State, Word
from agent.model.ruleset import Jump, Ruleset

# The witnesses without whose agreement nothing is changed.
NEEDED = ("model", "twin", "probe")
# In INPUT itself the end of the chain belongs to whoever manages the chains that it jumps to.
_MANAGERS = {"ufw": UFW, "INPUT_ZONES": FIREWALLD, "INPUT_direct": FIREWALLD}


class NoPlanError(Exception):
    """There is no plan to be made; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """A proven block that one ACCEPT directly before `rule` (or at the end of its chain, for a policy) may mend."""

    finding: Finding
    rule: RuleRef
    flow: Flow
    packet: Packet
    explanation: Explanation


def make_case(report: Report, scene: Scene) -> Case:
    """The case. Raises `NoPlanError`."""
    finding, explanation, packet = report.cause, scene.explanation, scene.packet
    if report.state is not State.BLOCKED or finding is None:
        raise NoPlanError(f"There is nothing to open: {report.summary}")
    if explanation is None or packet is None or explanation.decided_by is None or explanation.verdict is Verdict.ACCEPT:
        raise NoPlanError(f"No rule on the way in stops the packet, so that an ACCEPT cannot help: {report.summary}")
    silent = [name for name in NEEDED if finding.witnesses.get(name) is not Word.AGREES]
    if silent:
        said = ", ".join(f"{name} {finding.witnesses.get(name, Word.ABSENT)}" for name in silent)
        raise NoPlanError(f"The finding is not proven ({said}): model, twin and probe must agree before anything is changed.")
    rule = explanation.decided_by
    if explanation.or_by:
        raise NoPlanError(f"Which rule stops the packet is not known, {rule_names(explanation)}: the counters did not tell.")
    cidr = next((text for text in scene.identity.pod_cidrs if (":" in text) == (packet.version == 6)), "")
    if not cidr:
        raise NoPlanError("This node's pod network is not known: name it with --pod-cidr.")
    flow = Flow(source=cidr, destination=str(packet.destination), port=scene.identity.kubelet_port)
    _insist_on_owner(finding, rule, scene.ruleset)
    if rule.table != "filter" or rule.tool == "nft" or rule.hook != "input":
        raise NoPlanError(
            f"{rule_name(rule)} is not in iptables' filter INPUT, and an ACCEPT elsewhere would not overrule it. "
            f"{_instead(finding)}"
        )
    _insist_on_accident(rule, flow, packet, scene.ruleset, explanation)
    return Case(finding, rule, flow, packet, explanation)


def _insist_on_owner(finding: Finding, rule: RuleRef, ruleset: Ruleset) -> None:
    owner = owner_of(rule)
    if owner is HAND and rule.chain == "INPUT":
        owner = next(
            (_MANAGERS[start] for name in _targets(rule, ruleset) for start in _MANAGERS if name.startswith(start)), HAND
        )
    if owner is not HAND:
        raise NoPlanError(f"{rule_name(rule)} belongs to {owner.name}, which is changed with {owner.tool}. {_instead(finding)}")


def _targets(rule: RuleRef, ruleset: Ruleset) -> list[str]:
    return [
        statement.chain
        for table in ruleset.tables
        if (table.backend, table.family, table.name) == (rule.backend, rule.family, rule.table)
        for chain in table.chains
        if chain.name == rule.chain
        for each in chain.rules
        for statement in each.statements
        if isinstance(statement, Jump)
    ]


def _insist_on_accident(rule: RuleRef, flow: Flow, packet: Packet, ruleset: Ruleset, explanation: Explanation) -> None:
    """A block that speaks of this very traffic is somebody's decision; so is one in a chain that was entered for it."""
    jumps = [step.rule for step in explanation.steps if step.effect.startswith(("jump", "goto"))]
    places = [rule, *(jump for jump in jumps if (jump.backend, jump.table) == (rule.backend, rule.table))]
    for place in places:
        found = rule_at(ruleset, place)
        reason = intent_of(found, flow, packet) if found else ""
        if reason:
            raise NoPlanError(
                f"{rule_name(place)} looks meant, since it {reason} ({place.text}): ask who wrote it. kubereach does not "
                "overrule a decision."
            )


def _instead(finding: Finding) -> str:
    remedy = finding.remedy
    if remedy is None:
        return ""
    return f"Instead: {remedy.command}" if remedy.command else remedy.note
