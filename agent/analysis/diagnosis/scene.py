"""The capture, read: everything the witnesses and the causes look at, worked out once.

This is where raw text becomes typed: identity, rulesets, the pod's packet and what the model says of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from agent.analysis.diagnosis.identify import ANY_ADDRESS, identify
from agent.analysis.diagnosis.packets import host_packet, moment_of, packets_of_other_networks, pod_packet
from agent.analysis.diagnosis.rivals import choose
from agent.analysis.diagnosis.scrape import Scrape, read_scrape
from agent.analysis.diagnosis.silence import silenced_by
from agent.analysis.diagnosis.surroundings import Surroundings, read_surroundings
from agent.analysis.diagnosis.vantages import prefer
from agent.analysis.path import blame
from agent.analysis.path.explain import explain
from agent.analysis.readers.late import repeat
from agent.analysis.readers.read import read_firewall
from agent.model.capture import Capture, LegacyChain, Processes, Route, TextFile
from agent.model.explanation import Explanation, Moved, RuleRef
from agent.model.identity import Identity
from agent.model.packet import Packet
from agent.model.probe import Outcome, ProbeResult, Vantage
from agent.model.ruleset import Ruleset
from agent.model.tri import Tri
from agent.model.twin import TwinResult


@dataclass(frozen=True, slots=True)
class Scene:
    """A capture with its meaning.

    `pod_probe` is the first pod's, by which the cause is judged; `other_pods` are those of up to two more.
    `packet` is the first pod's, None when nothing is known to build one from; `moved` lists the counters that rose during its
    probe, None when they were not read twice or the ruleset changed meanwhile (`changed`). `listening`: does somebody answer on
    the node's address and the kubelet's port? `peer_interface` is the way out to the other node. `scrape` is how
    metrics-server asks this kubelet; `capture` is all that was seen. `silenced_by` stops the answer of the REJECT that the
    packet meets, `other_packets` come from other pod networks, `saved` are the node's firewall files, `around` is what lies
    on the packet's way beside the rules. `rivals` are rules that stop the packet, too, where it comes to them first.
    """

    identity: Identity
    ruleset: Ruleset
    packet: Packet | None
    explanation: Explanation | None
    host_explanation: Explanation | None
    pod_probe: ProbeResult | None
    host_probe: ProbeResult | None
    peer_probe: ProbeResult | None
    other_pods: tuple[ProbeResult, ...]
    moved: tuple[Moved, ...] | None
    changed: bool
    listening: Tri
    peer_interface: str | None
    legacy_chain: LegacyChain | None
    twin: TwinResult | None
    capture: Capture
    scrape: Scrape
    silenced_by: RuleRef | None = None
    other_packets: tuple[Packet, ...] = ()
    saved: tuple[TextFile, ...] = ()
    around: Surroundings = field(default_factory=Surroundings)
    rivals: tuple[RuleRef, ...] = ()

    @property
    def is_node(self) -> bool:
        """Whether anything here tells of Kubernetes: a kubelet or a pod network."""
        return self.identity.kubelet is not None or bool(self.identity.pod_cidrs)


def read_scene(capture: Capture) -> Scene:
    """Everything that can be said before anybody is asked for a cause."""
    known = identify(capture.node, capture.processes, capture.node_object, capture.settings)
    identity = prefer(known, capture.node, capture.before)
    ruleset = read_firewall(capture.before)
    probes = {result.request.vantage: result for result in reversed(capture.probes)}  # the first of each
    pod_probe = _first_tried(capture.probes) or probes.get(Vantage.POD)
    packet = pod_packet(capture.node, capture.pod_routes, identity, pod_probe)
    packet = replace(packet, moment=moment_of(capture.taken_at, capture.stages)) if packet else None
    own = host_packet(capture.node, identity, packet) if packet else None
    explanation = explain(ruleset, packet) if packet else None
    moved, changed = None, False
    rivals: tuple[RuleRef, ...] = ()
    if capture.between is not None:
        between = read_firewall(capture.between)
        changed = not blame.same_shape(ruleset, between, repeat)
        moved = None if changed else blame.moved(ruleset, between, repeat)
    if packet is not None and explanation is not None:
        explanation, rivals = choose(ruleset, packet, explanation, moved, pod_probe)
    return Scene(
        identity=identity,
        ruleset=ruleset,
        packet=packet,
        explanation=explanation,
        host_explanation=explain(ruleset, own) if own else None,
        pod_probe=pod_probe,
        host_probe=probes.get(Vantage.HOST),
        peer_probe=probes.get(Vantage.PEER),
        other_pods=_other_pods(capture.probes, pod_probe),
        moved=moved,
        changed=changed,
        listening=is_listening(identity, capture.processes),
        peer_interface=_outgoing(capture.node.routes, probes.get(Vantage.PEER)),
        legacy_chain=capture.legacy_chain,
        twin=capture.twin,
        capture=capture,
        scrape=read_scrape(capture.processes, capture.node_object, identity),
        silenced_by=_silenced(capture, ruleset, packet, explanation, pod_probe),
        other_packets=packets_of_other_networks(capture.node, capture.pod_routes, identity, packet),
        saved=capture.node.firewall_files,
        around=read_surroundings(capture, packet),
        rivals=rivals,
    )


def _silenced(
    capture: Capture, ruleset: Ruleset, packet: Packet | None, explanation: Explanation | None, probe: ProbeResult | None
) -> RuleRef | None:
    if packet is None or explanation is None:
        return None
    bridged = any(interface.name == packet.iif and interface.kind == "bridge" for interface in capture.node.interfaces)
    timed_out = probe is not None and probe.outcome is Outcome.TIMEOUT
    return silenced_by(ruleset, packet, explanation, bridged=bridged, timed_out=timed_out)


def _first_tried(probes: Sequence[ProbeResult]) -> ProbeResult | None:
    """The first pod's that was there to be tried."""
    pods = [item for item in probes if item.request.vantage is Vantage.POD]
    there = (item for item in pods if item.outcome not in (Outcome.NOT_TRIED, Outcome.POD_GONE))
    return next((item for item in there if item.request.target == pods[0].request.target), None)


def _other_pods(probes: Sequence[ProbeResult], first: ProbeResult | None) -> tuple[ProbeResult, ...]:
    return tuple(
        result
        for result in probes
        if first is not None
        and result.request.vantage is Vantage.POD
        and result.request.namespace != first.request.namespace
        and result.request.target == first.request.target
    )


def is_listening(identity: Identity, processes: Processes) -> Tri:
    """Whether somebody answers on the node's address and the kubelet's port."""
    listener = identity.listener
    if listener is None:
        return Tri.UNKNOWN if processes.problem else Tri.NO
    return Tri.of(listener.address in (*ANY_ADDRESS, *identity.node_ips))


def _outgoing(routes: Sequence[Route], probe: ProbeResult | None) -> str | None:
    """The interface of the longest prefix that covers the peer's address."""
    if probe is None:
        return None
    target = ip_address(probe.request.target)
    covering = [route for route in routes if target in ip_network(route.destination, strict=False)]
    longest = max(covering, key=lambda route: ip_network(route.destination, strict=False).prefixlen, default=None)
    return longest.interface if longest else None
