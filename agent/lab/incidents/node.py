"""Incidents that no rule of the node's firewall causes: it accepts pods in each of them, or never gets to see them."""

from dataclasses import replace

from agent.lab.incidents.incident import Decider, Expectation, Incident
from agent.lab.incidents.lines import NODES, PODS_KUBELET, PROHIBITED, STATEFUL
from agent.lab.rules import MASQUERADE, POD_CIDR, Rules, on_either
from agent.model.explanation import Verdict
from agent.model.report import State
from agent.model.ruleset import Backend

_OPEN = on_either((*STATEFUL, NODES, PODS_KUBELET, PROHIBITED))
_LOST = Expectation(verdict=Verdict.ACCEPT, errno="ETIMEDOUT")
_NODE = "172.31.16.124"
_ROUTER = "172.31.16.1"  # where the default route points and nobody answers
# The CNI bridge plugin's own scheme: 0a:58 and the address. A fixed one, so that pods can know it without asking.
_BRIDGE = "0a:58:0a:f4:04:01"
_KNOWN_GATEWAY = (f"ip neigh replace 10.244.4.1 lladdr {_BRIDGE} dev eth0 nud permanent",)
_FIXED_BRIDGE = (f"ip link set cni0 address {_BRIDGE}",)
_AWAY = f"ip route replace {POD_CIDR} via {_ROUTER} dev eth0"
_STRICT = "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter"
_OWN_REJECT = f"iptables-nft -A OUTPUT -d {_NODE} -p tcp --dport 10250 -j REJECT --reject-with icmp-host-prohibited"
_OWN_DROP = f"iptables-legacy -A OUTPUT -d {_NODE} -p tcp --dport 10250 -j DROP"
_OWN_MESH = f"iptables-nft -t nat -A OUTPUT -d {_NODE} -p tcp -j REDIRECT --to-ports 15001"

_IPVS = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:KUBE-IPVS-FILTER - [0:0]\n"
    "-A INPUT -i lo -j ACCEPT\n"
    '-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER\n'
    "-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT\nCOMMIT\n"
)


def _lost(code: str, peer: str = "open") -> Expectation:
    return replace(_LOST, code=code, peer=peer)


