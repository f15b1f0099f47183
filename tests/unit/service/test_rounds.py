"""A watch's rounds: the same connects while they meet the same, found out anew otherwise and every few minutes."""

from dataclasses import replace

import pytest

from agent.model.probe import Outcome, ProbeResult
from agent.service.clock import SystemClock
from agent.service.host import BrokerGone
from agent.service.rounds import AGE, Rounds


class Node:
    """What `Rounds` asks: keeps how often everything was found out, and how often it was only connected."""

    def __init__(self, results: tuple[ProbeResult, ...]) -> None:
        self.results, self.found, self.connected, self.fails = results, 0, 0, False

    def __call__(self, requests):
        if self.fails:
            raise BrokerGone("gone")
        self.connected += bool(requests)
        self.found += not requests
        assert not requests or list(requests) == [result.request for result in self.results]
        return self.results

    def meets(self, outcome: Outcome) -> None:
        first, *others = self.results
        self.results = (replace(first, outcome=outcome), *others)


@pytest.fixture
def node(capture):
    return Node(capture.probes)


class Hours(SystemClock):
    """A clock that is told the time."""

    now_ = 1000.0

    def monotonic(self) -> float:
        return self.now_


def test_what_was_found_out_is_connected_until_it_is_too_old(node):
    clock = Hours()
    rounds = Rounds(node, clock)
    for later in (0.0, 30.0, AGE - 1, AGE, AGE + 30.0):
        clock.now_ = 1000.0 + later
        assert rounds.connect() == node.results
    assert (node.found, node.connected) == (2, 3)


def test_another_outcome_is_found_out_anew_in_the_same_round(node):
    rounds = Rounds(node, SystemClock())
    rounds.connect(), rounds.connect()
    node.meets(Outcome.OPEN)
    assert rounds.connect() == node.results
    assert (node.found, node.connected) == (2, 2)
    rounds.connect()
    assert (node.found, node.connected) == (2, 3)


@pytest.mark.parametrize("outcome", [Outcome.POD_GONE, Outcome.NOT_TRIED])
def test_what_was_not_tried_is_found_out_anew_each_time(node, outcome):
    node.meets(outcome)
    rounds = Rounds(node, SystemClock())
    rounds.connect(), rounds.connect()
    assert (node.found, node.connected) == (2, 0)


def test_a_node_where_nothing_is_to_be_connected_is_found_out_anew_each_time():
    node = Node(())
    rounds = Rounds(node, SystemClock())
    rounds.connect(), rounds.connect()
    assert (node.found, node.connected) == (2, 0)


def test_after_an_error_everything_is_found_out_anew(node):
    rounds = Rounds(node, SystemClock())
    rounds.connect()
    node.meets(Outcome.OPEN)
    node.fails = True
    with pytest.raises(BrokerGone):
        rounds.connect()
    node.fails = False
    rounds.connect()
    assert (node.found, node.connected) == (2, 1)
