"""The stage is a plausible node: addresses that belong together, namespaces where kubereach looks for them."""

from ipaddress import ip_address, ip_interface, ip_network

from agent.lab.topology import METRICS_SERVER, NODE, PEER, PODS, WEB, within


def test_pods_live_in_their_nodes_network_and_behind_its_bridge():
    for pod in (METRICS_SERVER, WEB):
        assert ip_address(pod.address) in ip_network(NODE.pod_cidr)
    for node in (NODE, PEER):
        assert str(ip_interface(node.bridge).network) == node.pod_cidr


def test_only_pods_are_mounted_where_a_runtime_mounts_pods():
    assert all(pod.namespace.parent == PODS for pod in (METRICS_SERVER, WEB))
    assert all(node.namespace.parent != PODS for node in (NODE, PEER))


def test_names_of_interfaces_fit_the_kernel():
    assert all(len(pod.cable) < 16 for pod in (METRICS_SERVER, WEB))


def test_a_command_is_run_within_a_namespace_by_nsenter():
    assert within(NODE.namespace, "ip", "link") == ("nsenter", "--net=/run/lab/k8s-worker1", "--", "ip", "link")


def test_ipv6_addresses_belong_together_as_ipv4s_do():
    for pod in (METRICS_SERVER, WEB):
        assert ip_address(pod.address6) in ip_network(NODE.pod_cidr6)
    for node in (NODE, PEER):
        assert str(ip_interface(node.bridge6).network) == node.pod_cidr6
