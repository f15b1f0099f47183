"""What the twin is to try, out of what is known of the node. Pure; the twin itself belongs to the host.

A request names the packet, and the interfaces and addresses that rules may ask for. Whoever sends it says which rules.
"""

from collections.abc import Iterator, Sequence
from ipaddress import ip_interface

from agent.analysis.diagnosis.packets import pod_packet
from agent.analysis.diagnosis.scene import is_listening
from agent.model.capture import Interface, Node, PodRoute, Processes
from agent.model.identity import Identity
from agent.model.packet import PROTOCOLS, TCP, CtState, Packet
from agent.model.tri import Tri
from agent.model.twin import TwinInsert, TwinInterface, TwinRequest, TwinResult

# IPVS binds every Service's address to one interface, ten thousand on a large cluster; rules ask for this packet's own only.
_ADDRESSES = 256


def plan_twin(identity: Identity, node: Node, processes: Processes, pod_routes: Sequence[PodRoute]) -> TwinRequest | TwinResult:
    """The request for the pod's packet; a result that says why there is none where it cannot be built."""
    packet = pod_packet(node, pod_routes, identity)
    if packet is None:
        return TwinResult(problem="no pod's packet is known")
    return plan_packet(packet, node, listening=is_listening(identity, processes) is not Tri.NO)


def plan_packet(
    packet: Packet, node: Node, *, listening: bool = True, insert: TwinInsert | None = None
) -> TwinRequest | TwinResult:
    """The request for any packet that enters this node by one of its wires, or why the twin cannot send it."""
    why = next(_reasons(packet), "")
    if why or packet.iif is None or packet.dport is None:
        return TwinResult(problem=why)
    ports = [interface.name for interface in node.interfaces if interface.master == packet.iif]
    if packet.physdev_in is not None:
        ports = [packet.physdev_in] if packet.physdev_in else []
    return TwinRequest(
        source=packet.source,
        destination=packet.destination,
        iif=packet.iif,
        dport=packet.dport,
        sport=packet.sport,
        protocol=packet.protocol,
        ports=tuple(ports),
        interfaces=_interfaces(packet, node.interfaces),
        listening=listening,
        insert=insert,
    )


def _reasons(packet: Packet) -> Iterator[str]:
    """Why the twin cannot send this packet."""
    if packet.iif is None:
        yield "by which interface the packet comes in is not known"
    elif packet.iif == "lo":
        yield "the twin sends no packets by lo"
    if packet.protocol not in (TCP, PROTOCOLS["udp"]) or not packet.dport:
        yield "the twin sends TCP and UDP to a port"
    if packet.ctstate is not CtState.NEW:
        yield "the twin sends the first packet of a connection only"
    if packet.mark or packet.connmark:
        yield "the twin sends packets without a mark"
    if any(value is not None for value in (packet.ttl, packet.dscp, packet.length, packet.mac)):
        yield "the twin chooses ttl, dscp, length and the sender's MAC itself"
    if packet.source in packet.local:
        yield f"{packet.source} is this node's own address, and the kernel takes it from no wire"


def _interfaces(packet: Packet, interfaces: Sequence[Interface]) -> tuple[TwinInterface, ...]:
    """Interfaces with addresses of the packet's version: those of the packet's own interface and destination first."""
    held = {
        interface.name: tuple(
            text for text in interface.addresses if ip_interface(text).version == packet.version and "%" not in text
        )
        for interface in interfaces
        if interface.name != "lo"
    }
    destination = str(packet.destination)

    def distance(name: str) -> int:
        own = any(text.split("/")[0] == destination for text in held[name])
        return 0 if name == packet.iif else 1 if own else 2

    chosen, left = [], _ADDRESSES
    for name in sorted(held, key=distance):
        own = sorted(held[name], key=lambda text: text.split("/")[0] != destination)[:left]
        left -= len(own)
        if own:
            chosen.append(TwinInterface(name=name, addresses=tuple(own)))
    return tuple(chosen)
