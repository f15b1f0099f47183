"""Incidents that depend on more than one packet's addresses: limits, connection states, answers, a second pod network."""

from agent.lab.incidents.incident import Decider, Expectation, Incident
from agent.lab.incidents.lines import LAST, NODES, PODS_KUBELET, PROHIBITED, STATEFUL
from agent.lab.incidents.routed import ROUTED_PODS, routed_node, second_network
from agent.lab.rules import POD_CIDR, on_either
from agent.model.explanation import Verdict
from agent.model.report import State

_SECOND = "10.245.4.0/24"
_SECOND_KUBELET = f"-s {_SECOND} -p tcp -m tcp --dport 10250 -j ACCEPT"
_RATIONED = f"-s {POD_CIDR} -p tcp -m tcp --dport 10250 -m limit --limit 1/hour --limit-burst 2 -j ACCEPT"
_NEW_PODS = f"-s {POD_CIDR} -p tcp -m state --state NEW -m tcp --dport 10250 -j ACCEPT"
_NOTRACK = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 10250 -j CT --notrack\nCOMMIT\n"

INCIDENTS: tuple[Incident, ...] = (
    Incident(
        name="reject-icmp-silenced",
        story="INPUT rejects pods, and OUTPUT drops ICMP errors: what is written as a REJECT looks like a DROP.",
        rules=on_either((*STATEFUL, NODES, PROHIBITED), output=("-p icmp -m icmp --icmp-type 3 -j DROP",)),
        expect=Expectation(code="reject-silenced", decider=LAST, errno="ETIMEDOUT"),
    ),
    Incident(
        name="reject-reset-silenced",
        story="INPUT answers pods with a TCP reset, and OUTPUT drops resets, as a recipe against port scans has it.",
        rules=on_either(
            (*STATEFUL, NODES, "-p tcp -j REJECT --reject-with tcp-reset"),
            output=("-p tcp -m tcp --tcp-flags RST RST -j DROP",),
        ),
        node=routed_node("cali"),  # by a bridge's port a reset would leave without meeting OUTPUT, where br_netfilter is on
        pods=ROUTED_PODS,
        expect=Expectation(code="reject-silenced", decider=LAST, errno="ETIMEDOUT"),
    ),
    Incident(
        name="rate-limit",
        story="The accept for pods has a rate limit that was meant for people, and the scrapes have used it up.",
        rules=on_either((*STATEFUL, NODES, _RATIONED, PROHIBITED)),
        knocks=3,
        expect=Expectation(code="rate-limited", verdict=Verdict.UNDECIDED, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="connection-limit",
        story="A limit on open connections to the kubelet is set so low that every new one is above it.",
        rules=on_either(
            (
                *STATEFUL,
                NODES,
                "-p tcp -m tcp --dport 10250 -m connlimit --connlimit-above 0 -j REJECT --reject-with tcp-reset",
            )
        ),
        expect=Expectation(code="rate-limited", verdict=Verdict.UNDECIDED, errno="ECONNREFUSED"),
    ),
    Incident(
        name="notrack-new",
        story="The kubelet's port was taken from conntrack for speed, and the accept for pods asks for new connections.",
        rules=on_either((*STATEFUL, NODES, _NEW_PODS, PROHIBITED), more=_NOTRACK),
        expect=Expectation(code="notrack-defeats-accept", decider=Decider(rule_number=7), errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="notrack-invalid-answer",
        story="The kubelet's port was taken from conntrack on the way in only: answers are INVALID, and OUTPUT drops those.",
        rules=on_either(
            (*STATEFUL, NODES, PODS_KUBELET, PROHIBITED), output=("-m state --state INVALID -j DROP",), more=_NOTRACK
        ),
        expect=Expectation(
            code="reply-dropped",
            verdict=Verdict.ACCEPT,
            reply=Decider(chain="OUTPUT", rule_number=1),
            errno="ETIMEDOUT",
        ),
    ),
    Incident(
        name="other-network-allowed",
        story="The node has two pod networks, and the accept was written for the one that these pods are not in.",
        rules=on_either((*STATEFUL, NODES, _SECOND_KUBELET, PROHIBITED)),
        node=second_network("10.245.4"),
        pod_cidrs=(POD_CIDR, _SECOND),
        expect=Expectation(code="accept-too-narrow", decider=Decider(rule_number=7), errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="second-network-forgotten",
        story="The node got a second pod network, and the accept for the kubelet was written before that.",
        rules=on_either((*STATEFUL, NODES, PODS_KUBELET, PROHIBITED)),
        node=second_network("10.245.4"),
        pod_cidrs=(POD_CIDR, _SECOND),
        expect=Expectation(state=State.DEGRADED, code="pod-cidr-left-out", verdict=Verdict.ACCEPT),
    ),
)
