"""What the service asks of a node, as a protocol: the broker's client is one host, the fake that ships beside it another."""

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.host.errors import BrokerGone, FixRefused, HostError, NamespaceGone
from agent.host.operations import MaybeParts
from agent.model.capture import Firewall, LegacyChain, Node, NodeObject, PodRoute, Processes
from agent.model.evidence import Counters, NodeEvidence
from agent.model.fix import AuditCheck, Fix, Fixes
from agent.model.outline import Part
from agent.model.phantom import Phantom, PhantomEnd, PhantomRequest
from agent.model.plan import Ground, Order
from agent.model.preflight import Check
from agent.model.probe import ProbeRequest, ProbeResult
from agent.model.scrape import Asked, PodFiles, Question
from agent.model.settings import Settings
from agent.model.trace import DeepTrace, TraceRequest
from agent.model.twin import TwinRequest, TwinResult

__all__ = ["Asker", "BrokerGone", "FixRefused", "Host", "HostError", "NamespaceGone", "NodeReader", "Prober"]


class Host(Protocol):
    """A node that can be looked at. Calls may come from several threads at once.

    Every method raises `HostError` with a sentence when this one thing could not be had, and `BrokerGone` when nothing more
    will come, or not before another broker is there.
    """

    def node(self) -> Node:
        """Interfaces, routes, network namespaces, CNI files."""
        ...

    def processes(self) -> Processes:
        """Kubelet and friends, and who listens where."""
        ...

    def firewall(self) -> Firewall:
        """Every live backend, raw, with counters."""
        ...

    def survey(self) -> Firewall:
        """The same, but of a large nftables its outline alone."""
        ...

    def parts(self, generation: int, wanted: Sequence[Part]) -> MaybeParts:
        """Chains and sets of nftables, raw, with counters, if it still is at that generation."""
        ...

    def hold(self, parts: Sequence[Part], *, whole: bool = False) -> str:
        """Keeps these parts of a large nftables; the name by which the twin knows them. `whole`: as a fix rests on them."""
        ...

    def legacy_chain(self) -> LegacyChain | None:
        """python-iptables' reading of the legacy INPUT chain."""
        ...

    def pod_route(self, address: str) -> PodRoute:
        """The kernel's route to a pod."""
        ...

    def socket(self, namespace: int, version: int, kind: str = "stream") -> socket.socket:
        """An unconnected TCP (`stream`) or UDP (`dgram`) socket in that namespace (its inode, 0 for the host's).

        Raises `NamespaceGone`.
        """
        ...

    def pod_files(self, namespace: int) -> PodFiles:
        """A pod's resolv.conf, hosts and cluster CA; `problem`: not read."""
        ...

    def counters(self, namespace: int, port: int) -> Counters:
        """Counters of the node, of the pod in that namespace, and of the listeners on `port`."""
        ...

    def evidence(self, request: ProbeRequest, kubelet: int | None) -> NodeEvidence:
        """What lies on the way of a pod's probe beside the firewall's rules. `kubelet` is its process."""
        ...

    def pod_firewall(self, namespace: int) -> Firewall:
        """The rules of a pod's own namespace, raw. Raises `NamespaceGone`."""
        ...

    def twin(self, request: TwinRequest) -> TwinResult:
        """One packet through the rules of an earlier `firewall()`, in a namespace of its own; `problem`: not tried."""
        ...

    def phantom(self, request: PhantomRequest) -> Phantom:
        """A pod for the time of a look; `problem`: there is none. Whoever asks for it ends it."""
        ...

    def end_phantom(self) -> PhantomEnd:
        """Takes back the phantom pod, where there is one."""
        ...

    def deep(self, request: TraceRequest) -> DeepTrace:
        """One more connect from a pod, as the kernel traces it; `problem`: not made."""
        ...

    def preflight(self) -> tuple[Check, ...]:
        """What may be seen and done here."""
        ...

    def ground(self, backend: str, version: int, chain: str, parts: Sequence[Part] = ()) -> Ground:
        """What a plan rests on: the rules on a packet's way in, and their digest; of a large nftables, these parts."""
        ...

    def apply(self, order: Order) -> Fix:
        """One rule in, under the broker's own guards. Raises `FixRefused`, as all that follow."""
        ...

    def verified(self, fix: str, caller: str, why: str) -> Fix:
        """A real connect got through."""
        ...

    def confirm(self, fix: str, lease: int, caller: str) -> Fix:
        """It may last, in seconds from now."""
        ...

    def revert(self, fix: str, caller: str, why: str) -> Fix:
        """The rule out again."""
        ...

    def fixes(self) -> Fixes:
        """Those that are known."""
        ...

    def sweep(self) -> Fixes:
        """The same, when what has ended was ended."""
        ...

    def audit(self) -> AuditCheck:
        """Whether the audit log is whole."""
        ...

    def incarnation(self) -> int:
        """Which broker answers by now, counted from 1; 0: none was there yet. Asks nothing of it."""
        ...

    def lives(self) -> bool:
        """Whether that broker is there. Asks nothing of it."""
        ...

    def close(self) -> None:
        """Ends the connection; no call may follow."""
        ...


# Makes one connect on a socket of the host's; never raises for what the network does.
Prober = Callable[[ProbeRequest, socket.socket, Settings], ProbeResult]

# Asks one question of a name server on a UDP socket of the host's; never raises for what comes back.
Asker = Callable[[Question, socket.socket, Settings], Asked]

# Asks Kubernetes for a node by name; None when this is no cluster.
NodeReader = Callable[[str], NodeObject | None]
