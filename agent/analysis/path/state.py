"""The part of a packet that rules can change, and what the rules of one base chain see of the whole.

A packet's changing part is a small hashable value, so that the walk can tell whether two ways led to the same packet. None is
unknown throughout.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from agent.analysis.path.address_types import kinds_of
from agent.analysis.path.hooks import CONNTRACK_PRIORITY, NAT_PRIORITY, run_priority
from agent.analysis.path.match import Bits, Missing, Value, original_tuple, read_fields, single_state
from agent.model.explanation import RuleRef
from agent.model.packet import CtState, Field, Packet
from agent.model.ruleset import Base, Hook
from agent.model.tri import Tri

# enum ip_conntrack_status (include/uapi/linux/netfilter/nf_conntrack_common.h). A connection whose first packet this is has not
# been expected, answered or assured; whether it is confirmed and which NAT was finished is not followed here.
_EXPECTED, _SEEN_REPLY, _ASSURED, _CONFIRMED, SRC_NAT, DST_NAT = 1, 2, 4, 8, 16, 32
_FRESH = _EXPECTED | _SEEN_REPLY | _ASSURED
_ANSWERED = _FRESH | _CONFIRMED
_OF_CONNECTION = (
    *(Field.CT_MARK, Field.CT_STATUS, Field.CT_DIRECTION),
    *(Field.CT_SADDR, Field.CT_DADDR, Field.CT_SPORT, Field.CT_DPORT, Field.CT_PROTOCOL),
)
UNCONNECTED = (CtState.INVALID, CtState.UNTRACKED)


class Tracking(Enum):
    """Whether conntrack has seen the packet when a base chain runs. AMBIGUOUS: at its very priority, the order is not known."""

    BEFORE = "before"
    AMBIGUOUS = "ambiguous"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class State:
    """The changing part. `ctstate` is what conntrack makes of the packet once it sees it, `nat` the SNAT and DNAT status bits.

    Addresses are integers. `here` tells whether the node owns the destination, `moved_by` which rule last changed it,
    `renamed_by` which the source; `bound` means that this hook's NAT is done, and its other nat chains are not asked.
    `forgotten` are fields outside of these that a rule rewrote in a way that could not be computed.
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
    renamed_by: RuleRef | None = None
    bound: bool = False
    forgotten: frozenset[Field] = frozenset()


@dataclass(frozen=True, slots=True)
class Traveller:
    """A packet on its way through some hooks: the unchanging part, and how to read and change the rest.

    `first` is the first packet of its connection where that is known, which may be itself; `answers` tells that it is the
    first one in the other direction, and `sent` that this node made it.
    """

    packet: Packet
    fields: Mapping[Field, Value]
    start: State
    first: Packet | None = None
    answers: bool = False
    sent: bool = False

    @staticmethod
    def of(packet: Packet, hooks: Collection[Hook]) -> "Traveller":
        """The packet as it enters the first of these hooks. With INPUT among them it is for this node, with FORWARD not."""
        delivered = Hook.INPUT in hooks
        here = Tri.of(packet.destination in packet.local) if packet.local else Tri.UNKNOWN
        here = Tri.YES if delivered else Tri.NO if Hook.FORWARD in hooks else here
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
        fields = read_fields(packet, delivered=delivered)
        fields[Field.DADDR_TYPE] = kinds_of(start.destination, packet.version, here)
        first = packet if packet.ctstate == CtState.NEW else None
        return Traveller(packet, fields, start, first, sent=Hook.OUTPUT in hooks)

    @staticmethod
    def answering(asked: "Traveller", answer: Packet, hooks: Collection[Hook]) -> "Traveller":
        """The node's `answer` to a packet that arrived, as it enters output; `start` is still without its connection."""
        made = Traveller.of(answer, hooks)
        fields = {
            **made.fields,
            **original_tuple(asked.first),
            Field.SADDR_TYPE: kinds_of(made.start.source, answer.version, Tri.YES),
        }
        return Traveller(answer, fields, made.start, asked.first, answers=True, sent=True)

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
        if base.hook in (Hook.PREROUTING, Hook.INPUT):
            view[Field.OIF] = view[Field.PHYSDEV_OUT] = ""
        elif base.hook is Hook.OUTPUT:
            view[Field.IIF] = view[Field.PHYSDEV_IN] = view[Field.PHYSDEV_OUT] = ""
        elif base.hook is Hook.POSTROUTING:
            view[Field.IIF] = "" if self.sent else None
        if state.moved_by is not None:
            view[Field.DADDR_TYPE] = kinds_of(state.destination, self.packet.version, state.here)
        if state.source != self.start.source:
            view[Field.SADDR_TYPE] = kinds_of(state.source, self.packet.version, self._owns(state.source))
        for lost in state.forgotten:
            view[lost] = None
        if self.answers and _is_restored(base):
            view |= self._restored(state)
        return view

    def _connection(self, state: State, tracking: Tracking) -> dict[Field, Value]:
        connected, ctstate = is_connected(state, tracking), self._seen_state(state, tracking)
        if connected is not Tri.YES:
            nothing = Missing.ABSENT if connected is Tri.NO else None
            return {Field.CT_STATE: ctstate, **dict.fromkeys(_OF_CONNECTION, nothing)}
        known = self.first is not None
        return {
            Field.CT_STATE: ctstate,
            Field.CT_MARK: state.connmark,
            Field.CT_STATUS: self._status(state),
            Field.CT_DIRECTION: int(self.answers) if known else None,
        }

    def _status(self, state: State) -> Bits | None:
        if self.answers and self.first is not None:
            nat = 0 if state.nat is None else SRC_NAT | DST_NAT
            return Bits(_SEEN_REPLY | _CONFIRMED | (state.nat or 0), _ANSWERED | nat)
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

    def _owns(self, source: int | None) -> Tri:
        """Whether an address that a rule wrote, or that an answer comes from, is the node's."""
        if self.answers:
            return Tri.YES
        local = {int(address) for address in self.packet.local if address.version == self.packet.version}
        return Tri.of(source in local) if local and source is not None else Tri.UNKNOWN

    def _restored(self, state: State) -> dict[Field, Value]:
        """Where the answer gets back the source that was asked, which is not followed closer."""
        translated = (state.source, state.sport) != (self.start.source, self.start.sport)
        return dict.fromkeys((Field.SADDR, Field.SPORT, Field.SADDR_TYPE), None) if translated else {}


def _is_restored(base: Base) -> bool:
    """Destination NAT is undone for answers where source NAT is done (net/netfilter/nf_nat_core.c, `nf_nat_packet`)."""
    if base.hook is Hook.POSTROUTING:
        return run_priority(base) >= NAT_PRIORITY[Hook.POSTROUTING]
    return base.hook is not Hook.OUTPUT


def is_connected(state: State, tracking: Tracking) -> Tri:
    """Whether the packet has a connection that rules can see and mark."""
    if tracking is Tracking.BEFORE or state.ctstate in UNCONNECTED:
        return Tri.NO
    return Tri.UNKNOWN if tracking is Tracking.AMBIGUOUS or state.ctstate is None else Tri.YES
