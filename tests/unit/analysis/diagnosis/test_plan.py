"""agent.analysis.diagnosis.plan: which connects are made."""

from dataclasses import replace
from functools import cache
from itertools import chain, pairwise

import pytest

from agent.analysis.diagnosis.plan import NEIGHBOURS, SPREAD, delay, pick_neighbours, plan_probes
from agent.analysis.diagnosis.targets import can_be_a_node
from agent.model.identity import Identity, Pod

POD = Pod(namespace=42, address="10.9.1.5")
FULL = Identity(node_name="n", node_ips=("2001:db8::1", "192.0.2.10"), pods=(POD,), peers=("192.0.2.11",), kubelet_port=10251)
CLUSTER = [f"10.{number // 250}.{number % 250}.1" for number in range(400)]


def test_the_vantage_points_side_by_side_the_pods_first() -> None:
    assert [(r.vantage, r.namespace, r.source, r.target, r.port, r.after) for r in plan_probes(FULL)] == [
        ("pod", 42, "10.9.1.5", "192.0.2.10", 10251, 0.0),
        ("host", 0, "192.0.2.10", "192.0.2.10", 10251, 0.0),
        ("peer", 42, "10.9.1.5", "192.0.2.11", 10251, 0.0),
        ("peer", 0, "192.0.2.10", "192.0.2.11", 10251, 0.0),
    ]


def test_up_to_three_pods_each_in_a_namespace_of_its_own_and_of_one_ip_version() -> None:
    pods = [
        POD,
        Pod(namespace=42, address="10.9.1.6"),
        Pod(namespace=43, address="fd00::5"),
        *(Pod(namespace=number, address=f"10.9.1.{number}") for number in range(44, 60)),
    ]
    found = plan_probes(replace(FULL, node_ips=("192.0.2.10",), pods=tuple(pods)))
    assert [request.source for request in found if request.vantage == "pod"] == ["10.9.1.5", "10.9.1.44", "10.9.1.45"]
    assert [request.vantage for request in found[:3]] == ["pod", "host", "peer"], "one of each before a second of any"


def test_without_a_pod_only_the_host_can_try() -> None:
    found = plan_probes(Identity(node_name="n", node_ips=("192.0.2.10",), peers=("192.0.2.11",)))
    assert [request.vantage for request in found] == ["host"]


def test_a_pod_is_never_sent_to_an_address_of_the_other_ip_version() -> None:
    found = plan_probes(Identity(node_name="n", node_ips=("2001:db8::1",), pods=(POD,), peers=("2001:db8::2",)))
    assert found == ()


def test_without_the_nodes_address_nothing_is_tried() -> None:
    assert plan_probes(Identity(node_name="n")) == ()


POD6 = Pod(namespace=42, address="2001:db8:9::5")


def test_a_pod_with_both_ip_versions_asks_over_both_and_its_first_one_first() -> None:
    found = plan_probes(Identity(node_name="n", node_ips=("192.0.2.10", "2001:db8::1"), pods=(POD, POD6)))
    assert [(r.vantage, r.source, r.target) for r in found] == [
        ("pod", "10.9.1.5", "192.0.2.10"),
        ("host", "192.0.2.10", "192.0.2.10"),
        ("pod", "2001:db8:9::5", "2001:db8::1"),
    ]


def test_a_second_ip_version_that_the_node_does_not_have_is_not_tried() -> None:
    found = plan_probes(Identity(node_name="n", node_ips=("192.0.2.10",), pods=(POD, POD6)))
    assert [r.source for r in found if r.vantage == "pod"] == ["10.9.1.5"]


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::",
        "ff02::1",
        "fe80::1",
        "fe80::1%eth0",
        "2001:db8::1%eth0",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "2002:a9fe:a9fe::1",
    ],
)
def test_nothing_is_sent_to_what_cannot_be_a_node(address: str) -> None:
    for pods in ((), (POD, POD6)):
        found = plan_probes(Identity(node_name="n", node_ips=(address,), pods=pods, peers=(address,)))
        assert found == ()
    assert not can_be_a_node(address)


@pytest.mark.parametrize(
    "text", ["0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518", "metadata.internal", "", "10.0.0.1/8"]
)
def test_what_only_a_resolver_would_understand_is_no_address(text: str) -> None:
    assert not can_be_a_node(text)


@pytest.mark.parametrize(
    "address", ["172.31.16.124", "10.0.0.1", "100.64.0.1", "203.0.113.9", "fd00::1", "2001:db8::1", "240.0.0.1"]
)
def test_what_nodes_have_can_be_asked(address: str) -> None:
    assert can_be_a_node(address)


def test_neighbours_are_looked_at_from_pod_and_host_spread_over_time() -> None:
    found = [request for request in plan_probes(replace(FULL, peers=tuple(CLUSTER))) if request.vantage == "peer"]
    assert len(found) == 2 * NEIGHBOURS
    by_source = {namespace: {request.target for request in found if request.namespace == namespace} for namespace in (0, 42)}
    assert by_source[0] == by_source[42]
    assert len(by_source[0]) == NEIGHBOURS
    assert all(0 <= request.after < SPREAD for request in found)
    assert len({request.after for request in found}) == NEIGHBOURS


@cache
def everybodys_neighbours() -> dict[str, tuple[str, ...]]:
    return {own: pick_neighbours(own, [peer for peer in CLUSTER if peer != own], NEIGHBOURS) for own in CLUSTER}


def test_every_node_picks_exactly_so_many_and_none_twice() -> None:
    for own, chosen in everybodys_neighbours().items():
        assert len(set(chosen)) == len(chosen) == NEIGHBOURS
        assert own not in chosen
    assert pick_neighbours("n", ["a", "b", "a"], NEIGHBOURS) == ("a", "b"), "fewer than that: all, in the order they were given"


def test_the_order_in_which_peers_are_heard_of_does_not_matter() -> None:
    assert pick_neighbours("n", CLUSTER, 10) == pick_neighbours("n", CLUSTER[::-1], 10)


def test_a_node_that_joins_or_leaves_moves_one_neighbour_at_most() -> None:
    for own in CLUSTER[:10]:
        sizes = [set(pick_neighbours(own, CLUSTER[:count], 10)) for count in range(60, 120)]
        assert all(len(after - before) <= 1 for before, after in pairwise(sizes))
        left = pick_neighbours(own, CLUSTER, 10)[3]
        before, after = (set(pick_neighbours(own, peers, 10)) for peers in (CLUSTER, [one for one in CLUSTER if one != left]))
        assert before - after == {left}
        stranger = next(peer for peer in CLUSTER if peer not in before)
        assert set(pick_neighbours(own, [one for one in CLUSTER if one != stranger], 10)) == before


def test_every_node_is_looked_at_by_about_as_many() -> None:
    seen = dict.fromkeys(CLUSTER, 0)
    for peer in chain.from_iterable(everybodys_neighbours().values()):
        seen[peer] += 1
    assert sum(seen.values()) == NEIGHBOURS * len(CLUSTER)
    assert min(seen.values()) > 0
    assert max(seen.values()) < 30


def test_nodes_knock_at_one_neighbour_at_times_of_their_own() -> None:
    times = sorted(delay(own, "10.0.0.1") for own in CLUSTER)
    assert len(set(times)) == len(CLUSTER)
    assert times[0] < SPREAD / 20
    assert times[-1] > SPREAD * 19 / 20
