"""Five thousand publishers, on one clock, against one API server that counts and refuses above a rate.

The publisher is the real one; clock and dice are the simulation's, so that an hour takes seconds and repeats by its seed.
"""

import heapq
import random
from collections import Counter
from dataclasses import replace

import pytest

from agent.cluster.connection import ClusterError
from agent.model.reach import Reach
from agent.service.publishing import PERIOD, Publisher

NODES = 5_000
SEED = 20260131


class Clock:
    """One for all of them."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> str:
        return f"{self.seconds:.3f}"

    def monotonic(self) -> float:
        return self.seconds

    def new_id(self) -> str:
        return "id"


class Api:
    """Keeps the objects, counts by second, and answers 429 with Retry-After above `limit` requests in one."""

    def __init__(self, clock: Clock, limit: int = 0) -> None:
        self.clock, self.limit = clock, limit
        self.objects: dict[str, Reach] = {}
        self.requests, self.writes, self.refused = Counter[int](), Counter[int](), Counter[int]()
        self.asked_early = 0
        self.patience: dict[str, float] = {}

    def get(self, node: str) -> Reach | None:
        self._admit(node)
        return self.objects.get(node)

    def create(self, node: str) -> None:
        self._admit(node)
        self.objects[node] = Reach(node=node)

    def put_status(self, reach: Reach) -> None:
        self._admit(reach.node)
        self.writes[int(self.clock.seconds)] += 1
        self.objects[reach.node] = reach

    def _admit(self, node: str) -> None:
        second = int(self.clock.seconds)
        if self.clock.seconds < self.patience.get(node, 0.0):
            self.asked_early += 1
        if self.limit and self.requests[second] >= self.limit:
            self.refused[second] += 1
            self.patience[node] = self.clock.seconds + 1
            raise ClusterError("too many requests", 429, 1.0)
        self.requests[second] += 1


class Herd:
    """All agents, stepped when they are due."""

    def __init__(self, clock: Clock, api: Api, dice: random.Random) -> None:
        self.clock, self.api, self.told = clock, api, Counter[str]()
        self.answers = {f"n{number}": _fine(f"n{number}") for number in range(NODES)}
        self.due: list[tuple[float, str]] = []
        self.publishers: dict[str, Publisher] = {}
        for node in self.answers:
            self._start(node, dice)

    def _start(self, node: str, dice: random.Random) -> None:
        self.publishers[node] = Publisher(
            node,
            self.api,
            tell=lambda reach: self.told.update([reach.state]),
            look=lambda _: self.answers[node],
            clock=self.clock,
            chance=dice.random,
            failed=lambda _: None,
        )
        heapq.heappush(self.due, (self.clock.seconds + self.publishers[node].step(), node))

    def run(self, seconds: float) -> None:
        end = self.clock.seconds + seconds
        while self.due and self.due[0][0] <= end:
            at, node = heapq.heappop(self.due)
            self.clock.seconds = max(self.clock.seconds, at)
            heapq.heappush(self.due, (self.clock.seconds + max(0.001, self.publishers[node].step()), node))
        self.clock.seconds = end

    def notice(self) -> None:
        """As their threads do each second: everybody looks at the latest answer."""
        for publisher in self.publishers.values():
            publisher.step()


def _fine(node: str) -> Reach:
    return Reach(node=node, state="reachable", fingerprint="f", look_time="T", transition_time="T0")


@pytest.fixture
def dice() -> random.Random:
    print(f"seed {SEED}")
    return random.Random(SEED)


def test_in_calm_they_write_at_most_seventeen_times_a_second(dice: random.Random) -> None:
    clock = Clock()
    api = Api(clock)
    herd = Herd(clock, api, dice)
    herd.run(600)  # the first five minutes are the start
    before = sum(api.writes.values())
    herd.run(3600)
    steady = [api.writes[second] for second in range(600, 4200)]
    assert (sum(api.writes.values()) - before) / 3600 <= 17
    assert max(sum(steady[at : at + 60]) / 60 for at in range(0, 3540, 60)) <= 25


def test_a_restart_of_all_spreads_over_five_minutes(dice: random.Random) -> None:
    clock = Clock()
    api = Api(clock)
    api.objects = {f"n{number}": _fine(f"n{number}") for number in range(NODES)}
    Herd(clock, api, dice).run(PERIOD)
    assert sum(api.writes.values()) == pytest.approx(NODES, rel=0.01)
    tenths = [sum(api.writes[second] for second in range(at, at + 30)) for at in range(0, 300, 30)]
    assert max(tenths) < 1.25 * NODES / 10
    assert min(tenths) > 0.75 * NODES / 10


def test_a_server_that_refuses_gets_what_it_asked_for(dice: random.Random) -> None:
    clock = Clock()
    api = Api(clock, limit=100)
    api.objects = {f"n{number}": _fine(f"n{number}") for number in range(NODES)}
    herd = Herd(clock, api, dice)
    herd.run(600)
    assert sum(api.refused.values()) > 0
    assert api.asked_early == 0
    assert max(api.requests.values()) <= 100
    assert sum(1 for each in herd.publishers.values() if each.pace.known) == NODES


def test_news_of_one_node_is_written_within_the_second_it_is_noticed(dice: random.Random) -> None:
    clock = Clock()
    api = Api(clock)
    api.objects = {f"n{number}": _fine(f"n{number}") for number in range(NODES)}
    herd = Herd(clock, api, dice)
    herd.run(60)
    herd.answers["n7"] = replace(_fine("n7"), state="blocked", cause="input-reject", look_time="T1")
    herd.notice()
    assert api.objects["n7"].state == "blocked"
    assert herd.told == {"blocked": 1}
