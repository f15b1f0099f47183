"""agent.analysis.fleet.matrix: who reaches whom."""

import pytest

from agent.analysis.fleet.matrix import build_matrix
from agent.model.fleet import Cell
from agent.model.reach import Reach, ReachVantage


def test_own_kubelet_and_neighbours_by_their_addresses() -> None:
    one = Reach(
        node="w1",
        state="blocked",
        node_addresses=("172.31.16.124", "fd00::1"),
        vantages=(
            ReachVantage(vantage="pod", to="172.31.16.124:10250", outcome="host-prohibited"),
            ReachVantage(vantage="host", to="172.31.16.124:10250", outcome="open"),
            ReachVantage(vantage="peer", to="172.31.22.159:10250", outcome="open"),
            ReachVantage(vantage="peer", to="203.0.113.9:10250", outcome="timeout"),
            ReachVantage(vantage="peer", to="nonsense", outcome="timeout"),
        ),
    )
    two = Reach(
        node="w2",
        state="reachable",
        node_addresses=("172.31.22.159",),
        vantages=(ReachVantage(vantage="peer", to="[fd00::1]:10250", outcome="open"),),
    )
    found = build_matrix([two, one, Reach(node="silent")])
    assert found.nodes == ("w1", "w2")
    assert found.cells == (
        Cell(source="w1", target="w1", outcome="host-prohibited"),
        Cell(source="w1", target="w2", outcome="open"),
        Cell(source="w2", target="w1", outcome="open"),
    )
    assert found.strangers == ("", "203.0.113.9")


@pytest.mark.parametrize("outcomes", [("open", "timeout"), ("timeout", "open")], ids=["the second", "the first"])
def test_of_several_pods_the_one_that_is_stopped_is_shown(outcomes: tuple[str, ...]) -> None:
    vantages = tuple(ReachVantage(vantage="pod", to="192.0.2.1:10250", outcome=outcome) for outcome in outcomes)
    found = build_matrix([Reach(node="w1", state="degraded", node_addresses=("192.0.2.1",), vantages=vantages)])
    assert found.cells == (Cell(source="w1", target="w1", outcome="timeout"),)
