"""What the node's kernel says of a packet's way beside the firewall's rules: routes, checks, programs, counters."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """One item that could not be read, and why. An item that is neither here nor in the evidence does not exist."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Counters at one moment, as the kernel prints them: `node` and `pod` are files of /proc/net by name, in each namespace.

    `drops` is what the listener on the kubelet's port threw away so far (ss -m shows it as `d`), None where it was not read.
    """

    node: dict[str, str] = field(default_factory=dict)
    pod: dict[str, str] = field(default_factory=dict)
    drops: int | None = None
    programs: dict[str, int] = field(default_factory=dict)  # interface: packets that its clsact qdisc threw away
    unread: tuple[Unread, ...] = ()


# The questions that the kernel's route lookup is asked, by name.
LEAVES_POD = "pod to node"  # in the pod's namespace
ENTERS_NODE = "pod enters node"  # on the node, with the interface that the packet comes in by: it checks the source, too
LEAVES_NODE = "node to pod"  # on the node, with the node's address as source: the way of the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The kernel's answer to one route lookup. `errno` is set where it refuses (rtnetlink(7), RTM_GETROUTE).

    `kind` is unicast, local, ...; `table` the routing table that decided; `interface` the way out (`lo` for local).
    """

    question: str
    source: str
    target: str
    incoming: str = ""
    errno: str | None = None
    kind: str = ""
    interface: str = ""
    gateway: str = ""
    table: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """A rule of `ip rule`: the selectors that it has as CIDR or name, empty for any, and the table that it leads to."""

    priority: int
    table: int
    source: str = ""
    target: str = ""
    incoming: str = ""
    mark: int | None = None
    action: str = "lookup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An entry of the neighbour table (ARP, ND); `place` is `pod` or `node`, `state` as `ip neigh` names it."""

    place: str
    address: str
    interface: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A BPF program on the packet's way. `hook` is `xdp`, `tc ingress`, `tcx ingress`, `cgroup ingress`, ...;
    `where` the interface or the cgroup's path; `place` is `pod` or `node`.
    """

    hook: str
    where: str
    place: str = "node"
    number: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The systemd unit that the kubelet runs in and its properties, as `systemctl show` prints them."""

    name: str
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvidence:
    """One reading, made after the pod's probe. `cable` is the node's end of the pod's cable, `entry` the interface at which
    IP sees its packets: the bridge that the cable is plugged into, else the cable. Empty where it could not be told.

    `sysctls` by name as below net/ipv4 (`conf/cni0/rp_filter`); `mtus` by `pod eth0` or `node cni0`; `services` by unit.
    """

    cable: str = ""
    entry: str = ""
    sysctls: dict[str, str] = field(default_factory=dict)
    mtus: dict[str, int] = field(default_factory=dict)
    lookups: tuple[Lookup, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    programs: tuple[Program, ...] = ()
    cgroup: str = ""
    unit: Unit | None = None
    services: dict[str, str] = field(default_factory=dict)
    unread: tuple[Unread, ...] = ()

    def lookup(self, question: str) -> Lookup | None:
        """The answer to that question, None where it was not asked."""
        return next((item for item in self.lookups if item.question == question), None)
