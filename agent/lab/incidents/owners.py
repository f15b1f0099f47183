"""Incidents that somebody's firewall tool, network policy or leftover rule causes: whose rule it is decides what mends it."""

from agent.lab.firewalld import FIREWALLD
from agent.lab.incidents import texts
from agent.lab.incidents.incident import Decider, Expectation, Incident
from agent.lab.incidents.lines import LAST, NODES, NODES_KUBELET, PODS_KUBELET, PROHIBITED, STATEFUL
from agent.lab.incidents.routed import ROUTED_PODS, moved_pods, renamed_bridge, routed_node
from agent.lab.rules import MASQUERADE, POD_CIDR, Rules, filter_table, on_either
from agent.lab.topology import METRICS_SERVER, WEB
from agent.model.explanation import Verdict
from agent.model.report import State
from agent.model.ruleset import Backend

_CGNAT = "100.64.4.0/24"
_CGNAT_NODE, _CGNAT_PODS = moved_pods("100.64.4")
_MARK_PODS = f"*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s {POD_CIDR} -j MARK --set-xmark 0x8000/0x8000\nCOMMIT\n"
_RAW_DROP = f"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s {POD_CIDR} -p tcp -m tcp --dport 10250 -j DROP\nCOMMIT\n"
_HARDENED = """table inet host-fw {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state invalid drop
        iif lo accept
        ct state established,related accept
        ip protocol icmp accept
        tcp dport 22 accept
        ip saddr 172.31.16.0/20 accept
    }
}
"""
_STRICT = """table inet host-fw {
    chain input {
        type filter hook input priority 10; policy accept;
        iif lo accept
        ct state established,related accept
        ip saddr 172.31.16.0/20 accept
        ip protocol icmp accept
        counter drop
    }
}
"""

