"""Suspects between the pod's cable and the node's rules, and on the answer's way back: addresses, checks, routes, programs."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

from agent.analysis.diagnosis.catalog.node import (
    INTERFACE_PROGRAM,
    IPVS_NODE_IP,
    MARTIAN_SOURCE,
    NODE_IP_FOREIGN,
    POD_CIDR_OVERLAP,
    REPLY_ROUTE,
    RP_FILTER,
)
from agent.analysis.diagnosis.places import rule_name
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.suspects import Alibi, Proof, Word, arrived, is_silent, let_through, rise, timed_out
from agent.model.capture import Route
from agent.model.evidence import ENTERS_NODE, LEAVES_NODE, Lookup, PolicyRule, Program
from agent.model.explanation import Verdict
from agent.model.packet import IPAddress
from agent.model.report import Remedy
from agent.model.tri import Tri

_MAIN = 254
_USUAL = (255, 254, 253)  # local, main, default
_IPVS, _IPVS_CHAIN = "kube-ipvs0", "KUBE-IPVS-FILTER"
_REFUSED = ("EXDEV", "EINVAL")  # the second since Linux 6.14


def foreign_address(scene: Scene) -> Word:
    """The address that pods are told is none of this node's."""
    around, lookup = scene.around, scene.around.evidence.lookup(ENTERS_NODE)
    if scene.packet is None or lookup is None:
        return None
    target = str(scene.packet.destination)
    if target in around.held:
        return Alibi("a wrong node IP", f"{target} is an address of {', '.join(around.held[target])}")
    if lookup.kind == "local":  # a whole network may be local (`ip route add local`)
        return None
    where = "refuses it" if lookup.errno else f"sends it on by {lookup.interface}"
    own = ", ".join(address for address, links in around.held.items() if not {"lo", around.evidence.entry} & {*links})
    message = (
        f"{target} is what this node is said to be reached at, and it is on no interface of this node: the kernel {where}. "
        f"This node holds {own or 'no other address'}."
    )
    seen = (
        f"the kernel's route lookup for {target} as it comes in by {lookup.incoming}: {lookup.errno or lookup.kind}, not local"
    )
    note = "Start the kubelet with --node-ip set to an address that this node holds, and look for a second node with this one."
    return Proof(NODE_IP_FOREIGN, message, (seen,), Remedy(owner="kubelet", note=note))


def ipvs(scene: Scene) -> Word:
    """kube-proxy in IPVS mode took the node's address for a Service's."""
    explanation, packet = scene.explanation, scene.packet
    holds = packet is not None and _IPVS in scene.around.held.get(str(packet.destination), ())
    if explanation is None or packet is None or not holds:
        return None
    rule = explanation.decided_by
    mine = rule is not None and explanation.verdict in (Verdict.DROP, Verdict.REJECT)
    if rule is None or not mine or (rule.chain != _IPVS_CHAIN and "KUBE-IPVS" not in rule.text):
        return None
    message = (
        f"{packet.destination} is a Service's external or load balancer address, so kube-proxy put it on {_IPVS}; "
        f"{rule_name(rule)} rejects every port of it that is no Service's ({rule.text})."
    )
    note = "Remove the node's address from the Service's externalIPs or load balancer addresses; kube-proxy then gives it back."
    command = "kubectl get services -A -o wide"
    return Proof(
        IPVS_NODE_IP, message, (f"{_IPVS} holds {packet.destination}",), Remedy(command=command, owner="kube-proxy", note=note)
    )


