"""The packets that a diagnosis will ask the rules about, known before any rule: a large firewall need not be read whole.

What is forgotten here costs an answer and gives no wrong one: the walk ends where a chain was not read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

from agent.analysis.diagnosis.packets import host_packet, pod_packet
from agent.analysis.path.explain import Way
from agent.analysis.path.partition import Network
from agent.analysis.path.reach import Asked
from agent.model.capture import Node, PodRoute
from agent.model.identity import Identity
from agent.model.packet import IPAddress, Packet
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage


def packets_asked(
    identity: Identity, node: Node, pod_routes: Sequence[PodRoute], requests: Sequence[ProbeRequest]
) -> tuple[Asked, ...]:
    """The pod's packet from every address of its network, the host's own, and the pod's to the other node."""
    results = [ProbeResult(request=each, outcome=Outcome.NOT_TRIED) for each in requests if each.vantage is Vantage.POD]
    packets = [packet for each in (None, *results) if (packet := pod_packet(node, pod_routes, identity, each)) is not None]
    peers = [ip_address(each.target) for each in requests if each.vantage is Vantage.PEER]
    return tuple(dict.fromkeys(each for packet in packets for each in _around(identity, node, packet, peers)))


def _around(identity: Identity, node: Node, packet: Packet, peers: Sequence[IPAddress]) -> Iterator[Asked]:
    network = _network(identity, packet)
    yield Asked(packet, sources=network)
    yield Asked(host_packet(node, identity, packet))
    for peer in peers:
        if peer.version == packet.version:
            yield Asked(replace(packet, destination=peer), Way.FORWARD, network)


def _network(identity: Identity, packet: Packet) -> Network | None:
    networks = (ip_network(text, strict=False) for text in identity.pod_cidrs)
    return next((network for network in networks if packet.source in network), None)
