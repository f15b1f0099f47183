"""Suspects before the packet leaves its pod: the pod's own rules and routes, and the next hop that does not answer."""

from agent.analysis.diagnosis.catalog.node import NEIGHBOUR_FAILED, POD_FIREWALL, POD_REDIRECT, POD_ROUTE
from agent.analysis.diagnosis.places import rule_name
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.surroundings import PodRules
from agent.analysis.diagnosis.suspects import SILENT, Alibi, Proof, Word, arrived, timed_out
from agent.analysis.path.replies import TCP_RESET, icmp_of
from agent.model.evidence import LEAVES_NODE, LEAVES_POD, Neighbour
from agent.model.explanation import Explanation, Verdict
from agent.model.probe import REFUSED, Outcome, ProbeResult
from agent.model.report import Remedy
from agent.model.tri import Tri

# The errno of a lookup in the pod, and the route that answers so (net/ipv4/fib_semantics.c, fib_props).
_KINDS = {
    "EHOSTUNREACH": "an `unreachable` route",
    "EINVAL": "a `blackhole` route",
    "EACCES": "a `prohibit` route",
    "ENETUNREACH": "no route at all",
}
_POD_OWNER = Remedy(
    owner="the pod",
    note="The rules live in the pod's own network namespace: whoever made them there (a mesh's sidecar or init container, "
    "something in the pod with NET_ADMIN) has to change them; the node's firewall is not the cause.",
)


def own_rules(scene: Scene) -> Word:
    """The pod's own rules stop the packet on its way out, or the answer on its way in."""
    rules, probe = scene.around.rules, scene.pod_probe
    if probe is None:
        return None
    if rules is None:
        return Alibi("the pod's own firewall", "the pod's namespace has no rules") if scene.around.pod_is_bare else None
    return _stopped_by(scene, rules, probe) or _harmless(rules)


def _stopped_by(scene: Scene, rules: PodRules, probe: ProbeResult) -> Proof | None:
    if _fits(rules.out, probe) and rules.out.decided_by:
        rule = rules.out.decided_by
        how = f"answers it with {rules.out.reject_with}" if rules.out.reject_with else "drops it"
        message = f"The packet never leaves the pod: in the pod's own namespace, {rule_name(rule)} {how} ({rule.text})."
        sender = (f"the ICMP error came from {probe.offender}, the pod itself",) if probe.icmp else ()
        return Proof(POD_FIREWALL, message, (f"the pod's namespace has the rule {rule.text}", *sender), _POD_OWNER)
    back = rules.back
    if timed_out(scene) and back.decided_by and back.verdict in (Verdict.DROP, Verdict.REJECT):
        message = (
            f"The node answers, and in the pod's own namespace {rule_name(back.decided_by)} stops the answer "
            f"({back.decided_by.text})."
        )
        return Proof(POD_FIREWALL, message, (f"the pod's namespace has the rule {back.decided_by.text}",), _POD_OWNER)
    if rules.redirected:
        message = (
            f"In the pod's own namespace, {rule_name(rules.redirected)} sends the packet elsewhere ({rules.redirected.text}): "
            "what the pod meets there is no word of this node's kubelet."
        )
        return Proof(POD_REDIRECT, message, (f"the pod's namespace has the rule {rules.redirected.text}",), _POD_OWNER)
    return None


def _harmless(rules: PodRules) -> Alibi | None:
    both = rules.out.verdict is Verdict.ACCEPT and rules.back.verdict is Verdict.ACCEPT
    return Alibi("the pod's own firewall", "its rules let the packet out and the answer in") if both else None


def _fits(out: Explanation, probe: ProbeResult) -> bool:
    """Whether the connect ended as the pod's own rules would end it. A pod's REJECT is answered by the pod itself."""
    if out.verdict is Verdict.DROP:
        return probe.outcome is Outcome.TIMEOUT
    if out.verdict is not Verdict.REJECT or out.reject_with is None:
        return False
    if out.reject_with == TCP_RESET:
        return probe.outcome is Outcome.RESET
    version = 6 if ":" in probe.request.target else 4
    return probe.icmp == icmp_of(out.reject_with, version) and probe.offender in (probe.source, probe.request.source)


def own_routes(scene: Scene) -> Word:
    """The pod's namespace refuses the way; the kernel's own lookup says by what."""
    probe, lookup = scene.pod_probe, scene.around.evidence.lookup(LEAVES_POD)
    if probe is None:
        return None
    target = probe.request.target
    if lookup and lookup.errno and (probe.outcome in REFUSED or timed_out(scene)):
        kind = _KINDS.get(lookup.errno, "its routes")
        message = f"The pod's own namespace refuses the way to {target}: {kind} ({lookup.errno}). No packet left the pod."
        return Proof(POD_ROUTE, message, (f"the kernel's route lookup in the pod's namespace answers {lookup.errno}",), _CNI)
    if lookup and not lookup.errno:
        by = f"{lookup.interface}{f' via {lookup.gateway}' if lookup.gateway else ', on-link'}"
        return Alibi("the pod's routes", f"the kernel's lookup in the pod leads to {target} by {by}")
    return None


_CNI = Remedy(
    owner="the CNI plugin",
    note="The pod's routes are made by the CNI plugin when the pod starts: look at its configuration and log, restart the pod.",
)


def neighbour(scene: Scene) -> Word:
    """Whoever should take the frame does not answer ARP or neighbour discovery."""
    probe, evidence = scene.pod_probe, scene.around.evidence
    there, back = evidence.lookup(LEAVES_POD), evidence.lookup(LEAVES_NODE)
    if probe is None or not (timed_out(scene) or probe.outcome is Outcome.NO_ROUTE):
        return None
    for place, lookup in (("pod", there), ("node", back)):
        if lookup is None or lookup.errno or (place == "node" and arrived(scene) is Tri.NO):
            continue
        hop = lookup.gateway or lookup.target
        entry = _entry(evidence.neighbours, place, hop)
        if entry and entry.state in SILENT and (place == "pod" or lookup.interface == evidence.entry):
            return _silent(entry, hop, on_link=not lookup.gateway)
    hop = (there.gateway or there.target) if there else ""
    known = _entry(evidence.neighbours, "pod", hop)
    return Alibi("a next hop that does not answer", f"{hop} is {known.state} in the pod's neighbour table") if known else None


def _silent(entry: Neighbour, hop: str, *, on_link: bool) -> Proof:
    whose = "The pod asks for" if entry.place == "pod" else "The node's answer to the pod needs"
    why = ", which its routes take for on-link," if on_link and entry.place == "pod" else ""
    message = (
        f"{whose} the link-layer address of {hop}{why} on {entry.interface}, and nobody answers: after about 3 s a client sees "
        '"no route to host".'
    )
    seen = f"the {entry.place}'s neighbour table has {hop} on {entry.interface} as {entry.state}"
    note = (
        "Nobody on that link answers for the address: look at the CNI's bridge or veth, at proxy_arp and at the pod's routes."
    )
    return Proof(NEIGHBOUR_FAILED, message, (seen,), Remedy(owner="the CNI plugin", note=note))


def _entry(neighbours: tuple[Neighbour, ...], place: str, address: str) -> Neighbour | None:
    return next((item for item in neighbours if item.place == place and item.address == address), None)
