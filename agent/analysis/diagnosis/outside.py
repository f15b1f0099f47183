"""What stopped the packet where it was not the node's firewall rules: the suspects in the order of the packet's way.

A suspect is named only where the kernel itself says so, by a counter that rose during the probe alone, by its own route lookup
or its own tables. One that is ruled out says by what.
"""

from collections.abc import Callable, Iterator

from agent.analysis.diagnosis.scene import Scene
from agent.analysis.diagnosis.suspects import Alibi, Proof, Word
from agent.analysis.diagnosis.suspects_node import (
    foreign_address,
    interface_program,
    ipvs,
    reply_route,
    source_check,
    source_rule,
)
from agent.analysis.diagnosis.suspects_pod import neighbour, own_routes, own_rules
from agent.analysis.diagnosis.suspects_socket import cgroup_filter, checksum, conntrack, listen_overflow
from agent.model.probe import Outcome
from agent.model.report import Excluded

_SUSPECTS: tuple[Callable[[Scene], Word], ...] = (
    own_rules,
    own_routes,
    foreign_address,
    ipvs,
    conntrack,
    source_check,
    source_rule,
    checksum,
    interface_program,
    reply_route,
    neighbour,
    listen_overflow,
    cgroup_filter,
)


def find_proof(scene: Scene) -> Proof | None:
    """The first suspect that is proved to have stopped the pod's packet or its answer."""
    return next((word for suspect in _SUSPECTS if isinstance(word := suspect(scene), Proof)), None)


def rule_out(scene: Scene) -> Iterator[Excluded]:
    """The suspects that this look rules out, for a packet that was stopped."""
    if scene.pod_probe is not None and scene.pod_probe.outcome is not Outcome.OPEN:
        for suspect in _SUSPECTS:
            if isinstance(word := suspect(scene), Alibi):
                yield Excluded(what=word.what, because=word.because)
