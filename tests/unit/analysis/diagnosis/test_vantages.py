"""agent.analysis.diagnosis.vantages: which pods speak best for all of them."""

from dataclasses import replace

from agent.analysis.diagnosis.vantages import prefer, rank
from agent.model.capture import LEGACY_SAVE, NFT_SAVE, Firewall, Namespace, Node, Process, Processes, Reading, Route
from agent.model.identity import Identity, Pod

A, B, C = (Pod(namespace=number, address=f"10.9.1.{number}") for number in (4, 5, 6))
KUBE_ROUTER = """*filter
:KUBE-POD-FW-B - [0:0]
:KUBE-POD-FW-A - [0:0]
-A KUBE-ROUTER-INPUT -s 10.9.1.5/32 -m comment --comment "x" -j KUBE-POD-FW-B
-A KUBE-ROUTER-INPUT -s 10.9.1.4/32 -m comment --comment "x" -j KUBE-POD-FW-A
-A KUBE-POD-FW-B -m comment --comment "run through nw policy" -j KUBE-NWPLCY-X
-A KUBE-POD-FW-A -j MARK --set-xmark 0x10000/0x10000
COMMIT
"""
CALICO = """*filter
-A cali-fw-calib -m comment --comment "x" -j cali-po-_policy
-A cali-fw-calia -m comment --comment "x" -j cali-pro-kns.default
COMMIT
"""


def addresses(pods):
    return [pod.address for pod in pods]


def namespaces(*nat):
    return [Namespace(inode=number, path="", nat=chains) for number, chains in zip((4, 5, 6), nat, strict=False)]


def firewall(text, name=NFT_SAVE):
    return Firewall(readings=(Reading(name=name, argv=(name,), status=0, stdout=text),))


def test_without_anything_special_the_order_stays():
    assert rank((C, A, B), Processes(), ()) == (C, A, B)


def test_what_the_api_does_not_list_is_no_pod_where_it_lists_any():
    seen = Processes(processes=(Process(pid=7, name="metrics-server", namespace=6),))
    assert addresses(rank((C, replace(A, listed=True), replace(B, listed=True)), seen, ())) == [A.address, B.address]


def test_a_pod_that_is_bound_is_bound_in_all_its_addresses():
    six = replace(B, address="2001:db8::5")
    identity = Identity(node_name="n", pods=(B, six, C))
    assert prefer(identity, Node(hostname="n"), firewall(KUBE_ROUTER)).pods[0] == C


def test_metrics_servers_own_pod_goes_first():
    seen = Processes(processes=(Process(pid=7, name="metrics-server", namespace=6), Process(pid=8, name="kubelet")))
    ranked = rank((A, B, C), seen, ())
    assert addresses(ranked) == [C.address, A.address, B.address]
    assert ranked[0].name == "metrics-server"


def test_a_metrics_server_in_the_hosts_namespace_is_no_pod():
    assert rank((A, B), Processes(processes=(Process(pid=7, name="metrics-server"),)), ()) == (A, B)


def test_a_mesh_pod_is_last_even_where_it_is_metrics_servers():
    seen = Processes(processes=(Process(pid=7, name="metrics-server", namespace=4),))
    ranked = rank((A, B), seen, namespaces(("ip nat OUTPUT", "ip nat ISTIO_OUTPUT")))
    assert addresses(ranked) == [B.address, A.address]
    assert "service mesh" in ranked[1].redirected
    assert "ISTIO_OUTPUT" in ranked[1].redirected


def test_nat_rules_of_another_kind_count_as_well_and_are_not_called_a_mesh():
    (_, last) = rank((A, B), Processes(), namespaces(("legacy ip nat",)))
    assert last.address == A.address
    assert "mesh" not in last.redirected


def test_a_pod_that_a_kube_router_policy_isolates_is_not_preferred_and_the_reason_is_a_fact():
    for name in (NFT_SAVE, LEGACY_SAVE):
        found = prefer(Identity(node_name="n", pods=(B, A)), Node(hostname="n"), firewall(KUBE_ROUTER, name))
        assert addresses(found.pods) == [A.address, B.address]
        assert [(fact.name, "KUBE-POD-FW-B" in fact.value) for fact in found.facts] == [("pod not preferred", True)]


def test_a_pod_that_a_calico_policy_isolates_is_known_by_its_interface():
    routes = (Route(destination="10.9.1.4/32", interface="calia"), Route(destination="10.9.1.5/32", interface="calib"))
    found = prefer(Identity(node_name="n", pods=(B, A)), Node(hostname="n", routes=routes), firewall(CALICO))
    assert addresses(found.pods) == [A.address, B.address]


def test_metrics_server_stays_first_under_a_policy_which_is_its_own_fate():
    server = Pod(namespace=5, address=B.address, name="metrics-server")
    found = prefer(Identity(node_name="n", pods=(server, A)), Node(hostname="n"), firewall(KUBE_ROUTER))
    assert addresses(found.pods) == [B.address, A.address]


def test_without_policies_and_meshes_nothing_is_said():
    identity = Identity(node_name="n", pods=(B, A))
    assert prefer(identity, Node(hostname="n"), firewall("-A KUBE-POD-FW-A -j ACCEPT")) is identity


def test_chains_that_the_kernel_does_not_tell_of_put_no_pod_behind():
    assert addresses(rank((A, B, C), Processes(), namespaces(None, ("ip nat OUTPUT",), None)))[-1] == B.address


def test_that_nobody_knows_what_redirects_a_pod_is_a_fact():
    identity = Identity(node_name="n", pods=(A, B))
    told = prefer(identity, Node(hostname="n", namespaces=tuple(namespaces(None, ()))), Firewall()).facts
    assert [(fact.name, fact.value) for fact in told] == [("pod's redirects", f"{A.address}: not known")]
