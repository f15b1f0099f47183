"""The answer to a packet that was let in: what this node sends back, as it enters output."""

from dataclasses import replace

from agent.analysis.path.state import UNCONNECTED, State, Traveller
from agent.model.packet import ACK, PROTOCOLS, SYN, TCP, CtState, Field, Packet
from agent.model.tri import Tri

# The one question of ICMP that a node answers of itself, and the answer (RFC 792, RFC 4443).
_ECHO = {PROTOCOLS["icmp"]: (8, 0), PROTOCOLS["ipv6-icmp"]: (128, 129)}
_TRACKED = (CtState.NEW, CtState.ESTABLISHED)


def answer_to(packet: Packet) -> Packet | None:
    """The answer of somebody who listens: SYN and ACK to a SYN, an echo reply to an echo request; None where none is due.

    It leaves by the interface that the packet came by, or by `packet.oif` where that is given, and bears no mark: the kernel
    copies none unless told to (`net.ipv4.tcp_fwmark_accept`, `fwmark_reflect`), nor does the kubelet set one.
    """
    asked, answered = _ECHO.get(packet.protocol, (None, None))
    if packet.icmp_type != asked or packet.ctstate == CtState.RELATED:
        return None
    return Packet(
        source=packet.destination,
        destination=packet.source,
        protocol=packet.protocol,
        sport=packet.dport,
        dport=packet.sport,
        iif="lo" if packet.iif == "lo" else None,
        oif=packet.oif or packet.iif,
        tcp_flags=SYN | ACK if packet.protocol == TCP and packet.tcp_flags == SYN else None,
        icmp_type=answered,
        icmp_code=None if answered is None else 0,
        ctstate=CtState.ESTABLISHED,
        local=packet.local,
    )


def turn(asked: Traveller, answering: Traveller, arrived: State) -> State:
    """The answer's state, where the packet that was asked for it arrived in that one.

    It comes from where the packet was sent to in the end. Where the packet's source was rewritten, the way back leads through
    another device at first, and the answer's destination is not followed.
    """
    renamed = (arrived.source, arrived.sport) != (asked.start.source, asked.start.sport)
    state = replace(
        answering.start,
        ctstate=_state_of(answering.packet, arrived),
        connmark=0 if arrived.ctstate in UNCONNECTED else arrived.connmark,
        nat=arrived.nat,
        source=arrived.destination,
        sport=arrived.dport,
    )
    if not renamed:
        return state
    lost = frozenset((Field.OIF, Field.DADDR_TYPE))
    return replace(state, destination=None, dport=None, here=Tri.UNKNOWN, forgotten=lost)


def _state_of(answer: Packet, arrived: State) -> int | None:
    """Conntrack's word on the answer; a SYN-ACK that it saw no SYN for is invalid (nf_conntrack_proto_tcp.c, `tcp_new`)."""
    if arrived.ctstate in _TRACKED:
        return int(CtState.ESTABLISHED)
    if arrived.ctstate == CtState.UNTRACKED and answer.tcp_flags == SYN | ACK:
        return int(CtState.INVALID)
    return None
