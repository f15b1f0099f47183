"""agent.analysis.diagnosis.identify: who is who, and where each answer was read."""

import json
from dataclasses import replace

import pytest

from agent.analysis.diagnosis.identify import flag, identify
from agent.model.capture import (
    Interface,
    Listener,
    Namespace,
    Node,
    NodeObject,
    Process,
    Processes,
    Route,
    TextFile,
)
from agent.model.settings import Settings

ETH0 = Interface(index=2, name="eth0", addresses=("192.0.2.10/24", "fe80::1/64"))
CNI0 = Interface(index=3, name="cni0", kind="bridge", addresses=("10.9.1.1/24",))
DEFAULT = Route(destination="0.0.0.0/0", interface="eth0", gateway="192.0.2.1")
TO_PEER = Route(destination="10.9.2.0/24", interface="eth0", gateway="192.0.2.11")
NOBODY = Processes()
KUBELET = Process(pid=7, name="kubelet", argv=("kubelet", "--node-ip=192.0.2.10", "--pod-cidr", "10.9.1.0/24"))


def pod(inode: int, *addresses: str) -> Namespace:
    return Namespace(
        inode=inode, path=f"/run/netns/{inode}", interfaces=(Interface(index=2, name="eth0", addresses=addresses),)
    )


def node(**parts: object) -> Node:
    return Node(**({"hostname": "n1", "interfaces": (ETH0, CNI0), "routes": (DEFAULT, TO_PEER)} | parts))  # type: ignore[arg-type]


def test_outside_any_cluster_the_interfaces_tell() -> None:
    found = identify(node(), NOBODY, None, Settings())
    assert (found.node_name, found.node_ips, found.pod_cidrs) == ("n1", ("192.0.2.10",), ("10.9.1.0/24",))
    assert found.peers == ("192.0.2.11",)
    assert {(fact.name, fact.source) for fact in found.facts} >= {
        ("node IP", "address of eth0, which has the default route"),
        ("pod CIDR", "address of bridge cni0"),
        ("peer", "route to 10.9.2.0/24"),
    }


@pytest.mark.parametrize(
    ("settings", "node_object", "processes", "cni", "ips", "cidrs"),
    [
        pytest.param(
            Settings(node_ips=("192.0.2.77",), pod_cidrs=("10.7.0.0/24",)),
            NodeObject(addresses=(("InternalIP", "192.0.2.10"),), pod_cidrs=("10.9.1.0/24",)),
            Processes(processes=(KUBELET,)),
            "",
            ("192.0.2.77",),
            ("10.7.0.0/24",),
            id="settings first",
        ),
        pytest.param(
            Settings(),
            NodeObject(addresses=(("Hostname", "n1"), ("InternalIP", "192.0.2.20")), pod_cidrs=("10.8.0.0/24",)),
            Processes(processes=(KUBELET,)),
            "",
            ("192.0.2.20",),
            ("10.8.0.0/24",),
            id="then the Node object",
        ),
        pytest.param(
            Settings(), None, Processes(processes=(KUBELET,)), "", ("192.0.2.10",), ("10.9.1.0/24",), id="then kubelet's flags"
        ),
        pytest.param(
            Settings(),
            None,
            NOBODY,
            json.dumps({"plugins": [{"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.6.0.0/24"}]]}}]}),
            ("192.0.2.10",),
            ("10.6.0.0/24",),
            id="then the CNI configuration",
        ),
    ],
)
def test_sources_are_asked_in_order_of_authority(settings, node_object, processes, cni, ips, cidrs) -> None:
    files = (TextFile(path="/etc/cni/net.d/10.conflist", text=cni),)
    found = identify(node(cni_files=files), processes, node_object, settings)
    assert (found.node_ips, found.pod_cidrs) == (ips, cidrs)


def test_a_second_source_that_differs_is_a_conflict_and_not_silence() -> None:
    found = identify(node(), NOBODY, NodeObject(pod_cidrs=("10.5.0.0/24",)), Settings())
    assert found.conflicts == ("pod CIDR: Node object says 10.5.0.0/24, address of bridge cni0 says 10.9.1.0/24",)


def test_a_node_ip_on_no_interface_is_a_conflict() -> None:
    found = identify(node(), NOBODY, None, Settings(node_ips=("192.0.2.99",)))
    assert "node IP 192.0.2.99 is on no interface of this node" in found.conflicts


