"""agent.analysis.diagnosis.plan: which connects are made."""

import pytest

from agent.analysis.diagnosis.plan import plan_probes
from agent.analysis.diagnosis.targets import can_be_a_node
from agent.model.identity import Identity, Pod

POD = Pod(namespace=42, address="10.9.1.5")
FULL = Identity(node_name="n", node_ips=("2001:db8::1", "192.0.2.10"), pods=(POD,), peers=("192.0.2.11",), kubelet_port=10251)


def test_three_vantage_points_side_by_side_the_pods_first() -> None:
    assert [(r.vantage, r.namespace, r.source, r.target, r.port) for r in plan_probes(FULL)] == [
        ("pod", 42, "10.9.1.5", "192.0.2.10", 10251),
        ("host", 0, "192.0.2.10", "192.0.2.10", 10251),
        ("peer", 42, "10.9.1.5", "192.0.2.11", 10251),
    ]


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