INCIDENTS: tuple[Incident, ...] = (
    Incident(
        name="ufw-default-deny",
        story="ufw denies what is not allowed, and the pod network is not: INPUT's policy DROP is ufw's own.",
        rules=on_either(texts.UFW_INPUT, policy="DROP", chains=texts.ufw(*texts.UFW_NODES)),
        expect=Expectation(code="ufw-block", verdict=Verdict.DROP, decider=Decider(), errno="ETIMEDOUT"),
    ),
    Incident(
        name="ufw-deny-rule",
        story="Somebody told ufw to reject the kubelet's port, and forgot the pods of this node.",
        rules=on_either(
            texts.UFW_INPUT,
            policy="DROP",
            chains=texts.ufw(
                "-s 172.31.16.0/20 -j ACCEPT", "-p tcp -m tcp --dport 10250 -j REJECT --reject-with tcp-reset", "-j ACCEPT"
            ),
        ),
        expect=Expectation(code="ufw-block", decider=Decider(chain="ufw-user-input", rule_number=2), errno="ECONNREFUSED"),
    ),
    Incident(
        name="firewalld-iptables",
        story="firewalld on CentOS 7 writes iptables' own INPUT chain: what is in no zone that accepts it meets its REJECT.",
        rules=on_either(texts.FIREWALLD_INPUT, chains=texts.firewalld("172.31.16.0/20")),
        expect=Expectation(code="firewalld-reject", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="firewalld-overrules-accept",
        story="The right ACCEPT stands in iptables' INPUT and counts every packet; firewalld's table rejects it afterwards.",
        rules={Backend.NFT: Rules(nft=filter_table(*STATEFUL, PODS_KUBELET, NODES, PROHIBITED) + MASQUERADE, native=FIREWALLD)},
        expect=Expectation(
            code="firewalld-reject",
            decider=Decider(table="firewalld", chain="filter_INPUT", rule_number=6),
            errno="EHOSTUNREACH",
            icmp="3/13",
        ),
    ),
    Incident(
        name="accept-overruled",
        story="iptables accepts pods on the kubelet's port, and a hardening script's nft table, which runs later, drops them.",
        rules={Backend.NFT: Rules(nft=filter_table(*STATEFUL, PODS_KUBELET, NODES, PROHIBITED) + MASQUERADE, native=_STRICT)},
        expect=Expectation(
            code="accept-overruled",
            verdict=Verdict.DROP,
            decider=Decider(table="host-fw", chain="input", rule_number=5),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="hardened-nft",
        story="A benchmark's nftables.conf drops by policy what it does not name, and it names no pod.",
        rules={Backend.NFT: Rules(nft=MASQUERADE, native=_HARDENED)},
        expect=Expectation(
            code="input-policy-drop",
            verdict=Verdict.DROP,
            decider=Decider(table="host-fw", chain="input"),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="kube-router-egress",
        story="A network policy of k3s isolates the pods' egress: the node is no pod, and no rule names its address.",
        rules=on_either(
            (*texts.KUBE_ROUTER_INPUT, "-m mark --mark 0x20000/0x20000 -j ACCEPT"),
            chains=texts.kube_router(
                (WEB.address, METRICS_SERVER.address), "-d 10.244.0.0/16 -j MARK --set-xmark 0x10000/0x10000"
            ),
        ),
        expect=Expectation(
            code="policy-engine-block",
            decider=Decider(chain="KUBE-POD-FW-LAB5TQXNZ2MSWQEY", rule_number=3),
            errno="ECONNREFUSED",
            icmp="3/3",
        ),
    ),
    Incident(
        name="kube-router-one-pod",
        story="The same policy for one pod alone: the others reach the kubelet, so the node's own rules are not to blame.",
        rules=on_either(
            (*texts.KUBE_ROUTER_INPUT, "-m mark --mark 0x20000/0x20000 -j ACCEPT"),
            chains=texts.kube_router((METRICS_SERVER.address,), "-d 10.244.0.0/16 -j MARK --set-xmark 0x10000/0x10000"),
        ),
        expect=Expectation(
            state=State.DEGRADED,
            code="pods-differ",
            verdict=Verdict.ACCEPT,
            neighbour=("ECONNREFUSED", "3/3"),
        ),
    ),
    Incident(
        name="calico-to-host-drop",
        story="Calico's DefaultEndpointToHostAction is Drop, as it is unless somebody asks for another.",
        rules=on_either(texts.CALICO_INPUT, chains=texts.calico(to_host="DROP")),
        node=routed_node("cali"),
        pods=ROUTED_PODS,
        expect=Expectation(
            code="endpoint-to-host-drop",
            verdict=Verdict.DROP,
            decider=Decider(chain="cali-wl-to-host", rule_number=2),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="calico-egress-policy",
        story="A network policy that Calico enforces denies the pods' egress to their node.",
        rules=on_either(
            texts.CALICO_INPUT,
            chains=texts.calico(to_host="RETURN", policy=('-m comment --comment "Drop if no policies passed packet" -j DROP',)),
        ),
        node=routed_node("cali"),
        pods=ROUTED_PODS,
        expect=Expectation(
            code="policy-engine-block",
            verdict=Verdict.DROP,
            decider=Decider(chain="cali-fw-lab", rule_number=4),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="calico-host-endpoint",
        story="A host endpoint for all interfaces was made without a policy: 10250 is not among the failsafe ports.",
        rules=on_either(texts.CALICO_INPUT, chains=texts.calico(to_host="RETURN", endpoint=(*texts.FAILSAFE, "-j DROP"))),
        expect=Expectation(
            code="host-endpoint-deny",
            verdict=Verdict.DROP,
            decider=Decider(chain="cali-fh-any", rule_number=6),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="weave-npc-egress",
        story="Weave's policy controller drops what pods send to their node: no policy marked it as allowed.",
        rules=on_either(("-i weave -j WEAVE-NPC-EGRESS",), chains=texts.weave()),
        node=renamed_bridge("weave"),
        expect=Expectation(
            code="policy-engine-block",
            verdict=Verdict.DROP,
            decider=Decider(chain="WEAVE-NPC-EGRESS", rule_number=4),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="tailscale-cgnat",
        story="The pod network is in 100.64.0.0/10, which Tailscale takes for its own and drops on every other interface.",
        rules=on_either(("-j ts-input",), chains=texts.tailscale(), pods=_CGNAT),
        node=_CGNAT_NODE,
        pods=_CGNAT_PODS,
        pod_cidrs=(_CGNAT,),
        expect=Expectation(
            code="tailscale-drop",
            verdict=Verdict.DROP,
            decider=Decider(chain="ts-input", rule_number=3),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="fail2ban-pod",
        story="A pod asked the kubelet without a token once too often, and fail2ban banned its address.",
        rules=on_either(
            ("-p tcp -m multiport --dports 22,10250 -j f2b-kubelet",),
            chains={"f2b-kubelet": (f"-s {WEB.address}/32 -j REJECT --reject-with icmp-port-unreachable", "-j RETURN")},
        ),
        expect=Expectation(
            state=State.DEGRADED,
            code="pod-banned",
            decider=Decider(chain="f2b-kubelet", rule_number=1),
            errno="ECONNREFUSED",
            icmp="3/3",
            neighbour=(None, None),
        ),
    ),
    Incident(
        name="kube-firewall-mark",
        story="A traffic shaper marks pods' packets with 0x8000, the bit by which Kubernetes marks packets for dropping.",
        rules=on_either(("-j KUBE-FIREWALL",), chains=texts.KUBE_FIREWALL, more=_MARK_PODS),
        expect=Expectation(
            code="kube-firewall-drop",
            verdict=Verdict.DROP,
            decider=Decider(chain="KUBE-FIREWALL", rule_number=1),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="oracle-cloud-image",
        story="The cloud's own image ends INPUT in a REJECT: opening the security list was half of it.",
        rules=on_either(texts.ORACLE, output=texts.ORACLE_OUTPUT, chains=texts.ORACLE_CHAINS),
        expect=Expectation(code="input-reject", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="openshift3-narrow",
        story="OpenShift 3 keeps its openings in a chain of their own, and the kubelet's was narrowed to the nodes there.",
        rules=on_either(
            (*STATEFUL, "-j OS_FIREWALL_ALLOW", PROHIBITED),
            chains={
                "OS_FIREWALL_ALLOW": (
                    "-p tcp -m state --state NEW -m tcp --dport 443 -j ACCEPT",
                    "-s 172.31.16.0/20 -p tcp -m state --state NEW -m tcp --dport 10250 -j ACCEPT",
                    "-p udp -m state --state NEW -m udp --dport 4789 -j ACCEPT",
                )
            },
        ),
        expect=Expectation(code="accept-too-narrow", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="docker-host-drop",
        story="A Docker host's INPUT was closed by hand: Docker's chains are all there, and none of them is to blame.",
        rules=on_either((*STATEFUL, NODES_KUBELET, "-i docker0 -j ACCEPT", "-j DROP"), chains=texts.DOCKER),
        expect=Expectation(code="accept-too-narrow", verdict=Verdict.DROP, decider=Decider(rule_number=7), errno="ETIMEDOUT"),
    ),
    Incident(
        name="raw-drop",
        story="A rule against scanners stands in raw PREROUTING, long before INPUT, where nobody looks for it.",
        rules=on_either((*STATEFUL, NODES, PODS_KUBELET, PROHIBITED), more=_RAW_DROP),
        expect=Expectation(
            code="accept-overruled",
            verdict=Verdict.DROP,
            decider=Decider(table="raw", chain="PREROUTING", rule_number=1),
            errno="ETIMEDOUT",
            peer="timeout",
        ),
    ),
)
