"""agent.service.roll: everybody is asked, few at a time, and who gives no answer is named."""

from threading import Barrier, BrokenBarrierError, Lock

import pytest

from agent.cluster.connection import ClusterError
from agent.model.fleet import AgentPod
from agent.model.reach import Reach
from agent.service.roll import MOST, NO_AGENT, call_all


class Roll:
    """A cluster in memory; `ask` meets the others at `together`, and counts how many are inside."""

    def __init__(self, nodes: int, together: int = 1) -> None:
        self.names = tuple(f"n{number:03}" for number in range(nodes))
        self.refusing: set[str] = set()
        self.fresh: set[bool] = set()
        self.inside = self.most = 0
        self._lock, self._barrier = Lock(), Barrier(together)

    def nodes(self) -> tuple[str, ...]:
        return self.names

    def pods(self, node: str = "") -> dict[str, AgentPod]:
        return {name: AgentPod(node=name, namespace="k", name=f"p-{name}", phase="Running") for name in self.names[1:]}

    def ask(self, pod: AgentPod, patience: float, *, fresh: bool = False) -> Reach:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.fresh.add(fresh)
        try:
            self._barrier.wait(10)
        except BrokenBarrierError as error:
            raise ClusterError("they were not asked together") from error
        with self._lock:
            self.inside -= 1
        if pod.node in self.refusing:
            raise ClusterError("no route to host")
        return Reach(node=pod.node, state="reachable")


class Heard(list[tuple[str, int, int]]):
    def __call__(self, answer: Reach | None, node: str, ended: int, total: int) -> None:
        self.append((node, ended, total))


def test_each_has_an_answer_or_a_reason() -> None:
    roll, heard = Roll(4), Heard()
    roll.refusing = {"n002"}
    answers, failures = call_all(roll, (), heard, fresh=False, parallel=2, patience=1.0)
    assert set(answers) == {"n001", "n003"}
    assert failures == {"n000": NO_AGENT, "n002": "no route to host"}
    assert sorted(heard)[0][0] == "n000"
    assert [(ended, total) for _, ended, total in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert roll.fresh == {False}


def test_those_that_are_named_are_asked_once_and_no_others() -> None:
    roll, heard = Roll(4), Heard()
    answers, failures = call_all(roll, ("n003", "n003", "elsewhere"), heard, fresh=True, parallel=2, patience=1.0)
    assert (set(answers), failures, roll.fresh) == ({"n003"}, {"elsewhere": NO_AGENT}, {True})
    assert len(heard) == 2


@pytest.mark.parametrize(("parallel", "most"), [(3, 3), (500, MOST)])
def test_so_many_are_asked_at_a_time_and_no_more(parallel: int, most: int) -> None:
    roll = Roll(2 * most + 1, together=most)
    answers, failures = call_all(roll, (), Heard(), fresh=False, parallel=parallel, patience=1.0)
    assert (len(answers), set(failures), roll.most) == (2 * most, {"n000"}, most)
