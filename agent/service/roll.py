"""The roll call: every node's agent asked itself, a bounded number at a time, each within its time.

A node that does not answer is a line of the answer: half of a cluster may be what the incident is about.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol

from agent.cluster.connection import ClusterError
from agent.model.fleet import AgentPod
from agent.model.reach import Reach

# Connections to one API server, which holds another to a kubelet for each; its client keeps a hundred.
MOST = 64
NO_AGENT = "no agent runs there."


class Roll(Protocol):
    """Who can be asked. Every method raises `ClusterError`; `ask` is called from several threads at once."""

    def nodes(self) -> tuple[str, ...]:
        """All nodes."""
        ...

    def pods(self, node: str = "") -> dict[str, AgentPod]:
        """The agents by node."""
        ...

    def ask(self, pod: AgentPod, patience: float, *, fresh: bool = False) -> Reach:
        """One agent's answer."""
        ...


def call_all(  # noqa: PLR0913 - what the caller may want to bound
    roll: Roll,
    nodes: Sequence[str],
    progress: Callable[[Reach | None, str, int, int], None],
    *,
    fresh: bool,
    parallel: int,
    patience: float,
) -> tuple[dict[str, Reach], dict[str, str]]:
    """Answers by node, and why others have none; of all nodes of the cluster where none is named.

    `progress` hears of each as it ends: answer, name, ended, of how many. Raises `ClusterError` where nobody knows whom to ask.
    """
    wanted = tuple(dict.fromkeys(nodes)) or roll.nodes()
    pods = roll.pods()
    answers, failures = dict[str, Reach](), dict[str, str]()

    def ended(node: str, answer: Reach | None, why: str = "") -> None:
        if answer is not None:
            answers[node] = answer
        else:
            failures[node] = why
        progress(answer, node, len(answers) + len(failures), len(wanted))

    with ThreadPoolExecutor(min(parallel, MOST), thread_name_prefix="roll") as pool:
        asked = {pool.submit(roll.ask, pods[node], patience, fresh=fresh): node for node in wanted if node in pods}
        for node in wanted:
            if node not in pods:
                ended(node, None, NO_AGENT)
        for future in as_completed(asked):
            try:
                ended(asked[future], future.result())
            except ClusterError as error:
                ended(asked[future], None, str(error))
    return answers, failures
