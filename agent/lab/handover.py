"""What one process of the lab hands to the next one it starts. Apart, so that neither has to import the other."""

import os
from dataclasses import dataclass

from agent.model.ruleset import Backend

# Names the descriptor that a stand-in kubelet writes one byte to once connects succeed. A variable of the environment, because
# its command line holds a real kubelet's flags and nothing else.
READY_VARIABLE = "KUBEREACH_LAB_READY_FD"
# How a stand-in kubelet behaves (`agent.lab.behaviour.Behaviour` as JSON), what another stand-in is called, and its root.
BEHAVIOUR_VARIABLE = "KUBEREACH_LAB_BEHAVIOUR"
NAME_VARIABLE = "KUBEREACH_LAB_NAME"
ROOT_VARIABLE = "KUBEREACH_LAB_ROOT"


def report_ready() -> None:
    """Tells whoever started this process, and waits for it, that it is ready; nothing where nobody does."""
    descriptor = os.environ.pop(READY_VARIABLE, None)
    if descriptor is not None:
        with os.fdopen(int(descriptor), "wb") as ready:
            ready.write(b"\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do inside. `argv` runs in the node's network namespace and gets `keep`, inherited descriptors.

    `lifeline` is the reading end of a pipe whose other end the outer process holds and never writes to: its end is ours.
    """

    incident: str
    backend: Backend
    argv: tuple[str, ...]
    lifeline: int
    keep: tuple[int, ...] = ()
    cgroup: str = ""  # the name of the kubelet's own, where the incident has one