def source_check(scene: Scene) -> Word:
    """The kernel itself refuses the packet's source as it comes in (fib_validate_source)."""
    around, lookup = scene.around, scene.around.evidence.lookup(ENTERS_NODE)
    if scene.packet is None or lookup is None:
        return None
    source, strictness = str(scene.packet.source), _strictness(scene)
    counted = rise(around.node, "TcpExtIPReversePathFilter")
    if not timed_out(scene) or lookup.errno not in _REFUSED:
        because = f"the kernel's lookup takes {source} from {lookup.incoming}"
        return None if lookup.errno else Alibi("rp_filter", f"{because}, rp_filter {strictness}")
    if source in around.held:
        links = ", ".join(around.held[source])
        message = f"{source} is the pod's address and also on {links} of this node: the kernel refuses packets from itself."
        said = f"the kernel's route lookup for a packet from {source} by {lookup.incoming} answers {lookup.errno}"
        return Proof(
            MARTIAN_SOURCE, message, (said,), Remedy(command=f"ip addr show to {source}", note="Remove one of the two.")
        )
    # Where the pod has to ask for its next hop first, the same check keeps ARP unanswered (net/ipv4/arp.c, arp_process),
    # and no packet is there to be counted.
    if not strictness or (around.node is not None and not counted and not is_silent(scene, "pod")):
        return None
    back = around.evidence.lookup(LEAVES_NODE)
    way = f"leads to it by {back.interface}" if back and not back.errno else "does not lead to it"
    message = (
        f"Packets from {source} come in by {lookup.incoming}, and the node's routing {way}: rp_filter "
        f"{strictness} ({'strict' if strictness == 1 else 'loose'}) drops them before any rule sees them."
    )
    seen = (
        f"the kernel's route lookup for a packet from {source} by {lookup.incoming} answers {lookup.errno}",
        *((f"TcpExtIPReversePathFilter rose by {counted} during the probe",) if counted else ()),
    )
    remedy = _mend(scene, _chosen(scene, back) if back else None)
    if strictness == 1:
        loose = f"sysctl -w net.ipv4.conf.{lookup.incoming}.rp_filter=2"
        remedy = replace(remedy, note=f"{remedy.note} Where the way back is meant to be another one: {loose} (loose).".strip())
    return Proof(RP_FILTER, message, seen, remedy)


def _strictness(scene: Scene) -> int:
    """The larger of `all` and the interface decides (Documentation/networking/ip-sysctl.rst)."""
    sysctls, entry = scene.around.evidence.sysctls, scene.around.evidence.entry
    values = [sysctls.get(f"conf/{name}/rp_filter", "0") for name in ("all", entry)]
    return max(int(value) if value.isdecimal() else 0 for value in values)


def source_rule(scene: Scene) -> Word:
    """A rule that makes the same check (`-m rpfilter`, `fib saddr`) counted the packet and drops it."""
    for item in scene.moved or () if timed_out(scene) else ():
        text = item.rule.text
        checks = "-m rpfilter" in text or "fib saddr" in text
        if checks and ("-j DROP" in text or text.split()[-1:] == ["drop"]):
            seen = f"{rule_name(item.rule)} counted {item.packets} packet(s) during the probe"
            message = f"{rule_name(item.rule)} drops what comes in by another interface than its way back leads by ({text})."
            note = (
                "Give the node a route to the pods by the interface that their packets come in by, or change the rule's owner."
            )
            return Proof(RP_FILTER, message, (seen,), Remedy(note=note))
    return None


def interface_program(scene: Scene) -> Word:
    """A program on the pod's interface threw the packet away: its qdisc says so, or the packet never came to the first rule."""
    around, evidence = scene.around, scene.around.evidence
    ways = (evidence.cable, evidence.entry)
    found = [item for item in evidence.programs if not item.hook.startswith("cgroup")]
    if not found:
        unseen = any(item.what.startswith(("tcx", "tc ")) for item in evidence.unread)
        known = around.known and evidence.cable and not unseen
        return Alibi("tc and XDP programs", f"there are none on {' and '.join(dict.fromkeys(ways))}") if known else None
    if not timed_out(scene):
        return None
    named = "; ".join(map(_program, found))
    note = "It belongs to the eBPF dataplane of the CNI plugin, or to whoever loaded it: ask there (`cilium-dbg monitor`)."
    thrown = {name: count for name, count in around.programs.items() if name in ways}
    seen = tuple(f"the clsact qdisc of {name} counted {count} drop(s) during the probe" for name, count in thrown.items())
    if not thrown and not (let_through(scene) and arrived(scene) is Tri.NO):
        return None
    seen = seen or ("no rule on the way in counted the packet, though the rules accept it",)
    message = f"On the pod's interface hangs a program that rules cannot show and this model cannot see inside: {named}."
    return Proof(INTERFACE_PROGRAM, message, seen, Remedy(command="bpftool net show", note=note))


