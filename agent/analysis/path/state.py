"""The part of a packet that rules can change, and what the rules of one base chain see of the whole.

A packet's changing part is a small hashable value, so that the walk can tell whether two ways led to the same packet. None is
unknown throughout.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from agent.analysis.path.address_types import kinds_of
from agent.analysis.path.hooks import CONNTRACK_PRIORITY, run_priority
from agent.analysis.path.match import Bits, Missing, Value, read_fields, single_state
from agent.model.explanation import RuleRef
from agent.model.packet import CtState, Field, Packet
from agent.model.ruleset import Base, Hook
from agent.model.tri import Tri

# enum ip_conntrack_status (include/uapi/linux/netfilter/nf_conntrack_common.h). A connection whose first packet this is has not
# been expected, answered or assured; whether it is confirmed and which NAT was finished is not followed here.
_EXPECTED, _SEEN_REPLY, _ASSURED, SRC_NAT, DST_NAT = 1, 2, 4, 16, 32
_FRESH = _EXPECTED | _SEEN_REPLY | _ASSURED
UNCONNECTED = (CtState.INVALID, CtState.UNTRACKED)


class Tracking(Enum):
    """Whether conntrack has seen the packet when a base chain runs. AMBIGUOUS: at its very priority, the order is not known."""

    BEFORE = "before"
    AMBIGUOUS = "ambiguous"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class State:
    """The changing part. `ctstate` is what conntrack makes of the packet once it sees it, `nat` the SNAT and DNAT status bits.

    Addresses are integers. `here` tells whether the node owns the destination, `moved_by` which rule last changed it; `bound`
    means that this hook's NAT is done, and its other nat chains are not asked. `forgotten` are fields outside of these that a
    rule rewrote in a way that could not be computed.
    """

    mark: int | None
    connmark: int | None
    ctstate: int | None
    nat: int | None
    source: int | None
    sport: int | None
    destination: int | None
    dport: int | None
    here: Tri
    moved_by: RuleRef | None = None
    bound: bool = False
    forgotten: frozenset[Field] = frozenset()


@dataclass(frozen=True, slots=True)
class Traveller:
    """A packet on its way through some hooks: the unchanging part, and how to read and change the rest."""

    packet: Packet
    fields: Mapping[Field, Value]
    start: State

    @staticmethod
    def of(packet: Packet, *, delivered: bool) -> "Traveller":
        """`delivered`: the packet is taken to be for this node."""
        here = Tri.YES if delivered else (Tri.of(packet.destination in packet.local) if packet.local else Tri.UNKNOWN)
        start = State(
            mark=packet.mark,
            connmark=packet.connmark,
            ctstate=single_state(packet.ctstate),
            nat=0,
            source=int(packet.source),
            sport=packet.sport,
            destination=int(packet.destination),
            dport=packet.dport,
            here=here,
        )
        return Traveller(packet, read_fields(packet, delivered=delivered), start)

    @property
    def looped(self) -> bool:
        """Whether it comes back from the loopback device, with the connection that it left with."""
        return self.packet.iif == "lo"

    def tracking(self, base: Base) -> Tracking:
        """Conntrack sees packets at priority -200 of prerouting and output; what comes by lo was seen when it was sent."""
        if base.hook not in (Hook.PREROUTING, Hook.OUTPUT) or (self.looped and base.hook is Hook.PREROUTING):
            return Tracking.AFTER
        priority = run_priority(base)
        if priority == CONNTRACK_PRIORITY:
            return Tracking.AMBIGUOUS
        return Tracking.BEFORE if priority < CONNTRACK_PRIORITY else Tracking.AFTER

    def meets_nat(self, state: State, hook: Hook) -> Tri:
        """Whether nat chains are asked: once per connection and direction of change, at its first packet's hooks.

        A packet from lo was asked on its way out already (net/netfilter/nf_nat_core.c, `nf_nat_inet_fn`). A RELATED packet may
        be the first of a new connection or an ICMP error of an old one.
        """
        if state.bound or (self.looped and hook in (Hook.PREROUTING, Hook.INPUT)):
            return Tri.NO
        if state.ctstate in (None, CtState.RELATED):
            return Tri.UNKNOWN
        return Tri.of(state.ctstate == CtState.NEW)

    def view(self, state: State, base: Base) -> dict[Field, Value]:
        """Every field's value as the rules of this base chain see it.

        Without a connection the state is INVALID, or UNTRACKED once a rule has said so (net/netfilter/nft_ct.c,
        xt_conntrack.c). A device that the packet does not have at a hook has an empty name.
        """
        view: dict[Field, Value] = {
            **self.fields,
            Field.MARK: state.mark,
            Field.SADDR: state.source,
            Field.SPORT: state.sport,
            Field.DADDR: state.destination,
            Field.DPORT: state.dport,
            **self._connection(state, self.tracking(base)),
        }
        if base.hook in (Hook.PREROUTING, Hook.INPUT) and self.packet.oif is None:
            view[Field.OIF] = ""
        if base.hook is Hook.OUTPUT and self.packet.iif is None:
            view[Field.IIF] = ""
        if state.moved_by is not None:
            view[Field.DADDR_TYPE] = kinds_of(state.destination, self.packet.version, state.here)
        for lost in state.forgotten:
            view[lost] = None
        return view

    def _connection(self, state: State, tracking: Tracking) -> dict[Field, Value]:
        connected, ctstate = is_connected(state, tracking), self._seen_state(state, tracking)
        if connected is not Tri.YES:
            nothing = Missing.ABSENT if connected is Tri.NO else None
            return {
                Field.CT_STATE: ctstate,
                Field.CT_MARK: nothing,
                Field.CT_STATUS: nothing,
                Field.CT_DIRECTION: nothing,
            }
        return {
            Field.CT_STATE: ctstate,
            Field.CT_MARK: state.connmark,
            Field.CT_STATUS: self._status(state),
            Field.CT_DIRECTION: 0 if ctstate == CtState.NEW else None,
        }

    def _status(self, state: State) -> Bits | None:
        if state.ctstate != CtState.NEW:
            return None
        if state.nat is None or self.looped:
            return Bits(0, _FRESH)
        return Bits(state.nat, _FRESH | SRC_NAT | DST_NAT)

    def _seen_state(self, state: State, tracking: Tracking) -> int | None:
        if tracking is Tracking.AFTER:
            return state.ctstate
        if tracking is Tracking.AMBIGUOUS or state.ctstate is None or self.packet.ctstate == CtState.UNTRACKED:
            return None
        return int(CtState.UNTRACKED if state.ctstate == CtState.UNTRACKED else CtState.INVALID)


def is_connected(state: State, tracking: Tracking) -> Tri:
    """Whether the packet has a connection that rules can see and mark."""
    if tracking is Tracking.BEFORE or state.ctstate in UNCONNECTED:
        return Tri.NO
    return Tri.UNKNOWN if tracking is Tracking.AMBIGUOUS or state.ctstate is None else Tri.YES
