"""Why the host and the other node are fine, told from what their packets meet.

The incident's riddle: the same pod reads every other node's kubelet. Its packets to other nodes are masqueraded to the node's
address on their way out; its packet to the own node is delivered locally, never passes POSTROUTING and keeps the pod's address.
"""

from dataclasses import replace
from ipaddress import ip_address

from agent.analysis.diagnosis.places import rule_at, rule_name
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.path.walk import walk
from agent.model.explanation import RuleRef, Verdict
from agent.model.packet import Packet
from agent.model.probe import Outcome, ProbeResult
from agent.model.ruleset import Hook, Ruleset, Translate


def why_only_this_node(scene: Scene) -> str:
    """Sentences on the host's and the peer's probe beside the pod's; empty where there is nothing to contrast."""
    if scene.pod_probe is None or scene.pod_probe.outcome is Outcome.OPEN:
        return ""
    if scene.host_probe and scene.host_probe.outcome is not Outcome.OPEN:
        return ""  # the host fails too: what is special about the pod's packet explains nothing
    return " ".join(filter(None, (_host(scene), _peer(scene))))


def _host(scene: Scene) -> str:
    probe, explanation = scene.host_probe, scene.host_explanation
    if probe is None or probe.outcome is not Outcome.OPEN:
        return ""
    words = "The host reaches its own kubelet: its packet comes in by lo"
    rule = explanation.decided_by if explanation and explanation.verdict is Verdict.ACCEPT else None
    return f"{words} and {rule_name(rule)} accepts it ({rule.text})." if rule else f"{words}."


def _peer(scene: Scene) -> str:
    probe = scene.peer_probe
    if probe is None or probe.outcome is not Outcome.OPEN or scene.packet is None:
        return ""
    words = f"The same pod reaches the other node {probe.request.target}"
    if scene.explanation and scene.explanation.verdict is Verdict.ACCEPT and scene.explanation.stopped_by:
        return f"{words}: that node's answers pass FORWARD here, and only what this node sends itself passes OUTPUT."
    masquerade = _masquerade(scene, scene.packet, probe)
    if masquerade is None:
        return f"{words}; no masquerading rule was found, so that node accepts the pod's own address."
    packet = scene.packet
    return (
        f"{words}: on its way out its packet is masqueraded to the node's address by {rule_name(masquerade)} "
        f"({masquerade.text}), and other nodes accept a node. The packet to its own node is delivered here "
        f"and never passes POSTROUTING: it arrives by {packet.iif or 'the pod network'} still as {packet.source}."
    )


def _masquerade(scene: Scene, packet: Packet, probe: ProbeResult) -> RuleRef | None:
    """The POSTROUTING rule that rewrites the pod's source on its way to the peer."""
    target = ip_address(probe.request.target)
    outgoing = replace(packet, destination=target, iif=None, oif=scene.peer_interface, sport=probe.sport)
    steps = walk(scene.ruleset, outgoing, (Hook.POSTROUTING,)).steps
    return next((step.rule for step in steps if step.result == "match" and _rewrites_source(scene.ruleset, step.rule)), None)


def _rewrites_source(ruleset: Ruleset, place: RuleRef) -> bool:
    rule = rule_at(ruleset, place)
    statements = rule.statements if rule else ()
    return any(isinstance(item, Translate) and item.kind in ("masquerade", "snat") for item in statements)
