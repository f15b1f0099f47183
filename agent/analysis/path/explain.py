"""What becomes of one packet on its way to, through or from this node: `kubereach explain` prints it, a report carries it."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from agent.analysis.path.hooks import ENTERING, LEAVING, link_chains
from agent.analysis.path.references import refer
from agent.analysis.path.replies import errno_of
from agent.analysis.path.state import State
from agent.analysis.path.walk import Outcome, Walk, walk_both_ways
from agent.model.explanation import Assumption, Departure, Explanation, Fate, Reply, Verdict
from agent.model.packet import PROTOCOLS, TCP, Packet
from agent.model.ruleset import Hook, Ruleset

_BELOW = "frames pass this chain before IP's own hooks; on which device it hangs is not modelled, so it was not walked"
_LEFT = "frames pass this chain behind IP's own hooks; on which device it hangs is not modelled, so it was not walked"
_NAMES = {number: name for name, number in PROTOCOLS.items()}


class Way(StrEnum):
    """Which hooks a packet passes. TO_NODE: from elsewhere, a pod included; FROM_HOST: from this node to itself, by lo.

    REPLY: from this node to somebody else, as its answer to a pod; FORWARD: through it, as a pod's packet to another node.
    """

    TO_NODE = "to-node"
    REPLY = "reply"
    FORWARD = "forward"
    FROM_HOST = "from-host"


_OUT = (Hook.OUTPUT, Hook.POSTROUTING)
_IN = (Hook.PREROUTING, Hook.INPUT)
HOOKS = {
    Way.TO_NODE: _IN,
    Way.REPLY: _OUT,
    Way.FORWARD: (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING),
    Way.FROM_HOST: (*_OUT, *_IN),
}
_LINKS = {
    Way.TO_NODE: ENTERING,
    Way.REPLY: LEAVING,
    Way.FORWARD: ENTERING | LEAVING,
    Way.FROM_HOST: frozenset((Hook.INGRESS, Hook.EGRESS)),  # lo is no port of a bridge
}


def explain(ruleset: Ruleset, packet: Packet) -> Explanation:
    """The packet walked through prerouting and input; its destination is taken as local."""
    return explain_way(ruleset, packet, Way.TO_NODE)


def explain_way(ruleset: Ruleset, packet: Packet, way: Way) -> Explanation:
    """The packet walked through the hooks of its way; that it goes this way is taken from who asks.

    Where a packet to this node is accepted, `reply` tells what becomes of the answer of somebody who listens (to a SYN its
    SYN-ACK) in output and postrouting: of the same connection, back by the interface that the packet came by. It is None where
    no answer is due, and for a packet that came by lo, whose way out is not known. `leaves_as` is for forwarded packets alone.
    `client_sees` is the name of the errno that a TCP client's connect() ends with, None when it is let through or undecided;
    what a REJECT sends is taken to get through.
    Where a live backend could not be read, or a chain below IP could stop the frame, no ACCEPT is claimed; a DROP or REJECT by
    a rule that was read stands, since nothing unread can undo it; but what was not read may stop the packet before that rule.
    """
    if way is Way.FROM_HOST:
        packet = replace(packet, iif="lo", oif="lo")
    there, back = walk_both_ways(ruleset, packet, HOOKS[way], _back(packet, way))
    below = _link_assumptions(ruleset, _LINKS[way])
    astray = way is Way.FORWARD and packet.destination in packet.local
    shaken = there.verdict is Verdict.UNDECIDED or astray or (there.verdict is Verdict.ACCEPT and bool(below or ruleset.unread))
    reply = None if shaken or back is None else _reply(ruleset, back, LEAVING if way is Way.TO_NODE else _LINKS[way])
    return Explanation(
        packet=describe_packet(packet),
        verdict=Verdict.UNDECIDED if shaken else there.verdict,
        reject_with=there.reply,
        client_sees=None if shaken else _client_sees(there, reply, packet),
        decided_by=None if shaken else there.decided_by,
        or_by=there.or_by if not shaken and there.verdict is not Verdict.ACCEPT else (),
        assumptions=(*there.assumptions, *below) if shaken else there.assumptions,
        fates=tuple(map(_fate, there.outcomes)) if there.verdict is Verdict.UNDECIDED else (),
        steps=there.steps,
        problems=tuple(dict.fromkeys((*ruleset.problems, *ruleset.unread, *([_astray(packet)] if astray else [])))),
        unread=ruleset.unread,
        reply=reply,
        leaves_as=_departures(there, packet) if way is Way.FORWARD and not shaken else (),
    )


def _fate(outcome: Outcome) -> Fate:
    or_by = () if outcome.verdict is Verdict.ACCEPT else outcome.or_by
    return Fate(verdict=outcome.verdict, reject_with=outcome.reply, decided_by=outcome.decided_by, or_by=or_by)


def describe_packet(packet: Packet) -> dict[str, Any]:
    """The packet as plain data: "in", "src", "dst", "proto", "sport", "dport", "ctstate", "mark"; None is unknown.

    "out" is there where the device that it leaves by is known.
    """
    return {
        "in": packet.iif,
        **({} if packet.oif is None else {"out": packet.oif}),
        "src": str(packet.source),
        "dst": str(packet.destination),
        "proto": _NAMES.get(packet.protocol, str(packet.protocol)),
        "sport": packet.sport,
        "dport": packet.dport,
        "ctstate": packet.ctstate.name or str(int(packet.ctstate)),
        "mark": packet.mark,
    }


def _back(packet: Packet, way: Way) -> Sequence[Hook]:
    """The hooks of the answer's way, none where it is not walked."""
    if way is Way.FROM_HOST:
        return HOOKS[way]
    return _OUT if way is Way.TO_NODE and packet.iif != "lo" else ()


def _reply(ruleset: Ruleset, back: Walk, hooks: frozenset[Hook]) -> Reply:
    leaving = _link_assumptions(ruleset, hooks) if back.verdict is Verdict.ACCEPT else ()
    if leaving:
        return Reply(verdict=Verdict.UNDECIDED, assumptions=leaving)
    or_by = () if back.verdict is Verdict.ACCEPT else back.or_by
    return Reply(verdict=back.verdict, decided_by=back.decided_by, or_by=or_by, assumptions=back.assumptions)


def _link_assumptions(ruleset: Ruleset, hooks: frozenset[Hook]) -> tuple[Assumption, ...]:
    return tuple(
        Assumption(refer(table, chain, None), _BELOW if chain.base and chain.base.hook in ENTERING else _LEFT)
        for table, chain in link_chains(ruleset, hooks)
    )


def _astray(packet: Packet) -> str:
    return f"{packet.destination} is one of this node's own addresses: a packet to it is delivered, not forwarded."


def _departures(there: Walk, packet: Packet) -> tuple[Departure, ...]:
    """One for each way it may leave, in the order in which they were met."""
    return tuple(dict.fromkeys(_departure(state, packet.version) for state in there.arrivals))


def _departure(state: State, version: int) -> Departure:
    address = IPv4Address if version == 4 else IPv6Address
    return Departure(
        source=None if state.source is None else str(address(state.source)),
        sport=state.sport,
        destination=None if state.destination is None else str(address(state.destination)),
        dport=state.dport,
        rewritten_by=state.renamed_by,
    )


def _client_sees(walked: Walk, reply: Reply | None, packet: Packet) -> str | None:
    if packet.protocol != TCP:
        return None
    if walked.verdict is Verdict.DROP or (reply is not None and reply.lost):
        return "ETIMEDOUT"
    return errno_of(walked.reply, packet.version) if walked.reply else None
