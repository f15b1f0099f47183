"""What a suspect outside the node's firewall rules comes to: a proof, an alibi, or nothing where it cannot be told."""

from dataclasses import dataclass

from agent.analysis.diagnosis.catalog import Cause
from agent.analysis.diagnosis.places import is_counted, same_place
from agent.analysis.diagnosis.scene import Scene
from agent.model.evidence import LEAVES_NODE, LEAVES_POD
from agent.model.explanation import Verdict
from agent.model.probe import Outcome
from agent.model.report import Remedy
from agent.model.tri import Tri

# States of a neighbour that was asked and has not answered (so far, for good).
SILENT = ("INCOMPLETE", "FAILED")


@dataclass(frozen=True, slots=True)
class Proof:
    """The cause, the sentence for the reader, what the kernel said, and what would mend it."""

    cause: Cause
    message: str
    seen: tuple[str, ...]
    remedy: Remedy | None = None


@dataclass(frozen=True, slots=True)
class Alibi:
    """A suspect that this look rules out, and by what."""

    what: str
    because: str


Word = Proof | Alibi | None


def timed_out(scene: Scene) -> bool:
    """Whether the pod's connect ended without any word from anybody."""
    return scene.pod_probe is not None and scene.pod_probe.outcome is Outcome.TIMEOUT


def let_through(scene: Scene) -> bool:
    """Whether the rules of this node surely accept the packet and its answer."""
    explanation = scene.explanation
    if explanation is None or explanation.verdict is not Verdict.ACCEPT:
        return False
    return explanation.reply is None or explanation.reply.verdict is Verdict.ACCEPT


def arrived(scene: Scene) -> Tri:
    """Whether the packet came as far as the rule that decides on it: its counter rose, or it did not."""
    rule = scene.explanation.decided_by if scene.explanation else None
    if scene.moved is None or rule is None:
        return Tri.UNKNOWN
    if any(same_place(item.rule, rule) for item in scene.moved):
        return Tri.YES
    return Tri.NO if is_counted(scene.ruleset, rule) else Tri.UNKNOWN


def is_silent(scene: Scene, place: str) -> bool:
    """Whether the next hop from the pod (`pod`) or from the node to it (`node`) does not answer ARP."""
    lookup = scene.around.evidence.lookup(LEAVES_POD if place == "pod" else LEAVES_NODE)
    hop = (lookup.gateway or lookup.target) if lookup else ""
    return any((item.place, item.address) == (place, hop) and item.state in SILENT for item in scene.around.evidence.neighbours)


def rise(counted: dict[str, int] | None, name: str) -> int:
    """By how much a counter rose; nought where it did not or was not read."""
    return (counted or {}).get(name, 0)
