"""Incidents that rules of the node's own firewall cause."""

from agent.lab.firewalld import FIREWALLD
from agent.lab.incidents.incident import Decider, Expectation, Incident
from agent.lab.incidents.lines import LAST, NODES, NODES_KUBELET, ONE_POD_KUBELET, PODS_KUBELET, PROHIBITED, STATEFUL
from agent.lab.rules import MASQUERADE, POD_CIDR, Rules, filter_table, on_either
from agent.model.explanation import Verdict
from agent.model.report import State
from agent.model.ruleset import Backend

INCIDENTS: tuple[Incident, ...] = (
    Incident(
        name="centos-reject",
        story="CentOS' stock INPUT chain accepts the nodes' addresses and ends in REJECT icmp-host-prohibited: "
        "metrics-server reads every node but its own.",
        rules=on_either((*STATEFUL, NODES, PROHIBITED)),
        expect=Expectation(code="input-reject", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="drop-policy",
        story="The INPUT policy is DROP and only the nodes' addresses are accepted: pods time out.",
        rules=on_either((*STATEFUL, NODES), policy="DROP"),
        expect=Expectation(code="input-policy-drop", verdict=Verdict.DROP, decider=Decider(), errno="ETIMEDOUT"),
    ),
    Incident(
        name="reject-bare",
        story="A REJECT without a reply of its own answers ICMP port-unreachable: it looks as if the kubelet were down.",
        rules=on_either((*STATEFUL, NODES, "-j REJECT")),
        expect=Expectation(code="input-reject", decider=LAST, errno="ECONNREFUSED", icmp="3/3"),
    ),
    Incident(
        name="reject-tcp-reset",
        story="The firewall answers with a TCP reset: on the wire it is the same as a kubelet that does not listen.",
        rules=on_either((*STATEFUL, NODES, "-p tcp -j REJECT --reject-with tcp-reset")),
        expect=Expectation(code="input-reject", decider=LAST, errno="ECONNREFUSED"),
    ),
    Incident(
        name="kubelet-down",
        story="The firewall lets pods in, but nobody listens on the kubelet's port.",
        rules=on_either((*STATEFUL, NODES, PODS_KUBELET, PROHIBITED)),
        kubelet=False,
        expect=Expectation(code="kubelet-not-listening", verdict=Verdict.ACCEPT, errno="ECONNREFUSED", host="reset"),
    ),
    Incident(
        name="healthy",
        story="Nothing is wrong: the pod network is accepted on the kubelet's port.",
        rules=on_either((*STATEFUL, NODES, PODS_KUBELET, PROHIBITED)),
        expect=Expectation(state=State.REACHABLE, verdict=Verdict.ACCEPT, notes=("certificate-without-address",)),
    ),
    Incident(
        name="firewalld-nft",
        story="iptables accepts everything, and firewalld's own nft table rejects the pod network, which is in no zone.",
        rules={Backend.NFT: Rules(nft=filter_table(PODS_KUBELET) + MASQUERADE, native=FIREWALLD)},
        expect=Expectation(
            code="firewalld-reject",
            decider=Decider(table="firewalld", chain="filter_INPUT", rule_number=6),
            errno="EHOSTUNREACH",
            icmp="3/13",
        ),
    ),
    Incident(
        name="mixed-backends",
        story="iptables-legacy rejects pods while `iptables -L` (nft) shows a chain that accepts them.",
        rules={
            Backend.LEGACY: Rules(
                legacy=filter_table(*STATEFUL, NODES, PROHIBITED), nft=filter_table(PODS_KUBELET) + MASQUERADE
            )
        },
        expect=Expectation(code="mixed-backends", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="both-backends",
        story="The same rules were loaded by both iptables: each rejects pods, and no listing shows which of them is first.",
        rules={
            # Of chains at one priority the one that was made last is first, and on stage that is nft's.
            Backend.NFT: Rules(
                legacy=filter_table(*STATEFUL, NODES, PROHIBITED), nft=filter_table(*STATEFUL, NODES, PROHIBITED) + MASQUERADE
            )
        },
        expect=Expectation(code="input-reject", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="backends-differ",
        story="iptables-legacy drops what it does not accept, iptables-nft rejects it, and no listing shows which is first.",
        rules={
            Backend.NFT: Rules(
                legacy=filter_table(*STATEFUL, NODES, policy="DROP"),
                nft=filter_table(*STATEFUL, NODES, PROHIBITED) + MASQUERADE,
            )
        },
        expect=Expectation(code="input-reject", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="allowed-node-subnet-only",
        story="Port 10250 is open for the nodes' subnet, as the documentation asks, but not for pods.",
        rules=on_either((*STATEFUL, NODES_KUBELET, PROHIBITED)),
        expect=Expectation(code="accept-too-narrow", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="reply-drop-output",
        story="INPUT accepts everything and OUTPUT drops what goes to pods: the kubelet hears them, and they never hear it.",
        rules=on_either((), output=(f"-d {POD_CIDR} -j DROP",)),
        expect=Expectation(
            code="reply-dropped",
            verdict=Verdict.ACCEPT,
            reply=Decider(chain="OUTPUT", rule_number=1),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="allow-one-pod",
        story="The hand-made fix of the last incident: one pod's address is allowed, and the pod network is still rejected.",
        rules=on_either((*STATEFUL, NODES, ONE_POD_KUBELET, PROHIBITED)),
        expect=Expectation(
            state=State.DEGRADED,
            code="accept-dies-with-pod",
            verdict=Verdict.ACCEPT,
            neighbour=("EHOSTUNREACH", "3/10"),
        ),
    ),
    Incident(
        name="allow-after-reject",
        story="Somebody appended the right ACCEPT, behind the REJECT that ends the chain.",
        rules=on_either((*STATEFUL, NODES, PROHIBITED, PODS_KUBELET)),
        expect=Expectation(code="accept-after-block", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
)
