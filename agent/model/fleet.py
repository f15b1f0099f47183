"""Many nodes' answers side by side."""

from dataclasses import dataclass, field

from agent.model.reach import Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPod:
    """Where a node's agent runs. `phase` is the pod's, as the API has it."""

    node: str
    namespace: str
    name: str
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Nodes with equal rules on the way in. `states` counts their answers."""

    fingerprint: str
    nodes: tuple[str, ...]
    states: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """All nodes: how many are in which state, those in trouble, the groups by fingerprint, the largest first.

    `sentence` is the answer in one line. `silent` are nodes whose agent has not answered yet,
    `failures` those that were asked and gave no answer, with the sentence that says why. `total` counts neither.
    """

    total: int
    states: tuple[tuple[str, int], ...]
    trouble: tuple[Reach, ...]
    groups: tuple[Group, ...]
    silent: tuple[str, ...]
    sentence: str
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What pods of node `source` met at the kubelet of node `target`."""

    source: str
    target: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The nodes in order and what is known between them; a pair that nobody tried has no cell. `strangers` are targets that
    are no known node's address, `failures` nodes that were asked and gave no answer, with the reason.
    """

    nodes: tuple[str, ...]
    cells: tuple[Cell, ...]
    strangers: tuple[str, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
