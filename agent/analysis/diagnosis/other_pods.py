"""Do the other pods that were tried fare as the first one did? The cause is judged by the first; it hides nobody else.

A rule about one pod, that pod's own namespace or routes, a redirecting mesh: each of them makes a node of which some pods reach
the kubelet and some do not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

from agent.analysis.diagnosis.catalog import Cause, firewall, node
from agent.analysis.diagnosis.places import rule_names
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.witnesses import UNTRIED
from agent.analysis.path.explain import explain
from agent.model.explanation import Explanation
from agent.model.probe import Outcome, ProbeResult
from agent.model.report import Evidence, Finding, Word


def compare_pods(scene: Scene, causes: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings so far, with what the other pods met: as evidence where a finding tells of it already, else as one more."""
    first, others = scene.pod_probe, differing(scene)
    if first is None or not others:
        return tuple(causes)
    seen = tuple(Evidence(witness="other pods", text=_seen(result)) for result in others)
    told = firewall.ACCEPT_DIES_WITH_POD.code
    if any(finding.code == told for finding in causes):
        return tuple(replace(item, evidence=item.evidence + seen) if item.code == told else item for item in causes)
    return (*causes, _finding(node.PODS_DIFFER, scene, first, others, seen))


def differing(scene: Scene) -> tuple[ProbeResult, ...]:
    """The other pods' connects that get through where the first pod's does not, or the other way round."""
    first = scene.pod_probe
    if first is None or first.outcome in UNTRIED:
        return ()
    opened = first.outcome is Outcome.OPEN
    tried = (result for result in scene.other_pods if result.outcome not in UNTRIED)
    return tuple(result for result in tried if (result.outcome is Outcome.OPEN) is not opened)


def _finding(
    cause: Cause, scene: Scene, first: ProbeResult, others: Sequence[ProbeResult], seen: tuple[Evidence, ...]
) -> Finding:
    tried = (first, *others)
    opened = [result for result in tried if result.outcome is Outcome.OPEN]
    stopped = [result for result in tried if result.outcome is not Outcome.OPEN]
    reasons = " ".join(_reasons(scene, stopped))
    gets, does = "gets" if len(opened) == 1 else "get", "does" if len(stopped) == 1 else "do"
    message = f"{_listed(opened)} {gets} through, {_listed(stopped)} {does} not."
    return Finding(
        code=cause.code,
        severity=cause.severity,
        title=cause.title,
        message=f"P{message[1:]} {reasons}",
        witnesses={"probe": Word.AGREES},
        evidence=(Evidence(witness="probe", text=_seen(first)), *seen),
    )


def _reasons(scene: Scene, stopped: Sequence[ProbeResult]) -> Iterator[str]:
    """What is known of each pod that is stopped: the rule by which the model stops its packet, and what was seen of the pod."""
    pods = {pod.address: pod for pod in scene.identity.pods}
    for result in stopped:
        address = result.request.source
        walked = _explained(scene, result)
        rule = walked.stopped_by if walked else None
        if walked and rule:
            yield f"By the rules {rule_names(walked)} stops {address} ({rule.text})."
        else:
            yield f"The node's rules alone do not say why {address} is stopped: look at its own namespace, routes and rules."
        pod = pods.get(address)
        for why in (pod.redirected, pod.bound) if pod else ():
            if why:
                yield f"{address}: {why}."


def _explained(scene: Scene, result: ProbeResult) -> Explanation | None:
    """The model's walk of that pod's packet: the first pod's, but for the address and what comes with it."""
    if scene.packet is None:
        return None
    source = ip_address(result.source or result.request.source)
    route = next((route for route in scene.capture.pod_routes if route.pod == str(source) and route.interface), None)
    iif = route.interface if route else scene.packet.iif
    return explain(scene.ruleset, replace(scene.packet, source=source, sport=result.sport, iif=iif))


def _seen(result: ProbeResult) -> str:
    details = [result.errno or "", f"ICMP {result.icmp[0]}/{result.icmp[1]}" if result.icmp else ""]
    said = ", ".join(filter(None, details))
    return f"connect from {result.request.source}: {result.outcome}" + (f" ({said})" if said else "")


def _listed(results: Sequence[ProbeResult]) -> str:
    return " and ".join(f"pod {result.request.source}" for result in results)
