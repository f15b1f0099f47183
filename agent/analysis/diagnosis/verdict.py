"""The state of the node and the one sentence that goes first."""

from collections.abc import Sequence

from agent.analysis.diagnosis.other_pods import differing
from agent.analysis.diagnosis.places import rule_names
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.witnesses import UNTRIED
from agent.model.explanation import Verdict
from agent.model.probe import Outcome, ProbeResult
from agent.model.report import Finding, Severity, State, Word


def judge(scene: Scene, findings: Sequence[Finding]) -> tuple[State, str]:
    """State and summary. The pod's real connect decides; without one the model may say blocked, never reachable."""
    cause = findings[0] if findings and findings[0].severity is not Severity.INFO else None
    probe = scene.pod_probe
    target = _target(scene)
    if probe is None or probe.outcome in UNTRIED:
        return _without_probe(scene, cause, target)
    if probe.outcome is Outcome.OPEN:
        if cause:
            return State.DEGRADED, f"Pods reach {target}, but: {_lower(cause.title)}."
        return State.REACHABLE, f"Pods on this node reach its kubelet at {target}."
    passing = [result for result in differing(scene) if result.outcome is Outcome.OPEN]
    if passing:
        return _some_pass(scene, probe, passing, target, _reason(scene, cause))
    return State.BLOCKED, f"Pods cannot reach this node's kubelet at {target}: {_reason(scene, cause)}."


def _some_pass(
    scene: Scene, stopped: ProbeResult, passing: Sequence[ProbeResult], target: str, reason: str
) -> tuple[State, str]:
    """Not all pods are stopped. Where it is the scrape itself that is, nothing is gained by the others."""
    others = " and ".join(result.request.source for result in passing)
    name = next((pod.name for pod in scene.identity.pods if pod.address == stopped.request.source), "")
    who = f"{name} ({stopped.request.source})" if name else f"pod {stopped.request.source}"
    state = State.BLOCKED if name else State.DEGRADED
    return state, f"Some pods reach {target} ({others}), {who} does not: {reason}."


def _without_probe(scene: Scene, cause: Finding | None, target: str) -> tuple[State, str]:
    explanation = scene.explanation
    if cause and Word.DISAGREES in cause.witnesses.values():
        return State.UNKNOWN, f"Whether pods reach {target} is not known: {_lower(cause.title)}, and no packet was sent."
    if explanation and explanation.stopped_by:
        rule = rule_names(explanation) if cause and cause.names_rule else "which rule does it could not be decided"
        whom = "its answers to pods from" if explanation.verdict is Verdict.ACCEPT else "pods on their way to"
        return State.BLOCKED, f"By its ruleset this node stops {whom} {target} ({rule}); no real packet was sent."
    if not scene.is_node:
        return (
            State.UNKNOWN,
            "This does not look like a Kubernetes node: neither a kubelet process nor a pod network was found.",
        )
    if cause:
        return State.BLOCKED, f"Pods cannot reach this node's kubelet at {target}: {_lower(cause.title)}."
    why = scene.pod_probe.detail if scene.pod_probe and scene.pod_probe.detail else "there was no pod to try it from"
    return State.UNKNOWN, f"Whether pods reach {target} is not known: {why}."


def _target(scene: Scene) -> str:
    ips = [str(scene.packet.destination)] if scene.packet else list(scene.identity.node_ips[:1])
    port = scene.identity.kubelet_port
    if not ips:
        return f"port {port}"
    return f"[{ips[0]}]:{port}" if ":" in ips[0] else f"{ips[0]}:{port}"


def _reason(scene: Scene, cause: Finding | None) -> str:
    if cause is None:
        return "the cause could not be found"
    explanation = scene.explanation
    if cause.names_rule and explanation and explanation.reply and explanation.stopped_by:
        return f"{rule_names(explanation)} stops its answers"
    if cause.names_rule and explanation and explanation.decided_by and explanation.verdict is not Verdict.ACCEPT:
        how = f"answers {explanation.reject_with}" if explanation.reject_with else "drops the packet"
        return f"{rule_names(explanation)} {how}"
    return _lower(cause.title)


def _lower(title: str) -> str:
    """A title inside a sentence; names keep their first letter."""
    return title if title.split(maxsplit=1)[0].isupper() else title[0].lower() + title[1:]
