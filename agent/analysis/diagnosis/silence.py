"""A REJECT answers, and the answer leaves the node through its own rules: does it get out?

Somebody whose ICMP errors or resets are dropped in OUTPUT sees a timeout where the rule says REJECT.
"""

from agent.analysis.path.replies import TCP_RESET, icmp_of
from agent.analysis.path.walk import walk
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.packet import ACK, PROTOCOLS, TCP, CtState, Packet
from agent.model.ruleset import Hook, Ruleset

_RST = 0x04


def silenced_by(
    ruleset: Ruleset, packet: Packet, explanation: Explanation, *, bridged: bool, timed_out: bool
) -> RuleRef | None:
    """The rule that stops the REJECT's own answer to the packet; None where none does, or where that is not known.

    `bridged`: the packet came by a port of a bridge. With br_netfilter a reset then leaves by that port at once and never meets
    OUTPUT (net/ipv4/netfilter/nf_reject_ipv4.c, `nf_send_reset`; ICMP errors do), so the connect's own timeout has to say that.
    """
    answer = _answer(packet, explanation)
    if answer is None or (bridged and answer.protocol == TCP and not timed_out):
        return None
    out = walk(ruleset, answer, (Hook.OUTPUT, Hook.POSTROUTING))
    return out.decided_by if out.verdict in (Verdict.DROP, Verdict.REJECT) else None


def _answer(packet: Packet, explanation: Explanation) -> Packet | None:
    """The answer as it enters output. It bears the connection of what it answers, which makes it RELATED.

    nf_ct_attach: net/ipv4/icmp.c (`icmp_glue_bits`), net/ipv6/icmp.c (`icmpv6_getfrag`), net/ipv4/netfilter/nf_reject_ipv4.c
    (`nf_send_reset`), net/netfilter/nf_conntrack_core.c (`nf_conntrack_attach`).
    """
    word = explanation.reject_with
    if explanation.verdict is not Verdict.REJECT or word is None or packet.iif == "lo":
        return None
    untracked = any(step.result == "match" and "notrack" in step.effect for step in explanation.steps)
    state = CtState.UNTRACKED if untracked else CtState.RELATED
    error = icmp_of(word, packet.version)
    if error is not None:
        return Packet(
            source=packet.destination,
            destination=packet.source,
            protocol=PROTOCOLS["icmp" if packet.version == 4 else "ipv6-icmp"],
            oif=packet.iif,
            tcp_flags=None,
            icmp_type=error[0],
            icmp_code=error[1],
            ctstate=state,
            local=packet.local,
        )
    if word != TCP_RESET:
        return None
    return Packet(
        source=packet.destination,
        destination=packet.source,
        sport=packet.dport,
        dport=packet.sport,
        oif=packet.iif,
        tcp_flags=_RST | ACK,
        ctstate=state,
        local=packet.local,
    )
