"""Healthy nodes in the shapes that CNIs and proxies give them: nothing is wrong, and nothing may be found."""

from agent.lab.firewalld import FIREWALLD
from agent.lab.incidents import texts
from agent.lab.incidents.incident import Expectation, Incident
from agent.lab.incidents.lines import NODES, PODS_KUBELET, PROHIBITED, STATEFUL
from agent.lab.incidents.routed import ROUTED_PODS, renamed_bridge, routed_node
from agent.lab.rules import MASQUERADE, POD_CIDR, Rules, on_either
from agent.lab.topology import WEB
from agent.model.explanation import Verdict
from agent.model.report import State
from agent.model.ruleset import Backend

_FINE = Expectation(state=State.REACHABLE, verdict=Verdict.ACCEPT)
# kube-proxy's set of addresses that its IPVS mode has bound to kube-ipvs0, and its own ports among them.
_IPVS_SETS = """create KUBE-IPVS-IPS hash:ip family inet hashsize 1024 maxelem 65536
add KUBE-IPVS-IPS 10.96.0.1
add KUBE-IPVS-IPS 10.96.0.10
create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536
add KUBE-CLUSTER-IP 10.96.0.1,tcp:443
add KUBE-CLUSTER-IP 10.96.0.10,udp:53
"""
_IPVS_CHAINS = {
    "KUBE-IPVS-FILTER": (
        "-m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN",
        "-m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT --reject-with icmp-port-unreachable",
    ),
    "KUBE-NODE-PORT": (),
    **texts.KUBE_FIREWALL,
}
_IPVS_NODE = (
    # A dummy, where this kernel has such: for rules and addresses any interface without a way out will do.
    "ip link add kube-ipvs0 type dummy 2>&- || ip link add kube-ipvs0 type veth peer name ipvs-unused",
    "ip addr add 10.96.0.1/32 dev kube-ipvs0",
    "ip addr add 10.96.0.10/32 dev kube-ipvs0",
)
_KUBE_PROXY = """table ip kube-proxy {
    set cluster-ips {
        type ipv4_addr
        elements = { 10.96.0.1, 10.96.0.10 }
    }
    map no-endpoint-services {
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = { 10.96.0.10 . tcp . 9153 : goto reject-chain }
    }
    map firewall-ips {
        type ipv4_addr . inet_proto . inet_service : verdict
    }
    chain filter-prerouting {
        type filter hook prerouting priority -110; policy accept;
        ct state new jump firewall-check
    }
    chain filter-input {
        type filter hook input priority -110; policy accept;
        ct state new jump nodeport-check
        ct state new jump service-check
    }
    chain filter-output {
        type filter hook output priority -110; policy accept;
        ct state new jump service-check
        ct state new jump firewall-check
    }
    chain firewall-check {
        ip daddr . meta l4proto . th dport vmap @firewall-ips
    }
    chain nodeport-check {
    }
    chain service-check {
        ip daddr . meta l4proto . th dport vmap @no-endpoint-services
        ip daddr @cluster-ips jump cluster-ips-check
    }
    chain cluster-ips-check {
        ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
        ip daddr { 10.96.0.0/12 } drop comment "Drop traffic to unallocated ClusterIPs"
    }
    chain reject-chain {
        reject
    }
}
"""
_TRUSTING = FIREWALLD.replace(
    "        ip saddr 172.31.16.0/20 goto filter_IN_trusted\n",
    f"        ip saddr 172.31.16.0/20 goto filter_IN_trusted\n        ip saddr {POD_CIDR} goto filter_IN_trusted\n",
)

