"""Incidents of IPv6 and of dual stack: the other family has rules of its own, in files of its own, and is forgotten."""

from agent.lab.incidents.incident import Decider, Expectation, Incident
from agent.lab.incidents.lines import LAST, NODES, PODS_KUBELET, PROHIBITED, STATEFUL
from agent.lab.rules import POD_CIDR, POD_CIDR6, on_either_version
from agent.model.explanation import Verdict
from agent.model.report import State

_NODES6 = "-s fd00:172:31::/64 -j ACCEPT"
_PODS_KUBELET6 = f"-s {POD_CIDR6} -p tcp -m tcp --dport 10250 -j ACCEPT"
_PROHIBITED6 = "-j REJECT --reject-with icmp6-adm-prohibited"
STATEFUL6 = (
    "-m state --state RELATED,ESTABLISHED -j ACCEPT",
    "-p ipv6-icmp -j ACCEPT",
    "-i lo -j ACCEPT",
    "-p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT",
)
_DUAL = (POD_CIDR, POD_CIDR6)
# A node that has IPv6 alone.
_NO_IPV4_NODE = ("ip -4 addr flush dev eth0", "ip -4 addr flush dev cni0")
_NO_IPV4_POD = ("ip -4 addr flush dev eth0",)

INCIDENTS: tuple[Incident, ...] = (
    Incident(
        name="ipv6-reject",
        story="A node with IPv6 alone: its ip6tables accept the nodes and end in REJECT icmp6-adm-prohibited.",
        rules=on_either_version((), (*STATEFUL6, _NODES6, _PROHIBITED6)),
        stack="6",
        pod_cidrs=(POD_CIDR6,),
        node=_NO_IPV4_NODE,
        pods=_NO_IPV4_POD,
        expect=Expectation(code="input-reject", decider=LAST, errno="EACCES", icmp="1/1"),
    ),
    Incident(
        name="ipv6-drop-policy",
        story="IPv4 was opened years ago; nobody wrote a rule for IPv6, and its policy is DROP.",
        rules=on_either_version((), (*STATEFUL6, _NODES6), policy="DROP"),
        stack="6",
        pod_cidrs=(POD_CIDR6,),
        node=_NO_IPV4_NODE,
        pods=_NO_IPV4_POD,
        expect=Expectation(code="input-policy-drop", verdict=Verdict.DROP, decider=Decider(), errno="ETIMEDOUT"),
    ),
    Incident(
        name="dual-stack-ipv6-blocked",
        story="The accept for pods was written for IPv4; over IPv6 the same node rejects them.",
        rules=on_either_version((*STATEFUL, NODES, PODS_KUBELET, PROHIBITED), (*STATEFUL6, _NODES6, _PROHIBITED6)),
        stack="46",
        pod_cidrs=_DUAL,
        expect=Expectation(state=State.DEGRADED, code="other-family-blocked", verdict=Verdict.ACCEPT),
    ),
    Incident(
        name="dual-stack-ipv4-blocked",
        story="The accept for pods was written for IPv6; over IPv4, which metrics-server uses, the same node rejects them.",
        rules=on_either_version((*STATEFUL, NODES, PROHIBITED), (*STATEFUL6, _NODES6, _PODS_KUBELET6, _PROHIBITED6)),
        stack="46",
        pod_cidrs=_DUAL,
        expect=Expectation(code="input-reject", decider=LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="dual-stack-healthy",
        story="Both IP versions are open to the pod network, each by its own rule.",
        rules=on_either_version(
            (*STATEFUL, NODES, PODS_KUBELET, PROHIBITED), (*STATEFUL6, _NODES6, _PODS_KUBELET6, _PROHIBITED6)
        ),
        stack="46",
        pod_cidrs=_DUAL,
        expect=Expectation(state=State.REACHABLE, verdict=Verdict.ACCEPT),
    ),
)