def test_pods_are_the_namespaces_with_an_address_in_the_pod_cidr_in_a_stable_order() -> None:
    spaces = (pod(3, "10.9.1.8/24"), pod(4, "10.9.1.5/24", "fe80::2/64"), pod(5, "172.17.0.2/16"), pod(6))
    found = identify(node(namespaces=spaces), NOBODY, None, Settings())
    assert [(item.namespace, item.address, item.interface) for item in found.pods] == [
        (4, "10.9.1.5", "eth0"),
        (3, "10.9.1.8", "eth0"),
    ]


def test_the_listener_on_the_nodes_address_counts_before_another_on_the_same_port() -> None:
    listeners = (Listener(address="127.0.0.1", port=10250), Listener(address="192.0.2.10", port=10250, process="kubelet"))
    found = identify(node(), Processes(listeners=listeners), None, Settings())
    assert found.listener == listeners[1]
    assert identify(node(), Processes(listeners=listeners[:1]), None, Settings()).listener == listeners[0]
    assert identify(node(), NOBODY, None, Settings()).listener is None


def test_the_kubelets_port_is_the_one_it_was_given() -> None:
    busy = Process(pid=1, name="kubelet", argv=("kubelet", "--port=10999"))
    assert identify(node(), Processes(processes=(busy,)), None, Settings()).kubelet_port == 10999
    assert identify(node(), Processes(processes=(busy,)), None, Settings(kubelet_port=1234)).kubelet_port == 1234
    silly = Process(pid=1, name="kubelet", argv=("kubelet", "--port=99999"))
    assert identify(node(), Processes(processes=(silly,)), NodeObject(kubelet_port=10251), Settings()).kubelet_port == 10251


def test_what_is_missing_is_said_with_the_flag_that_gives_it() -> None:
    found = identify(Node(hostname="n1"), NOBODY, None, Settings())
    assert found.problems == (
        "the node's IP could not be found: give it with --node-ip",
        "the node's pod CIDR could not be found: give it with --pod-cidr",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"plugins": 3}',
        '{"plugins": [3]}',
        '{"ipam": []}',
        '{"ipam": {"ranges": 3, "subnet": 4}}',
        '{"ipam": {"ranges": [3, [4]], "subnet": "x"}}',
    ],
)
def test_a_strange_cni_file_gives_nothing_and_breaks_nothing(text: str) -> None:
    files = (TextFile(path="x", text=text),)
    assert identify(Node(hostname="n1", cni_files=files), NOBODY, None, Settings()).pod_cidrs == ()


def test_a_single_plugin_configuration_with_a_plain_subnet_is_read() -> None:
    files = (TextFile(path="x.conf", text='{"ipam": {"type": "host-local", "subnet": "10.3.0.0/24"}}'),)
    assert identify(Node(hostname="n1", cni_files=files), NOBODY, None, Settings()).pod_cidrs == ("10.3.0.0/24",)


def test_invalid_addresses_are_not_facts() -> None:
    found = identify(Node(hostname="n1"), NOBODY, None, Settings(node_ips=("nonsense",), pod_cidrs=("10.0.0.0/99",)))
    assert (found.node_ips, found.pod_cidrs) == ((), ())


def test_a_route_with_a_preferred_source_names_the_nodes_ip() -> None:
    route = Route(destination="0.0.0.0/0", interface="eth0", gateway="192.0.2.1", source="192.0.2.12")
    assert identify(node(routes=(route,)), NOBODY, None, Settings()).node_ips == ("192.0.2.12",)


@pytest.mark.parametrize(
    ("argv", "value"),
    [(("k", "--a=1"), "1"), (("k", "--a", "2"), "2"), (("k", "--a"), ""), (("k", "--ab=3"), ""), ((), "")],
)
def test_flags_are_read_in_both_spellings(argv: tuple[str, ...], value: str) -> None:
    assert flag(Process(pid=1, name="k", argv=argv), "a") == value


def test_flags_of_nobody_are_empty() -> None:
    assert flag(None, "a") == ""


def test_namespaces_that_may_not_be_entered_are_not_a_node_without_pods(capture):
    shut = tuple(
        replace(item, interfaces=(), problem="not permitted: SYS_ADMIN is missing.") for item in capture.node.namespaces
    )
    node = replace(capture.node, namespaces=shut)
    found = identify(node, capture.processes, capture.node_object, Settings(pod_cidrs=("10.244.4.0/24",)))
    (said,) = [problem for problem in found.problems if "pod" in problem]
    assert said.startswith("a network namespace could not be looked into (not permitted: SYS_ADMIN is missing)")
    assert "runs here" not in said


def test_an_address_that_cannot_be_a_nodes_is_named(capture):
    found = identify(capture.node, capture.processes, None, Settings(node_ips=("169.254.169.254",)))
    assert "169.254.169.254 cannot be a node's address, so nothing is sent there" in found.problems
