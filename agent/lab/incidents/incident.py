"""What an incident is: a story, the rules that cause it, and what must be found."""

from dataclasses import dataclass, field

from agent.lab.behaviour import Behaviour, StandIn
from agent.lab.names import Names
from agent.lab.rules import NODE_IP, POD_CIDR, Rules
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
    stops the kubelet's answer. `neighbour` is (errno, icmp) of the other pod's connect, where that fares otherwise. `host` and
    `peer` are the outcomes of the host's probe and of the pod's to the other node. `notes` are the codes of the findings that
    are information, None where nobody counts them.
    """

    state: State = State.BLOCKED
    code: str = ""
    verdict: Verdict = Verdict.REJECT
    decider: Decider | None = None
    reply: Decider | None = None
    errno: str | None = None
    icmp: str | None = None
    neighbour: tuple[str | None, str | None] | None = None
    host: str = "open"
    peer: str = "open"
    notes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One staged incident. `rules` holds one variant per backend that decides; `kubelet` is False where it is down.

    What rules alone do not make is set by shell lines: `node` run on the node and `pods` in each pod, after the wires are
    laid and before the firewall is loaded; `flags` are the node's kubelet's own, `behaviour` is how it answers. `knocks` is how
    often the first pod connects before anybody looks. `etc` are files below the node's /etc. `pod_cidrs` is what the CNI was
    told; with `stack` "46" nodes and pods have IPv6 addresses too, with "6" those are the ones that Kubernetes knows. What none
    of these can make: `denied_by_cgroup` puts the kubelet in a cgroup whose BPF filter drops pods, `dropped_by_program` names
    an interface whose tcx program drops what is for the node. `needs_root` says why an incident needs the machine's own root.

    `metrics_server` are the flags of the metrics-server in its pod, None where its process is not on stage; `hosts` is added to
    its pod's hosts file. `names` is what the cluster's DNS says, None where nobody answers there. `stand_ins` run on the node.
    """

    name: str
    story: str
    rules: dict[Backend, Rules] = field(hash=False)
    expect: Expectation
    kubelet: bool = True
    node: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    knocks: int = 0
    etc: tuple[tuple[str, str], ...] = ()
    pod_cidrs: tuple[str, ...] = (POD_CIDR,)
    stack: str = "4"
    needs_root: str = ""
    denied_by_cgroup: bool = False
    dropped_by_program: str = ""
    metrics_server: tuple[str, ...] | None = None
    hosts: str = ""
    names: Names | None = None
    stand_ins: tuple[StandIn, ...] = ()

    @property
    def address(self) -> str:
        """The node's address as pods are told it."""
        given = [flag.removeprefix("--node-ip=") for flag in self.flags if flag.startswith("--node-ip=")]
        return given[0] if given else NODE_IP

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The backends this incident can be staged on."""
        return tuple(self.rules)

    @property
    def default_backend(self) -> Backend:
        """The one that is taken when nobody asks: nft, as every current distribution, where it applies."""
        return Backend.NFT if Backend.NFT in self.rules else self.backends[0]
