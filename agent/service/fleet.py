"""Questions to all nodes at once: their answers from the cluster, and new looks, asked of a bounded number at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from agent.cluster.connection import ClusterError
from agent.model.reach import Reach
from agent.service.clock import Clock

# One look takes about a second, an agent notices a wish within a minute and a half.
PARALLEL, PATIENCE, POLL = 20, 120.0, 1.0


class Fleet(Protocol):
    """The objects. Every method raises `ClusterError`."""

    def list(self) -> Iterator[Reach]:
        """All of them."""
        ...

    def get(self, node: str) -> Reach | None:
        """One, None where there is none."""
        ...

    def request_run(self, node: str, at: str) -> None:
        """Asks a node's agent to look again."""
        ...


def run_all(  # noqa: PLR0913 - what the caller may want to bound
    fleet: Fleet,
    nodes: Sequence[str],
    clock: Clock,
    wait: Callable[[float], object],
    progress: Callable[[Reach | None, str, int, int], None],
    *,
    parallel: int = PARALLEL,
    patience: float = PATIENCE,
) -> tuple[dict[str, Reach], dict[str, str]]:
    """New answers by node, and why others have none. `progress` hears of each as it ends: answer, name, ended, of how many.

    At most `parallel` nodes have an open wish; each has `patience` seconds to answer it.
    """
    waiting, under_way = list(nodes), dict[str, tuple[str, float]]()
    answers, failures = dict[str, Reach](), dict[str, str]()

    def ended(node: str, answer: Reach | None, why: str = "") -> None:
        under_way.pop(node, None)
        if answer is not None:
            answers[node] = answer
        else:
            failures[node] = why
        progress(answer, node, len(answers) + len(failures), len(nodes))

    while waiting or under_way:
        while waiting and len(under_way) < parallel:
            node, at = waiting.pop(0), clock.now()
            try:
                fleet.request_run(node, at)
                under_way[node] = at, clock.monotonic() + patience
            except ClusterError as error:
                ended(node, None, str(error))
        if under_way:
            wait(POLL)
        for node, (at, deadline) in list(under_way.items()):
            try:
                found = fleet.get(node)
            except ClusterError as error:
                ended(node, None, str(error))
                continue
            if found is not None and found.honoured == at:
                ended(node, found)
            elif clock.monotonic() >= deadline:
                ended(node, None, f"its agent did not answer within {patience:.0f} s")
    return answers, failures


def names(reaches: Iterable[Reach]) -> tuple[str, ...]:
    """The nodes, in order."""
    return tuple(sorted(each.node for each in reaches))
