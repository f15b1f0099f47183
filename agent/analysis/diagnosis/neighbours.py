"""Do the pod's neighbours fare as it does? A rule for one pod's address opens the kubelet until that pod gets another one.

By the model alone: no probe is sent from addresses that nobody has. So nothing is said while the rules leave any address of the
pod network undecided.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from agent.analysis.diagnosis.places import rule_name
from agent.analysis.diagnosis.scene import Scene
from agent.analysis.path.partition import Network, explain_sources
from agent.model.explanation import Part, RuleRef, Verdict
from agent.model.packet import Packet

_BLOCKS = (Verdict.DROP, Verdict.REJECT)
# Somebody waits for the diagnosis; rules for single pods make two pieces each.
_MAX_PIECES = 1024
# What opens more than a fifth of the network is a rule for a network, which outlives pods.
_CLOSED_FOR_ONE_OPEN = 4
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Loophole:
    """A few addresses of the pod network that are let in by rules of their own while all others are stopped."""

    network: Network
    opened: tuple[Part, ...]
    opened_by: tuple[RuleRef, ...]
    closed: int
    closed_by: RuleRef

    @property
    def message(self) -> str:
        """In one sentence, without naming the pod that was probed."""
        count = sum(part.addresses for part in self.opened)
        rules = _listed([rule_name(rule) for rule in self.opened_by])
        addresses = _listed([part.src.removesuffix("/32").removesuffix("/128") for part in self.opened])
        others = "the other " if count + self.closed == self.network.num_addresses else ""
        return (
            f"{rules[0].upper()}{rules[1:]} open{'s' if len(self.opened_by) == 1 else ''} the kubelet for {addresses} only; "
            f"{others}{self.closed} addresses of {self.network} are stopped by {rule_name(self.closed_by)}: "
            f"this fix dies with the pod{'s' if count > 1 else ''}."
        )


def find_loophole(scene: Scene) -> Loophole | None:
    """None where the network fares as one, where more than a few addresses are open, and where anything is undecided."""
    network = _network(scene)
    if network is None or scene.packet is None:
        return None
    parts = explain_sources(scene.ruleset, scene.packet, network, most=_MAX_PIECES).partition
    closed = [part for part in parts if part.verdict in _BLOCKS]
    opened = [part for part in parts if part.verdict is Verdict.ACCEPT and not _is_own(part, scene.packet)]
    rules = tuple(dict.fromkeys(part.decided_by for part in opened if part.decided_by is not None))
    blocker = _most(closed)
    few = sum(part.addresses for part in opened) * _CLOSED_FOR_ONE_OPEN <= sum(part.addresses for part in closed)
    undecided = any(part.verdict is Verdict.UNDECIDED for part in parts)
    if undecided or not rules or blocker is None or not few or any(rule.policy for rule in rules):
        return None
    return Loophole(network, tuple(opened), rules, sum(part.addresses for part in closed), blocker)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Another pod network of this node, every address of which is stopped while the probed pod gets through."""

    network: str
    closed_by: RuleRef

    @property
    def message(self) -> str:
        """In one sentence."""
        return (
            f"Pods of {self.network}, another pod network of this node, are stopped by {rule_name(self.closed_by)} "
            f"({self.closed_by.text}): the opening was made for one of the networks only."
        )


def find_left_out(scene: Scene) -> tuple[LeftOut, ...]:
    """The pod networks that no probe was made from and that the rules surely stop as a whole."""
    found = []
    for packet in scene.other_packets:
        network = next(each for text in scene.identity.pod_cidrs if packet.source in (each := ip_network(text, strict=False)))
        parts = explain_sources(scene.ruleset, packet, network, most=_MAX_PIECES).partition
        pods = [part for part in parts if not _is_own(part, packet)]
        blocker = _most(pods)
        if pods and blocker is not None and all(part.verdict in _BLOCKS for part in pods):
            found.append(LeftOut(str(network), blocker))
    return tuple(found)


def _network(scene: Scene) -> Network | None:
    """The pod network that the packet comes from."""
    source = scene.packet.source if scene.packet else None
    networks = (ip_network(text, strict=False) for text in scene.identity.pod_cidrs)
    return next((network for network in networks if source is not None and source in network), None)


def _is_own(part: Part, packet: Packet) -> bool:
    """Whether it is an address of the node itself, the bridge's for one: no pod has that."""
    address, _, _ = part.src.partition("/")
    return part.addresses == 1 and ip_address(address) in packet.local


def _most(parts: Iterable[Part]) -> RuleRef | None:
    """The rule that decides about most of their addresses."""
    counts: dict[RuleRef, int] = {}
    for rule, addresses in ((part.decided_by, part.addresses) for part in parts if part.decided_by is not None):
        counts[rule] = counts.get(rule, 0) + addresses
    return max(counts, key=lambda rule: counts[rule], default=None)


def _listed(words: list[str]) -> str:
    more = len(words) - _NAMED
    return " and ".join((*words[:_NAMED], *([f"{more} more"] if more > 0 else [])))
