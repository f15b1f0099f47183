"""agent.analysis.diagnosis.plan: which connects are made."""

from agent.analysis.diagnosis.plan import plan_probes
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
