"""The closed list of what the front may ask of the broker, with the arguments of each as types.

Both sides import it, so that neither can drift. What is not listed here cannot be asked.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from agent.model.capture import LegacyChain, PartReading, Reading
from agent.model.outline import Part
from agent.model.phantom import PhantomRequest
from agent.model.plan import Order
from agent.model.preflight import Check
from agent.model.trace import TraceRequest
from agent.model.twin import TwinRequest

# The kinds of refusal in a reply's `error`.
NAMESPACE_GONE = "namespace-gone"
REFUSED = "refused"
FAILED = "failed"
# Why a fix was refused: a guard said no; the rules changed since the plan; another program holds the lock; it could not be
# written down; the kernel cannot end it by itself; there is no such fix; iptables cannot do it here.
GUARD, CHANGED, BUSY, NO_DISK, NO_LEASE, NO_FIX, NO_TOOL = (
    *("guard", "changed", "lock-busy", "no-disk", "no-lease", "no-such-fix", "no-tool"),
)
REFUSALS = frozenset((GUARD, CHANGED, BUSY, NO_DISK, NO_LEASE, NO_FIX, NO_TOOL))

PROTOCOL = 1
# Parts of nftables that one request names: with names of usual length these are half of its 64 KiB.
MOST_PARTS = 400


@dataclass(frozen=True, slots=True)
class Nothing:
    """The arguments of an operation that takes none."""


@dataclass(frozen=True, slots=True)
class PodRouteArguments:
    """Where a packet would be sent."""

    address: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class SocketArguments:
    """In which namespace (an inode, 0 for the host's) a socket of which IP version (4 or 6): TCP, or UDP as `dgram`."""

    namespace: int
    version: int
    kind: str = "stream"


@dataclass(frozen=True, slots=True)
class PodFilesArguments:
    """Whose files: the pod's network namespace, by its inode. Which files is the broker's own list."""

    namespace: int


@dataclass(frozen=True, slots=True)
class CountersArguments:
    """Of which pod's namespace (an inode) beside the node's, and of the listeners on which port."""

    namespace: int
    port: int


@dataclass(frozen=True, slots=True)
class PodFirewallArguments:
    """Which pod's namespace (an inode)."""

    namespace: int


@dataclass(frozen=True, slots=True)
class EvidenceArguments:
    """Which pod's namespace (an inode) and address, the node's address, the kubelet's port and process where it is known."""

    namespace: int
    pod: IPv4Address | IPv6Address
    node: IPv4Address | IPv6Address
    port: int
    kubelet: int | None = None


@dataclass(frozen=True, slots=True)
class TwinArguments:
    """What to try in the twin. The rules are the broker's own reading: none ever come from the front."""

    request: TwinRequest


@dataclass(frozen=True, slots=True)
class PartsArguments:
    """Which chains and sets of nftables, at which generation."""

    generation: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class HoldArguments:
    """Which chains, sets and maps of a large nftables are to be held; with `whole` beside iptables' tables but nat."""

    parts: tuple[Part, ...]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Name:
    """What the broker holds, by name."""

    digest: str


@dataclass(frozen=True, slots=True)
class MaybeParts:
    """The parts, None where the rules are of another generation; `sets` has the ipsets where a rule asks for one.

    `legacy` tells that there are legacy tables beside them, or that nobody knows.
    """

    parts: tuple[PartReading, ...] | None
    sets: tuple[Reading, ...] = ()
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class GroundArguments:
    """Which chain of iptables' filter table; `version` is 4 or 6; `parts` as a large nftables is to be held."""

    backend: str
    version: int
    chain: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class ApplyArguments:
    """The order. The rule is the broker's own work: none ever comes from the front."""

    order: Order


@dataclass(frozen=True, slots=True)
class FixArguments:
    """One fix by its id, who speaks of it, and why."""

    id: str
    caller: str
    why: str


@dataclass(frozen=True, slots=True)
class ConfirmArguments:
    """One fix by its id, for how many seconds from now, and who asks."""

    id: str
    lease: int
    caller: str


@dataclass(frozen=True, slots=True)
class PhantomArguments:
    """What is known of the pods' network. Which CNI is asked is the broker's own knowledge."""

    request: PhantomRequest


@dataclass(frozen=True, slots=True)
class DeepArguments:
    """Which connect to trace. Where namespaces are is the broker's own knowledge."""

    request: TraceRequest


@dataclass(frozen=True, slots=True)
class Hello:
    """Who answers: the version of this protocol and the broker's process."""

    protocol: int
    pid: int


@dataclass(frozen=True, slots=True)
class MaybeLegacyChain:
    """A legacy chain where there is one."""

    chain: LegacyChain | None


@dataclass(frozen=True, slots=True)
class Checks:
    """The answers of a preflight."""

    checks: tuple[Check, ...]


ARGUMENTS: dict[str, Any] = {
    "hello": Nothing,
    "channel": Nothing,
    "node": Nothing,
    "processes": Nothing,
    "firewall": Nothing,
    "survey": Nothing,
    "parts": PartsArguments,
    "hold": HoldArguments,
    "legacy_chain": Nothing,
    "pod_route": PodRouteArguments,
    "socket": SocketArguments,
    "pod_files": PodFilesArguments,
    "counters": CountersArguments,
    "evidence": EvidenceArguments,
    "pod_firewall": PodFirewallArguments,
    "twin": TwinArguments,
    "deep": DeepArguments,
    "phantom": PhantomArguments,
    "end_phantom": Nothing,
    "preflight": Nothing,
    "ground": GroundArguments,
    "apply": ApplyArguments,
    "verified": FixArguments,
    "confirm": ConfirmArguments,
    "revert": FixArguments,
    "fixes": Nothing,
    "sweep": Nothing,
    "audit": Nothing,
}
