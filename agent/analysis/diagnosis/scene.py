"""The capture, read: everything the witnesses and the causes look at, worked out once.

This is where raw text becomes typed: identity, rulesets, the pod's packet and what the model says of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from agent.analysis.diagnosis.identify import ANY_ADDRESS, identify
from agent.analysis.path import blame
from agent.analysis.path.explain import explain
from agent.analysis.readers.read import read_firewall
from agent.model.capture import Capture, Interface, LegacyChain, Route
from agent.model.explanation import Explanation, Moved
from agent.model.identity import Identity
from agent.model.packet import Packet
from agent.model.probe import ProbeResult, Vantage
from agent.model.ruleset import Ruleset
from agent.model.tri import Tri


@dataclass(frozen=True, slots=True)
class Scene:
    """A capture with its meaning.

    `packet` is the pod's, None when nothing is known to build one from; `moved` lists the counters that rose during the pod's
    probe, None when they were not read twice or the ruleset changed meanwhile (`changed`). `listening`: does somebody answer on
    the node's address and the kubelet's port? `peer_interface` is the way out to the other node.
    """

    identity: Identity
    ruleset: Ruleset
    packet: Packet | None
    explanation: Explanation | None
    host_explanation: Explanation | None
    pod_probe: ProbeResult | None
    host_probe: ProbeResult | None
    peer_probe: ProbeResult | None
    moved: tuple[Moved, ...] | None
    changed: bool
    listening: Tri
    peer_interface: str | None
    legacy_chain: LegacyChain | None

    @property
    def is_node(self) -> bool:
        """Whether anything here tells of Kubernetes: a kubelet or a pod network."""
        return self.identity.kubelet is not None or bool(self.identity.pod_cidrs)


def read_scene(capture: Capture) -> Scene:
    """Everything that can be said before anybody is asked for a cause."""
    identity = identify(capture.node, capture.processes, capture.node_object, capture.settings)
    ruleset = read_firewall(capture.before)
    probes = {result.request.vantage: result for result in capture.probes}
    pod_probe = probes.get(Vantage.POD)
    packet = _pod_packet(capture, identity, pod_probe)
    host_packet = _host_packet(capture, identity, packet)
    moved, changed = None, False
    if capture.between is not None:
        between = read_firewall(capture.between)
        changed = not blame.same_shape(ruleset, between)
        moved = None if changed else blame.moved(ruleset, between)
    return Scene(
        identity=identity,
        ruleset=ruleset,
        packet=packet,
        explanation=explain(ruleset, packet) if packet else None,
        host_explanation=explain(ruleset, host_packet) if host_packet else None,
        pod_probe=pod_probe,
        host_probe=probes.get(Vantage.HOST),
        peer_probe=probes.get(Vantage.PEER),
        moved=moved,
        changed=changed,
        listening=_listening(capture, identity),
        peer_interface=_outgoing(capture.node.routes, probes.get(Vantage.PEER)),
        legacy_chain=capture.legacy_chain,
    )


def _pod_packet(capture: Capture, identity: Identity, probe: ProbeResult | None) -> Packet | None:
    """The SYN of the pod's probe as it enters prerouting; without a pod, that of the pod network's first address."""
    if not identity.node_ips:
        return None
    source = _source(identity, probe)
    if source is None:
        return None
    same = [ip for text in identity.node_ips if (ip := ip_address(text)).version == source.version]
    if not same:
        return None
    destination = ip_address(probe.request.target) if probe else same[0]
    return Packet(
        source=source,
        destination=destination,
        sport=probe.sport if probe else None,
        dport=identity.kubelet_port,
        iif=_incoming(capture, str(source)),
        local=_local(capture.node.interfaces),
    )


def _source(identity: Identity, probe: ProbeResult | None) -> IPv4Address | IPv6Address | None:
    if probe:
        return ip_address(probe.source or probe.request.source)
    if identity.pods:
        return ip_address(identity.pods[0].address)
    # Two past the network: .0 is the network, .1 by custom the bridge.
    return (
        ip_network(identity.pod_cidrs[0])[2]
        if identity.pod_cidrs and ip_network(identity.pod_cidrs[0]).num_addresses > 2
        else None
    )


def _incoming(capture: Capture, pod: str) -> str | None:
    """The interface the pod's packets come in by: the kernel's own route to it, else the bridge that covers its address."""
    for route in capture.pod_routes:
        if route.pod == pod and route.interface:
            return route.interface
    for interface in capture.node.interfaces:
        if any(ip_address(pod) in ip_network(text, strict=False) for text in interface.addresses):
            return interface.name
    return None


def _listening(capture: Capture, identity: Identity) -> Tri:
    listener = identity.listener
    if listener is None:
        return Tri.UNKNOWN if capture.processes.problem else Tri.NO
    return Tri.of(listener.address in (*ANY_ADDRESS, *identity.node_ips))


def _outgoing(routes: Sequence[Route], probe: ProbeResult | None) -> str | None:
    """The interface of the longest prefix that covers the peer's address."""
    if probe is None:
        return None
    target = ip_address(probe.request.target)
    covering = [route for route in routes if target in ip_network(route.destination, strict=False)]
    longest = max(covering, key=lambda route: ip_network(route.destination, strict=False).prefixlen, default=None)
    return longest.interface if longest else None


def _host_packet(capture: Capture, identity: Identity, packet: Packet | None) -> Packet | None:
    if packet is None:
        return None
    return Packet(
        source=packet.destination,
        destination=packet.destination,
        dport=identity.kubelet_port,
        iif="lo",
        local=_local(capture.node.interfaces),
    )


def _local(interfaces: Sequence[Interface]) -> tuple[IPv4Address | IPv6Address, ...]:
    return tuple(ip_address(text.split("/")[0]) for interface in interfaces for text in interface.addresses)
