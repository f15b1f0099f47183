"""agent.analysis.diagnosis.pods: which namespaces are this node's pods, and which pod network they really use."""

from agent.analysis.diagnosis.identify import identify
from agent.model.capture import (
    Configured,
    Interface,
    Namespace,
    Node,
    NodeObject,
    PodObject,
    Process,
    Processes,
    Route,
    TextFile,
)
from agent.model.settings import Settings

ETH0 = Interface(index=2, name="eth0", addresses=("192.0.2.10/24",))
CNI0 = Interface(index=3, name="cni0", kind="bridge", addresses=("10.9.1.1/24",))
ROUTES = (
    Route(destination="0.0.0.0/0", interface="eth0", gateway="192.0.2.1"),
    Route(destination="192.0.2.0/24", interface="eth0"),
    Route(destination="10.9.1.0/24", interface="cni0"),
)


def pod(inode: int, address: str, path: str = "") -> Namespace:
    interface = Interface(index=2, name="eth0", addresses=(f"{address}/24",))
    return Namespace(inode=inode, path=path or f"/run/netns/cni-{inode}", interfaces=(interface,))


def node(*namespaces: Namespace, routes=ROUTES, interfaces=(ETH0, CNI0)) -> Node:
    return Node(hostname="n1", interfaces=interfaces, routes=routes, namespaces=namespaces)


def api(*pods: PodObject, cidr: str = "10.9.1.0/24") -> NodeObject:
    return NodeObject(name="n1", addresses=(("InternalIP", "192.0.2.10"),), pod_cidrs=(cidr,), pods=pods)


def test_the_apis_pods_are_the_pods_and_without_it_named_namespaces_come_before_any() -> None:
    here = node(pod(1, "10.9.1.2", "/proc/9/ns/net"), pod(2, "10.9.1.3"), pod(3, "10.9.1.4"))
    known = PodObject(namespace="default", name="web", addresses=("10.9.1.4",))
    found = identify(here, Processes(), api(known), Settings())
    assert [item.address for item in found.pods] == ["10.9.1.4"]
    assert [item.address for item in identify(here, Processes(), api(), Settings()).pods] == [
        "10.9.1.3",
        "10.9.1.4",
        "10.9.1.2",
    ]
    assert "default/web" in next(fact.source for fact in found.facts if fact.value == "10.9.1.4")


def test_a_namespace_with_one_of_the_hosts_own_addresses_is_no_pod() -> None:
    assert identify(node(pod(1, "10.9.1.1")), Processes(), api(), Settings()).pods == ()


def test_a_pod_whose_address_the_host_holds_as_well_is_a_pod() -> None:
    lo = Interface(index=1, name="lo", addresses=("127.0.0.1/8", "10.9.1.5/32"))
    found = identify(node(pod(1, "10.9.1.5"), interfaces=(lo, ETH0, CNI0)), Processes(), api(), Settings())
    assert [item.address for item in found.pods] == ["10.9.1.5"]


def test_a_namespace_with_the_nodes_own_single_address_is_no_pod() -> None:
    eth0 = Interface(index=2, name="eth0", addresses=("10.9.1.10/32",))
    told = Settings(node_ips=("10.9.1.10",))
    assert identify(node(pod(1, "10.9.1.10"), interfaces=(eth0, CNI0)), Processes(), api(), told).pods == ()


def test_another_nodes_pod_on_the_same_machine_is_none_of_ours() -> None:
    assert identify(node(pod(1, "10.9.2.7")), Processes(), api(), Settings()).pods == ()


def test_pods_outside_the_nodes_pod_cidr_are_found_and_named() -> None:
    found = identify(node(pod(1, "10.9.1.5")), Processes(), api(cidr="10.77.0.0/24"), Settings())
    assert [item.address for item in found.pods] == ["10.9.1.5"]
    assert found.pod_cidrs == ("10.9.1.0/24",)  # the bridge's, which the real pod uses: a fix must name that one
    assert any("no pod here has an address in 10.77.0.0/24" in sentence for sentence in found.conflicts)


def test_one_interface_for_each_pod_as_calico_has_it() -> None:
    routes = (*ROUTES[:2], Route(destination="10.5.0.9/32", interface="cali1"))
    found = identify(node(pod(1, "10.5.0.9"), routes=routes, interfaces=(ETH0,)), Processes(), api(), Settings())
    assert [item.address for item in found.pods] == ["10.5.0.9"]


def test_a_pod_that_only_the_api_knows_is_told() -> None:
    known = PodObject(namespace="default", name="gone", addresses=("10.9.1.9",))
    found = identify(node(), Processes(), api(known), Settings())
    assert "no network namespace here" in next(fact.source for fact in found.facts if fact.value == "10.9.1.9")


def test_without_the_api_files_of_kubelet_and_runtime_tell() -> None:
    processes = Processes(
        processes=(Process(pid=7, name="kubelet", argv=("kubelet",)),),
        configured=(
            Configured(program="kubelet", path="/k.yaml", key="podCIDR", value="10.9.1.0/24"),
            Configured(program="kubelet", path="/k.yaml", key="port", value="10260"),
        ),
        cni_files=(TextFile(path="/opt/cni/1.conf", text='{"ipam": {"subnet": "10.9.3.0/24"}}'),),
    )
    found = identify(node(pod(1, "10.9.1.5"), interfaces=(ETH0,)), processes, None, Settings())
    assert (found.pod_cidrs, found.kubelet_port) == (("10.9.1.0/24",), 10260)
    assert (
        "pod CIDR: podCIDR in /k.yaml says 10.9.1.0/24, CNI configuration /opt/cni/1.conf says 10.9.3.0/24" in found.conflicts
    )