INCIDENTS: tuple[Incident, ...] = (
    Incident(
        name="healthy-calico",
        story="Nothing is wrong: Calico routes to each pod and accepts what pods send to their node.",
        rules=on_either(texts.CALICO_INPUT, chains=texts.calico(to_host="ACCEPT")),
        node=routed_node("cali"),
        pods=ROUTED_PODS,
        expect=_FINE,
    ),
    Incident(
        name="healthy-cilium",
        story="Nothing is wrong: pods hang on lxc interfaces, and Cilium's INPUT chain lets their packets pass.",
        rules=on_either(
            ('-m comment --comment "cilium-feeder: CILIUM_INPUT" -j CILIUM_INPUT', "-j KUBE-FIREWALL"),
            chains={
                "CILIUM_INPUT": (
                    '-m mark --mark 0x200/0xf00 -m comment --comment "cilium: ACCEPT for proxy traffic" -j ACCEPT',
                ),
                **texts.KUBE_FIREWALL,
            },
        ),
        node=routed_node("lxc"),
        pods=ROUTED_PODS,
        expect=_FINE,
    ),
    Incident(
        name="healthy-k3s",
        story="Nothing is wrong: k3s' network policies let the pod's packets to its node pass.",
        rules=on_either(
            (*texts.KUBE_ROUTER_INPUT, "-j KUBE-FIREWALL", "-m mark --mark 0x20000/0x20000 -j ACCEPT"),
            chains={
                **texts.kube_router((WEB.address,), "-j MARK --set-xmark 0x10000/0x10000"),
                **texts.KUBE_FIREWALL,
            },
        ),
        expect=_FINE,
    ),
    Incident(
        name="healthy-flannel",
        story="Nothing is wrong: a kubeadm node with flannel, kube-proxy's empty portals and Docker's chains.",
        rules=on_either(
            (
                "-m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL",
                "-j KUBE-NODEPORTS",
                "-m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES",
                "-j KUBE-FIREWALL",
            ),
            chains={
                "KUBE-PROXY-FIREWALL": (),
                "KUBE-NODEPORTS": (),
                "KUBE-EXTERNAL-SERVICES": (),
                **texts.KUBE_FIREWALL,
                **texts.DOCKER,
            },
        ),
        expect=_FINE,
    ),
    Incident(
        name="healthy-ipvs",
        story="Nothing is wrong: kube-proxy in IPVS mode rejects only what is sent to a service's address on no port of its.",
        rules=on_either(
            ("-j KUBE-IPVS-FILTER", "-j KUBE-NODE-PORT", "-j KUBE-FIREWALL"), chains=_IPVS_CHAINS, ipset=_IPVS_SETS
        ),
        node=_IPVS_NODE,
        expect=_FINE,
    ),
    Incident(
        name="healthy-kube-proxy-nft",
        story="Nothing is wrong: kube-proxy keeps its services in an nft table with verdict maps.",
        rules={Backend.NFT: Rules(nft=MASQUERADE, native=_KUBE_PROXY)},
        expect=_FINE,
    ),
    Incident(
        name="healthy-weave",
        story="Nothing is wrong: pods hang on Weave's bridge, and its policy controller marks what they send as allowed.",
        rules=on_either(("-i weave -j WEAVE-NPC-EGRESS",), chains=texts.weave("-j MARK --set-xmark 0x40000/0x40000")),
        node=renamed_bridge("weave"),
        expect=_FINE,
    ),
    Incident(
        name="healthy-firewalld",
        story="Nothing is wrong: the pod network is in firewalld's trusted zone.",
        rules={Backend.NFT: Rules(nft=MASQUERADE, native=_TRUSTING)},
        expect=_FINE,
    ),
    Incident(
        name="healthy-ufw",
        story="Nothing is wrong: ufw allows the pod network on the kubelet's port.",
        rules=on_either(texts.UFW_INPUT, policy="DROP", chains=texts.ufw(*texts.UFW_NODES, PODS_KUBELET)),
        etc=(("iptables/rules.v4", f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {NODES}\n-A INPUT {PROHIBITED}\nCOMMIT\n"),),
        expect=_FINE,
    ),
    Incident(
        name="healthy-no-firewall",
        story="Nothing is wrong: there is no rule at all but the masquerade of pods.",
        rules=on_either(()),
        expect=_FINE,
    ),
    Incident(
        name="healthy-strict",
        story="Nothing is wrong: INPUT drops by policy, and pods are accepted on the kubelet's port.",
        rules=on_either((*STATEFUL, NODES, PODS_KUBELET), policy="DROP"),
        expect=_FINE,
    ),
)
