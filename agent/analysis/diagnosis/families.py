"""The same question over the other IP version: a dual-stack node may stop pods in one of them only."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

from agent.analysis.diagnosis.catalog.firewall import OTHER_FAMILY_BLOCKED
from agent.analysis.diagnosis.causes import find_causes
from agent.analysis.diagnosis.scene import read_scene
from agent.analysis.diagnosis.witnesses import UNTRIED, hear
from agent.model.capture import Capture
from agent.model.probe import Outcome, ProbeResult, Vantage
from agent.model.report import Finding, Severity


def split_families(capture: Capture) -> tuple[Capture, Capture | None]:
    """The capture as the first pod probe's IP version sees it, and as the other one does where a pod was probed over both."""
    pod_probes = [probe for probe in capture.probes if probe.request.vantage is Vantage.POD]
    first = _version(pod_probes[0]) if pod_probes else None
    if first is None or all(_version(probe) == first for probe in pod_probes):
        return capture, None
    main = tuple(probe for probe in capture.probes if _version(probe) == first)
    rest = tuple(probe for probe in capture.probes if _version(probe) != first)
    # The twin and the trace were asked about the first version's packet, the kernel's evidence is of it, and python-iptables
    # reads IPv4 alone. The pod's own rules are of both versions, where it is the same pod.
    same = any(probe.request.namespace == pod_probes[0].request.namespace for probe in rest)
    other = replace(capture, probes=rest, twin=None, legacy_chain=None, deep=None, evidence=None, counters=())
    return replace(capture, probes=main), other if same else replace(other, pod_firewall=None)


def look_at_other(other: Capture | None, found: Sequence[Finding]) -> Iterator[Finding]:
    """What stops pods over the other IP version: a warning, because metrics-server takes one address of the node."""
    if other is None:
        return
    scene = read_scene(other)
    probe = scene.pod_probe
    if probe is None or probe.outcome in UNTRIED or probe.outcome is Outcome.OPEN:
        return
    cause = find_causes(scene, hear(scene))[0]
    both = any(item.severity is Severity.CRITICAL for item in found)
    version, first = _version(probe), 6 if _version(probe) == 4 else 4
    how = f"IPv{version} is stopped as well" if both else f"IPv{first} works, and IPv{version} does not"
    yield Finding(
        code=OTHER_FAMILY_BLOCKED.code,
        severity=OTHER_FAMILY_BLOCKED.severity,
        title=OTHER_FAMILY_BLOCKED.title,
        message=f"{how} ({probe.request.target}, {probe.outcome}; {cause.code}): {cause.message}",
        witnesses=cause.witnesses,
        evidence=cause.evidence,
        remedy=cause.remedy,
    )


def _version(probe: ProbeResult) -> int:
    return ip_address(probe.request.target).version
