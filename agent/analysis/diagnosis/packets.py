"""The packets that a diagnosis is about: the pod's SYN to the kubelet and the host's own, as they enter the first hook."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

from agent.analysis.readers.moments import read_moment
from agent.model.capture import Interface, Node, PodRoute, Stage
from agent.model.identity import Identity
from agent.model.packet import IPAddress, Packet
from agent.model.probe import ProbeResult

# Seconds, where a capture does not tell how long its look took.
_LOOK = 10.0
_SECONDS = len("2026-11-23T17:00:00")


def pod_packet(
    node: Node, pod_routes: Sequence[PodRoute], identity: Identity, probe: ProbeResult | None = None
) -> Packet | None:
    """The SYN of the pod's probe as it enters prerouting; without a pod, that of the pod network's first address.

    Before the probe was made its source port is not known. None when nothing is known to build one from.
    """
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
        iif=_incoming(node, pod_routes, str(source)),
        local=_local(node.interfaces),
    )


def packets_of_other_networks(
    node: Node, pod_routes: Sequence[PodRoute], identity: Identity, packet: Packet | None
) -> tuple[Packet, ...]:
    """The same SYN from each pod network that `packet` does not come from, where its interface is known."""
    found = []
    for network in (ip_network(text, strict=False) for text in identity.pod_cidrs):
        if packet is None or network.version != packet.version or packet.source in network or network.num_addresses <= 2:
            continue
        incoming = _incoming(node, pod_routes, str(network[2]))
        if incoming is not None:
            found.append(replace(packet, source=network[2], iif=incoming))
    return tuple(found)


def host_packet(node: Node, identity: Identity, packet: Packet) -> Packet:
    """The host's own SYN to the address that the pod's `packet` goes to."""
    return Packet(
        source=packet.destination,
        destination=packet.destination,
        dport=identity.kubelet_port,
        iif="lo",
        moment=packet.moment,
        local=_local(node.interfaces),
    )


def moment_of(taken_at: str, stages: Sequence[Stage]) -> tuple[int, int] | None:
    """Between which seconds a look that began at `taken_at` (ISO 8601, UTC) sent its packets; None where that is no moment."""
    began = read_moment(taken_at[:_SECONDS]) if taken_at.endswith("Z") else None
    took = max((stage.seconds for stage in stages), default=_LOOK)
    return None if began is None else (began, began + 2 + int(took))  # what was cut off both may make one more


def _source(identity: Identity, probe: ProbeResult | None) -> IPAddress | None:
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


def _incoming(node: Node, pod_routes: Sequence[PodRoute], pod: str) -> str | None:
    """The interface the pod's packets come in by: the kernel's own route to it, else the bridge that covers its address."""
    for route in pod_routes:
        if route.pod == pod and route.interface:
            return route.interface
    for interface in node.interfaces:
        if any(ip_address(pod) in ip_network(text, strict=False) for text in interface.addresses):
            return interface.name
    return None


def _local(interfaces: Sequence[Interface]) -> tuple[IPAddress, ...]:
    return tuple(ip_address(text.split("/")[0]) for interface in interfaces for text in interface.addresses)
