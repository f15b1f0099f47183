"""The answer for one packet on its way to this node, as `kubereach explain` prints it and a report carries it."""

from typing import Any

from agent.analysis.path.hooks import link_chains
from agent.analysis.path.references import refer
from agent.analysis.path.replies import errno_of
from agent.analysis.path.walk import Walk, walk
from agent.model.explanation import Assumption, Explanation, Verdict
from agent.model.packet import PROTOCOLS, TCP, Packet
from agent.model.ruleset import Hook, Ruleset

_BELOW = "frames pass this chain before IP's own hooks; on which device it hangs is not modelled, so it was not walked"
_NAMES = {number: name for name, number in PROTOCOLS.items()}


def explain(ruleset: Ruleset, packet: Packet) -> Explanation:
    """The packet walked through prerouting and input; its destination is taken as local.

    `client_sees` is the name of the errno that a TCP client's connect() ends with, None when it is let through or undecided.
    The answer's own way out is not walked: an OUTPUT chain that drops it leaves the client with ETIMEDOUT.
    Where a live backend could not be read, or a chain below IP could stop the frame, no ACCEPT is claimed; a DROP or REJECT by
    a rule that was read stands, since nothing unread can undo it.
    """
    walked = walk(ruleset, packet, (Hook.PREROUTING, Hook.INPUT))
    below = tuple(Assumption(refer(*placed, None), _BELOW) for placed in link_chains(ruleset))
    shaken = walked.verdict is Verdict.UNDECIDED or (walked.verdict is Verdict.ACCEPT and bool(below or ruleset.unread))
    return Explanation(
        packet=describe_packet(packet),
        verdict=Verdict.UNDECIDED if shaken else walked.verdict,
        reject_with=walked.reply,
        client_sees=None if shaken else _client_sees(walked, packet),
        decided_by=None if shaken else walked.decided_by,
        assumptions=(*walked.assumptions, *below) if shaken else walked.assumptions,
        steps=walked.steps,
        problems=tuple(dict.fromkeys((*ruleset.problems, *ruleset.unread))),
    )


def describe_packet(packet: Packet) -> dict[str, Any]:
    """The packet as plain data: "in", "src", "dst", "proto", "sport", "dport", "ctstate", "mark"; None is unknown."""
    return {
        "in": packet.iif,
        "src": str(packet.source),
        "dst": str(packet.destination),
        "proto": _NAMES.get(packet.protocol, str(packet.protocol)),
        "sport": packet.sport,
        "dport": packet.dport,
        "ctstate": packet.ctstate.name or str(int(packet.ctstate)),
        "mark": packet.mark,
    }


def _client_sees(walked: Walk, packet: Packet) -> str | None:
    if packet.protocol != TCP or walked.verdict is Verdict.ACCEPT:
        return None
    if walked.verdict is Verdict.DROP:
        return "ETIMEDOUT"
    return errno_of(walked.reply, packet.version) if walked.reply else None
