"""What a rule's actions do to a packet's changing part: marks, NOTRACK, NAT, and what nobody understands."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from agent.analysis.path.state import DST_NAT, SRC_NAT, State, Tracking, Traveller, is_connected
from agent.model.explanation import RuleRef
from agent.model.packet import CtState, Field
from agent.model.ruleset import Base, CopyMark, Hook, SetMark, Translate
from agent.model.tri import Tri

# Fields that a state holds under a name of its own.
_HELD = frozenset(
    (
        Field.MARK,
        Field.CT_MARK,
        Field.CT_STATE,
        Field.CT_STATUS,
        Field.SADDR,
        Field.SPORT,
        Field.DADDR,
        Field.DPORT,
    )
)


def set_mark(state: State, action: SetMark, tracking: Tracking) -> State:
    """The state after `mark = (mark & keep) ^ flip`; a connection's mark is not changed where there is no connection."""
    if action.field is Field.MARK:
        return replace(state, mark=_masked(state.mark, action.keep, action.flip))
    connected = is_connected(state, tracking)
    if connected is Tri.NO:
        return state
    return replace(state, connmark=_masked(state.connmark, action.keep, action.flip) if connected is Tri.YES else None)


def copy_mark(state: State, action: CopyMark, tracking: Tracking) -> State:
    """The state after copying one mark to the other under masks, as CONNMARK does; nothing without a connection."""
    connected = is_connected(state, tracking)
    if connected is Tri.NO:
        return state
    to_packet = action.target is Field.MARK
    origin, target = (state.connmark, state.mark) if to_packet else (state.mark, state.connmark)
    keep = ~action.target_mask & 0xFFFFFFFF
    if action.source_mask == 0:
        origin = 0
    known = origin is not None and connected is Tri.YES
    value = _masked(target, keep, (origin or 0) & action.source_mask) if known else None
    return replace(state, mark=value) if to_packet else replace(state, connmark=value)


def untrack(state: State, tracking: Tracking) -> State:
    """The state after NOTRACK, which does nothing to a packet that has a connection (net/netfilter/nft_ct.c, xt_CT.c).

    One that conntrack found INVALID has none, and becomes UNTRACKED at any time.
    """
    if state.ctstate == CtState.INVALID:
        return replace(state, ctstate=int(CtState.UNTRACKED))
    if tracking is Tracking.AFTER:
        return state
    return replace(state, ctstate=int(CtState.UNTRACKED) if tracking is Tracking.BEFORE else None)


def translate(state: State, action: Translate, traveller: Traveller, hook: Hook, rule: RuleRef) -> State:
    """The state after a NAT action; the status bit is set only where something changed (nf_nat_core.c, `nf_nat_setup_info`).

    REDIRECT goes to the incoming interface's own address, which is local, whichever it is; that the interface has one is taken
    for granted (without one the kernel drops, nf_nat_redirect.c).
    """
    if action.kind in ("snat", "masquerade") or (action.kind == "netmap" and hook in (Hook.INPUT, Hook.POSTROUTING)):
        source = _address(action, state.source)
        changed = None if source is None else source != state.source
        nat = _with_bit(state.nat, SRC_NAT, changed=changed)
        return replace(state, source=source, sport=None, nat=nat, renamed_by=rule, bound=True)
    destination = None if action.kind == "redirect" else _address(action, state.destination)
    port = action.port if action.port is not None else state.dport if action.exact else None
    here = Tri.YES if action.kind == "redirect" else _owned(destination, traveller)
    return replace(
        state,
        destination=destination,
        dport=port,
        here=here,
        nat=_with_bit(state.nat, DST_NAT, changed=_changed((destination, state.destination), (port, state.dport))),
        moved_by=rule,
        bound=True,
    )


def forget(state: State, fields: Iterable[Field], rule: RuleRef) -> State:
    """The state after these fields were rewritten in a way that is not known."""
    lost = frozenset(fields)
    if Field.DADDR in lost:
        state = replace(state, destination=None, here=Tri.UNKNOWN, moved_by=rule)
    if Field.SADDR in lost:
        state = replace(state, source=None, forgotten=state.forgotten | {Field.SADDR_TYPE})
    return replace(
        state,
        mark=None if Field.MARK in lost else state.mark,
        connmark=None if Field.CT_MARK in lost else state.connmark,
        ctstate=None if Field.CT_STATE in lost else state.ctstate,
        nat=None if Field.CT_STATUS in lost else state.nat,
        sport=None if Field.SPORT in lost else state.sport,
        dport=None if Field.DPORT in lost else state.dport,
        forgotten=state.forgotten | (lost - _HELD),
    )


def changeable(base: Base, tracking: Tracking) -> tuple[Field, ...]:
    """What an action that nobody understands may change in such a chain."""
    fields = [Field.MARK, Field.CT_MARK]
    if tracking is not Tracking.AFTER:
        fields.append(Field.CT_STATE)
    if base.kind == "nat":
        fields += [Field.SADDR, Field.SPORT, Field.DADDR, Field.DPORT, Field.CT_STATUS]
    return tuple(fields)


def _masked(mark: int | None, keep: int, flip: int) -> int | None:
    if keep == 0:
        return flip
    return None if mark is None else (mark & keep) ^ flip


def _address(action: Translate, current: int | None) -> int | None:
    if action.kind == "masquerade":
        return None
    if action.address:
        try:
            return int(ip_address(action.address))
        except ValueError:
            return None
    return current if action.exact else None


def _owned(destination: int | None, traveller: Traveller) -> Tri:
    """127.0.0.0/8 is deliverable to a packet from outside only with route_localnet, which is not known."""
    packet = traveller.packet
    if destination is None:
        return Tri.UNKNOWN
    if packet.version == 4 and destination >> 24 == 127:
        return Tri.UNKNOWN
    if destination in {int(address) for address in packet.local if address.version == packet.version}:
        return Tri.YES
    if destination == int(packet.destination):
        return traveller.start.here
    return Tri.NO if packet.local else Tri.UNKNOWN


def _changed(*pairs: tuple[int | None, int | None]) -> bool | None:
    if any(new != old for new, old in pairs if new is not None and old is not None):
        return True
    return None if any(new is None or old is None for new, old in pairs) else False


def _with_bit(bits: int | None, bit: int, *, changed: bool | None) -> int | None:
    if bits is None or changed is None:
        return None
    return bits | bit if changed else bits
