"""The incidents that can be staged, as data: a story, the rules that cause it, and what must be found.

To add one, add an `Incident` below: nothing else has to know. What `expect` says is what a kernel does with these rules, and
is held against a plain connect as well as against kubereach.
"""

from dataclasses import dataclass, field

from agent.lab.errors import UnknownIncidentError
from agent.lab.firewalld import FIREWALLD
from agent.lab.rules import MASQUERADE, POD_CIDR, Rules, filter_table, on_either
from agent.model.explanation import Verdict
from agent.model.report import State
from agent.model.ruleset import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """The rule that decides, in the incident's backend; without a number it is the chain's policy."""

    table: str = "filter"
    chain: str = "INPUT"
    rule_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a right diagnosis says. `code` is the first finding's, empty for none; `errno` and `icmp` are the pod's probe's.

    `verdict` is the packet's walk through the firewall; `decider` is None where no rule is to blame. `reply` is the rule that
    stops the kubelet's answer. `neighbour` is (errno, icmp) of the other pod's connect, where that fares otherwise.
    """

    state: State = State.BLOCKED
    code: str = ""
    verdict: Verdict = Verdict.REJECT
    decider: Decider | None = None
    reply: Decider | None = None
    errno: str | None = None
    icmp: str | None = None
    neighbour: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One staged incident. `rules` holds one variant per backend that decides; `kubelet` is False where it is down."""

    name: str
    story: str
    rules: dict[Backend, Rules] = field(hash=False)
    expect: Expectation
    kubelet: bool = True

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The backends this incident can be staged on."""
        return tuple(self.rules)

    @property
    def default_backend(self) -> Backend:
        """The one that is taken when nobody asks: nft, as every current distribution, where it applies."""
        return Backend.NFT if Backend.NFT in self.rules else self.backends[0]


# What iptables-services ships on RHEL and CentOS, with the line an administrator adds for the nodes of the cluster.
_STATEFUL = (
    "-m state --state RELATED,ESTABLISHED -j ACCEPT",
    "-p icmp -j ACCEPT",
    "-i lo -j ACCEPT",
    "-p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT",
)
_NODES = "-s 172.31.16.0/20 -j ACCEPT"
_NODES_KUBELET = "-s 172.31.16.0/20 -p tcp -m tcp --dport 10250 -j ACCEPT"
_PODS_KUBELET = f"-s {POD_CIDR} -p tcp -m tcp --dport 10250 -j ACCEPT"
# The pod that is probed: the lowest address.
_ONE_POD_KUBELET = "-s 10.244.4.7/32 -p tcp -m tcp --dport 10250 -j ACCEPT"
_PROHIBITED = "-j REJECT --reject-with icmp-host-prohibited"
_LAST = Decider(rule_number=6)

INCIDENTS: tuple[Incident, ...] = (
    Incident(
        name="centos-reject",
        story="CentOS' stock INPUT chain accepts the nodes' addresses and ends in REJECT icmp-host-prohibited: "
        "metrics-server reads every node but its own.",
        rules=on_either((*_STATEFUL, _NODES, _PROHIBITED)),
        expect=Expectation(code="input-reject", decider=_LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="drop-policy",
        story="The INPUT policy is DROP and only the nodes' addresses are accepted: pods time out.",
        rules=on_either((*_STATEFUL, _NODES), policy="DROP"),
        expect=Expectation(code="input-policy-drop", verdict=Verdict.DROP, decider=Decider(), errno="ETIMEDOUT"),
    ),
    Incident(
        name="reject-bare",
        story="A REJECT without a reply of its own answers ICMP port-unreachable: it looks as if the kubelet were down.",
        rules=on_either((*_STATEFUL, _NODES, "-j REJECT")),
        expect=Expectation(code="input-reject", decider=_LAST, errno="ECONNREFUSED", icmp="3/3"),
    ),
    Incident(
        name="reject-tcp-reset",
        story="The firewall answers with a TCP reset: on the wire it is the same as a kubelet that does not listen.",
        rules=on_either((*_STATEFUL, _NODES, "-p tcp -j REJECT --reject-with tcp-reset")),
        expect=Expectation(code="input-reject", decider=_LAST, errno="ECONNREFUSED"),
    ),
    Incident(
        name="kubelet-down",
        story="The firewall lets pods in, but nobody listens on the kubelet's port.",
        rules=on_either((*_STATEFUL, _NODES, _PODS_KUBELET, _PROHIBITED)),
        kubelet=False,
        expect=Expectation(code="kubelet-not-listening", verdict=Verdict.ACCEPT, errno="ECONNREFUSED"),
    ),
    Incident(
        name="healthy",
        story="Nothing is wrong: the pod network is accepted on the kubelet's port.",
        rules=on_either((*_STATEFUL, _NODES, _PODS_KUBELET, _PROHIBITED)),
        expect=Expectation(state=State.REACHABLE, verdict=Verdict.ACCEPT),
    ),
    Incident(
        name="firewalld-nft",
        story="iptables accepts everything, and firewalld's own nft table rejects the pod network, which is in no zone.",
        rules={Backend.NFT: Rules(nft=filter_table(_PODS_KUBELET) + MASQUERADE, native=FIREWALLD)},
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
                legacy=filter_table(*_STATEFUL, _NODES, _PROHIBITED), nft=filter_table(_PODS_KUBELET) + MASQUERADE
            )
        },
        expect=Expectation(code="mixed-backends", decider=_LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
    Incident(
        name="allowed-node-subnet-only",
        story="Port 10250 is open for the nodes' subnet, as the documentation asks, but not for pods.",
        rules=on_either((*_STATEFUL, _NODES_KUBELET, _PROHIBITED)),
        expect=Expectation(code="accept-too-narrow", decider=_LAST, errno="EHOSTUNREACH", icmp="3/10"),
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
        rules=on_either((*_STATEFUL, _NODES, _ONE_POD_KUBELET, _PROHIBITED)),
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
        rules=on_either((*_STATEFUL, _NODES, _PROHIBITED, _PODS_KUBELET)),
        expect=Expectation(code="accept-after-block", decider=_LAST, errno="EHOSTUNREACH", icmp="3/10"),
    ),
)


def find_incident(name: str) -> Incident:
    """The incident of that name. Raises `UnknownIncidentError`."""
    for incident in INCIDENTS:
        if incident.name == name:
            return incident
    raise UnknownIncidentError(
        f"there is no incident {name!r}: choose one of {', '.join(incident.name for incident in INCIDENTS)}"
    )
