"""The evidence beside the firewall's rules, read: what rose during the pod's probe alone, what the pod's own rules say."""

from dataclasses import dataclass, field, replace

from agent.analysis.path.explain import Way, explain_way
from agent.analysis.path.walk import walk
from agent.analysis.readers.proc_counters import parse, risen
from agent.analysis.readers.read import read_firewall
from agent.model.capture import Capture, Interface, Route
from agent.model.evidence import Counters, NodeEvidence
from agent.model.explanation import Explanation, RuleRef
from agent.model.packet import ACK, SYN, CtState, Packet
from agent.model.ruleset import Hook, Ruleset


@dataclass(frozen=True, slots=True)
class PodRules:
    """What the pod's own namespace does with its packet on the way out and with the answer on the way in.

    `redirected` is the rule that surely sends the packet elsewhere, None where none does.
    """

    out: Explanation
    back: Explanation
    redirected: RuleRef | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`node` and `pod` are counters that rose, None where they were not read twice; `drops` likewise for the listener's own.

    `programs` maps an interface to the packets that tc programs threw away there during the probe.
    """

    evidence: NodeEvidence = field(default_factory=NodeEvidence)
    node: dict[str, int] | None = None
    pod: dict[str, int] | None = None
    drops: int | None = None
    programs: dict[str, int] = field(default_factory=dict)
    rules: PodRules | None = None
    routes: tuple[Route, ...] = ()
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)  # address of this node: the interfaces that hold it
    pod_is_bare: bool = False  # the pod's own namespace was read, and has no rules

    @property
    def known(self) -> bool:
        """Whether the kernel was asked at all."""
        return bool(self.evidence.lookups)


def read_surroundings(capture: Capture, packet: Packet | None) -> Surroundings:
    """Everything beside the rules that a cause may rest on."""
    before, after = (capture.counters[0], capture.counters[-1]) if len(capture.counters) > 1 else (None, None)
    firewall = capture.pod_firewall
    interface = next(
        (name[4:] for name in (capture.evidence.mtus if capture.evidence else {}) if name.startswith("pod ")), None
    )
    rules = read_firewall(firewall) if firewall else None
    return Surroundings(
        evidence=capture.evidence or NodeEvidence(),
        node=risen(parse(before.node), parse(after.node)) if before and after and before.node and after.node else None,
        pod=risen(parse(before.pod), parse(after.pod)) if before and after and before.pod and after.pod else None,
        drops=_drops(before, after),
        programs=risen(before.programs, after.programs) if before and after else {},
        rules=_pod_rules(rules, packet, interface) if rules and rules.tables and packet else None,
        routes=capture.node.routes,
        held=_held(capture.node.interfaces),
        pod_is_bare=rules is not None and not rules.tables and not rules.unread,
    )


def _held(interfaces: tuple[Interface, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for link in interfaces:
        for text in link.addresses:
            address = text.split("/")[0]
            found[address] = (*found.get(address, ()), link.name)
    return found


def _drops(before: Counters | None, after: Counters | None) -> int | None:
    if before is None or after is None or before.drops is None or after.drops is None:
        return None
    return max(0, after.drops - before.drops)  # a kubelet that was started anew counts from nought


def _pod_rules(ruleset: Ruleset, packet: Packet, interface: str | None) -> PodRules:
    """The packet as the pod sends it, and the answer as it comes in there."""
    sent = replace(packet, iif=None, oif=interface, local=(packet.source,))
    answer = replace(
        sent,
        source=packet.destination,
        destination=packet.source,
        sport=packet.dport,
        dport=packet.sport,
        ctstate=CtState.ESTABLISHED,
        tcp_flags=SYN | ACK,
        iif=interface,
        oif=None,
    )
    arrivals = walk(ruleset, sent, (Hook.OUTPUT,)).arrivals
    movers = [state.moved_by for state in arrivals]
    return PodRules(
        out=explain_way(ruleset, sent, Way.REPLY),
        back=explain_way(ruleset, answer, Way.TO_NODE),
        redirected=movers[0] if movers and all(movers) else None,
    )