INCIDENTS: tuple[Incident, ...] = (
    Incident(
        name="rp-filter-strict",
        story="The node's route to its pods points to a wrong interface, and strict rp_filter drops their packets.",
        rules=_OPEN,
        node=(*_FIXED_BRIDGE, _STRICT, _AWAY),
        pods=_KNOWN_GATEWAY,
        expect=_lost("rp-filter", peer="timeout"),
    ),
    Incident(
        name="rp-filter-arp",
        story="The same, and the pods have to ask for their gateway: the filter keeps even that unanswered.",
        rules=_OPEN,
        node=(_STRICT, _AWAY),
        expect=_lost("rp-filter", peer="timeout"),
    ),
    Incident(
        name="rp-filter-rule",
        story="A rule of raw PREROUTING checks the way back, as Calico's and firewalld's do, and drops what pods send.",
        rules={
            backend: replace(
                rules,
                **{
                    "legacy" if backend is Backend.LEGACY else "nft": (rules.legacy or rules.nft)
                    + "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
                    "-A PREROUTING -i cni0 -m rpfilter --invert -j DROP\nCOMMIT\n"
                },
            )
            for backend, rules in _OPEN.items()
        },
        node=(_AWAY,),
        expect=_lost("rp-filter", peer="timeout"),
    ),
    Incident(
        name="martian-pod",
        story="The node itself holds its pods' addresses: the kernel takes their packets for its own and refuses them.",
        rules=_OPEN,
        node=("ip addr add 10.244.4.7/32 dev lo", "ip addr add 10.244.4.138/32 dev lo"),
        expect=_lost("martian-source", peer="timeout"),
    ),
    Incident(
        name="pod-route-lost",
        story="The node's route to its pods points to its default router: the kubelet hears them, and answers into the void.",
        rules=_OPEN,
        node=(f"ip route del {POD_CIDR} dev cni0",),
        expect=_lost("reply-route", peer="timeout"),
    ),
    Incident(
        name="policy-route",
        story="A policy rule sends all that has the node's address through another table, which has no pods in it.",
        rules=_OPEN,
        node=(f"ip rule add from {_NODE} lookup 100", f"ip route add default via {_ROUTER} dev eth0 table 100"),
        expect=_lost("reply-route"),
    ),
    Incident(
        name="reply-unreachable",
        story="A policy rule makes pods unreachable for the node's own address.",
        rules=_OPEN,
        # Any reverse path filter would drop the packet itself, for the same reason.
        node=(
            "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
            f"ip rule add from {_NODE} to {POD_CIDR} lookup 100",
            "ip route add unreachable default table 100",
        ),
        expect=_lost("reply-route"),
    ),
    Incident(
        name="pod-cidr-overlap",
        story="A VPN brought routes for a network of its own that covers the node's pods: the kubelet's answers go there.",
        rules=_OPEN,
        node=tuple(f"ip route add {half} via {_ROUTER} dev eth0" for half in ("10.244.4.0/25", "10.244.4.128/25")),
        expect=_lost("pod-cidr-overlap", peer="timeout"),
    ),
    Incident(
        name="pod-route-unreachable",
        story="The pods' own routes say that the node is unreachable: it looks as if a firewall rejected them.",
        rules=_OPEN,
        pods=(f"ip route add unreachable {_NODE}/32",),
        expect=Expectation(code="pod-route", verdict=Verdict.ACCEPT, errno="EHOSTUNREACH"),
    ),
    Incident(
        name="pod-route-prohibit",
        story="The pods' own routes prohibit the way to the node.",
        rules=_OPEN,
        pods=(f"ip route add prohibit {_NODE}/32",),
        expect=Expectation(code="pod-route", verdict=Verdict.ACCEPT, errno="EACCES"),
    ),
    Incident(
        name="pod-route-blackhole",
        story="The pods' own routes swallow what is meant for the node.",
        rules=_OPEN,
        pods=(f"ip route add blackhole {_NODE}/32",),
        expect=Expectation(code="pod-route", verdict=Verdict.ACCEPT, errno="EINVAL"),
    ),
    Incident(
        name="pod-route-missing",
        story="The pods have lost their default route and know nobody outside their own network.",
        rules=_OPEN,
        pods=("ip route del default",),
        expect=Expectation(code="pod-route", verdict=Verdict.ACCEPT, errno="ENETUNREACH", peer="no-route"),
    ),
    Incident(
        name="neighbour-silent",
        story="The pods take the node's address for a neighbour's on their own link, and the node answers no ARP for it there.",
        rules=_OPEN,
        node=("echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore",),
        pods=(f"ip route add {_NODE}/32 dev eth0",),
        expect=_lost("neighbour-failed"),
    ),
    Incident(
        name="node-ip-foreign",
        story="The kubelet told the cluster an address that this node does not have, as Vagrant's 10.0.2.15.",
        rules=_OPEN,
        flags=("--node-ip=10.0.2.15",),
        expect=replace(_lost("node-ip-foreign"), host="not-tried"),
    ),
    Incident(
        name="ipvs-node-ip",
        story="A Service has the node's address as its external IP: kube-proxy puts it on kube-ipvs0, rejecting other ports.",
        rules={
            Backend.LEGACY: Rules(legacy=_IPVS + MASQUERADE),
            Backend.NFT: Rules(nft=_IPVS + MASQUERADE),
        },
        # kube-proxy's is a dummy; a bridge without ports is as good, and every kernel has it.
        node=(
            "ip link add kube-ipvs0 type bridge",
            f"ip addr add {_NODE}/32 dev kube-ipvs0",
            "ipset create KUBE-IPVS-IPS hash:ip",
            f"ipset add KUBE-IPVS-IPS {_NODE}",
        ),
        expect=Expectation(
            code="ipvs-node-ip", decider=Decider(chain="KUBE-IPVS-FILTER", rule_number=1), errno="ECONNREFUSED", icmp="3/3"
        ),
    ),
    Incident(
        name="pod-firewall-reject",
        story="A rule inside the pod rejects its packets: the client sees exactly what CentOS' INPUT chain would send.",
        rules=_OPEN,
        pods=(_OWN_REJECT,),
        expect=Expectation(code="pod-firewall", verdict=Verdict.ACCEPT, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="pod-firewall-drop",
        story="A legacy rule inside the pod drops its packets before they leave.",
        rules=_OPEN,
        pods=(_OWN_DROP,),
        expect=_lost("pod-firewall"),
    ),
    Incident(
        name="pod-firewall-answer",
        story="The pod's own INPUT chain drops what comes from the kubelet's port: it never hears the answer.",
        rules=_OPEN,
        pods=(f"iptables-nft -A INPUT -s {_NODE} -p tcp --sport 10250 -j DROP",),
        expect=_lost("pod-firewall"),
    ),
    Incident(
        name="mesh-redirect",
        story="A service mesh redirects the pods' TCP to a sidecar that does not run: it looks as if the kubelet were down.",
        rules=_OPEN,
        pods=(_OWN_MESH,),
        expect=Expectation(code="pod-redirect", verdict=Verdict.ACCEPT, errno="ECONNREFUSED"),
    ),
    Incident(
        name="mtu-mismatch",
        story="The cables' ends on the node take smaller packets than the pods send and the bridge passes: TLS hangs.",
        rules=_OPEN,
        node=(
            *(f"ip link set {cable} mtu 400" for cable in ("veth3c0bf2a1", "vethd41e88f0")),
            "ip link set cni0 mtu 1500",
        ),
        expect=Expectation(state=State.DEGRADED, code="mtu-mismatch", verdict=Verdict.ACCEPT),
    ),
    Incident(
        name="cgroup-deny",
        story="systemd's IPAddressDeny= on the kubelet's unit: every rule accepts, and the kubelet's own socket drops pods.",
        rules=_OPEN,
        needs_root="the kernel loads BPF programs for the machine's own root only",
        denied_by_cgroup=True,
        expect=_lost("cgroup-filter"),
    ),
    Incident(
        name="tcx-drop",
        story="An eBPF program on the pods' bridge drops what they send to the node; iptables looks perfectly in order.",
        rules=_OPEN,
        needs_root="the kernel loads BPF programs for the machine's own root only",
        dropped_by_program="cni0",
        expect=_lost("interface-program"),
    ),
)