def _program(item: Program) -> str:
    number = f" (program {item.number})" if item.number is not None else ""
    return f"{item.hook} {item.name or 'without a name'} on {item.where} of the {item.place}{number}"


def reply_route(scene: Scene) -> Word:
    """The node's own routing sends the answer elsewhere than to where the packet came from."""
    evidence = scene.around.evidence
    back = evidence.lookup(LEAVES_NODE)
    if scene.packet is None or back is None or not evidence.entry:
        return None
    if not back.errno and back.interface == evidence.entry:
        return Alibi("the way back", f"the kernel's lookup sends answers to {back.target} by {back.interface}")
    if not timed_out(scene) or not let_through(scene) or arrived(scene) is Tri.NO:
        return None
    if any(item.hook.startswith(("tc", "xdp")) for item in evidence.programs):
        return None  # an eBPF dataplane takes packets its own way
    pod = str(scene.packet.source)
    seen = (_said(back),)
    other = _covering(scene, back)
    if other:
        message = (
            f"The route {other.destination} by {other.interface} covers the pod's address {pod}, which belongs to "
            f"{', '.join(scene.identity.pod_cidrs)} behind {evidence.entry}: the kubelet's answers leave by {other.interface}."
        )
        note = "Give pods a CIDR that no other network of the node uses, or take the other route away."
        return Proof(POD_CIDR_OVERLAP, message, seen, Remedy(command=f"ip route show {other.destination}", note=note))
    chosen = _chosen(scene, back)
    where = f"are refused ({back.errno})" if back.errno else f"leave by {back.interface}"
    message = f"The packet comes in by {evidence.entry}, and the kubelet's answers to {pod} {where}{_because(back, chosen)}."
    return Proof(REPLY_ROUTE, message, seen, _mend(scene, chosen))


def _said(back: Lookup) -> str:
    way = back.errno or f"{back.interface}{f' via {back.gateway}' if back.gateway else ''}, table {back.table}"
    return f"the kernel's route lookup from {back.source} to {back.target} answers: {way}"


def _covering(scene: Scene, back: Lookup) -> Route | None:
    """A route of the main table, other than the default, that takes the pod's address by another interface than the pods'."""
    pod = ip_address(back.target)
    for route in scene.around.routes if back.table == _MAIN else ():
        network = ip_network(route.destination, strict=False)
        if network.prefixlen and pod in network and route.interface == back.interface:
            return route
    return None


def _chosen(scene: Scene, back: Lookup) -> PolicyRule | None:
    """The policy rule that led to the table that decided, where that is none of the usual three.

    A lookup that is refused does not say which it was: then the first such rule for the node's address.
    """
    address = ip_address(back.source)
    for rule in scene.around.evidence.rules:
        network = ip_network(rule.source, strict=False) if rule.source else None
        of_family = network is None or address in network
        if of_family and rule.table not in _USUAL and back.table in (rule.table, None):
            return rule
    return None


def _because(back: Lookup, chosen: PolicyRule | None) -> str:
    if chosen is not None:
        return f": the policy rule {chosen.priority} (from {chosen.source or 'all'}) leads to table {chosen.table}"
    return "" if back.errno else ": the main table has no route to the pod network"


def _mend(scene: Scene, chosen: PolicyRule | None) -> Remedy:
    entry = scene.around.evidence.entry
    cidr = next((text for text in scene.identity.pod_cidrs if scene.packet and _covers(text, scene.packet.source)), "")
    if chosen is not None:
        way = f"{cidr} dev {entry} table {chosen.table}"
        return Remedy(command=f"ip route replace {way}", undo=f"ip route del {way}", owner="the policy routing")
    note = "The CNI plugin makes this route: look why it is gone (an address taken off the bridge, a network manager)."
    return Remedy(command=f"ip route replace {cidr} dev {entry}", undo=f"ip route del {cidr} dev {entry}", note=note)


def _covers(cidr: str, address: IPAddress) -> bool:
    return address in ip_network(cidr, strict=False)
