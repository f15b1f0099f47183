"""`!=` tests of fields side by side: what is sure of them in a listing, and what is not."""

import json
from dataclasses import replace

import pytest

from agent.analysis.path.explain import explain
from agent.analysis.readers.nft_neighbours import find_joined
from agent.analysis.readers.parse_nft import parse
from agent.model.explanation import Verdict
from tests.unit.analysis.path.rulesets import packet

CHAIN = {"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}


def differs(protocol: str, field: str, value: object) -> dict[str, object]:
    return {"match": {"op": "!=", "left": {"payload": {"protocol": protocol, "field": field}}, "right": value}}


def verdict(sport: int, dport: int, *items: object) -> Verdict:
    """What becomes of such a packet where a rule of these tests drops."""
    rule = {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [*items, {"drop": None}]}}
    text = json.dumps({"nftables": [{"table": {"family": "ip", "name": "t"}}, {"chain": CHAIN}, rule]})
    return explain(parse(text), replace(packet(), sport=sport, dport=dport)).verdict


PORTS = (differs("tcp", "sport", 1), differs("tcp", "dport", 2))


@pytest.mark.parametrize("order", [PORTS, PORTS[::-1], (PORTS[0], {"counter": None}, PORTS[1])])
@pytest.mark.parametrize(
    ("sport", "dport", "expected"),
    [(7, 8, Verdict.DROP), (1, 2, Verdict.ACCEPT), (1, 8, Verdict.UNDECIDED), (7, 2, Verdict.UNDECIDED)],
)
def test_only_where_both_say_the_same_is_it_known(order: tuple[object, ...], sport: int, dport: int, expected: Verdict) -> None:
    assert verdict(sport, dport, *order) is expected


@pytest.mark.parametrize(
    "items",
    [
        pytest.param((PORTS[0],), id="one alone"),
        pytest.param((differs("tcp", "sport", 1), differs("tcp", "checksum", 2)), id="not side by side"),
        pytest.param((differs("ip", "saddr", "10.0.0.1"), differs("ip", "daddr", "10.0.0.2")), id="addresses"),
        pytest.param((differs("tcp", "sport", {"set": [1]}), PORTS[1]), id="a set"),
        pytest.param((differs("tcp", "sport", {"range": [1, 5]}), PORTS[1]), id="a range"),
        pytest.param((PORTS[0], {"match": {**PORTS[1]["match"], "op": "=="}}), id="one that asks for equality"),
        pytest.param(({"match": {"op": "!=", "left": {"meta": {"key": "mark"}}, "right": 1}}, PORTS[0]), id="no payload"),
        pytest.param(({"match": {"op": "!=", "left": "x", "right": 1}}, {"match": 3}, "drop", PORTS[0]), id="what is no test"),
        pytest.param((differs("ip", "ttl", 1), differs("icmp", "type", 2)), id="other headers"),
    ],
)
def test_these_are_not_joined(items: tuple[object, ...]) -> None:
    assert find_joined(items) == ()


def test_three_in_a_row_are_one_group_and_others_another() -> None:
    items = (
        differs("tcp", "dport", 2),
        differs("ip", "protocol", 6),
        differs("icmp", "code", 1),
        differs("ip", "ttl", 3),
        differs("udp", "length", 9),
        differs("udp", "sport", 1),
    )
    assert set(find_joined(items)) == {frozenset({0, 4, 5}), frozenset({1, 3})}


def test_a_value_that_is_not_understood_stays_a_maybe() -> None:
    assert verdict(7, 8, differs("tcp", "sport", "what"), PORTS[1]) is Verdict.UNDECIDED
    assert verdict(7, 2, differs("tcp", "sport", "what"), PORTS[1]) is Verdict.UNDECIDED
