"""What a large firewall is asked about before it is read: every packet that the diagnosis may walk later."""

from ipaddress import ip_address, ip_network

from agent.analysis.diagnosis.asked import packets_asked
from agent.analysis.path.explain import Way
from agent.model.identity import Identity
from agent.model.probe import ProbeRequest, Vantage

from .captures import NODE_IP, PEER_IP, POD_IP, capture


def asked(*peers: str) -> set[tuple[Way, str, str]]:
    """Way, source and destination of what is asked of a node with these other nodes."""
    identity = Identity(node_name="n1", node_ips=(NODE_IP,), pod_cidrs=("10.9.1.0/24",))
    taken = capture()
    requests = [
        ProbeRequest(vantage=Vantage.POD, namespace=42, source=POD_IP, target=NODE_IP, port=10250),
        *(ProbeRequest(vantage=Vantage.PEER, namespace=42, source=POD_IP, target=peer, port=10250) for peer in peers),
    ]
    found = packets_asked(identity, taken.node, taken.pod_routes, requests)
    assert all(each.sources in (None, ip_network("10.9.1.0/24")) for each in found)
    return {(each.way, str(each.sources or each.packet.source), str(each.packet.destination)) for each in found}


def test_asked_are_the_pods_packet_from_its_whole_network_the_hosts_own_and_the_way_to_the_other_node() -> None:
    assert asked(PEER_IP) == {
        (Way.TO_NODE, "10.9.1.0/24", NODE_IP),
        (Way.TO_NODE, NODE_IP, NODE_IP),
        (Way.FORWARD, "10.9.1.0/24", PEER_IP),
    }


def test_a_node_of_the_other_ip_version_is_not_asked_about_with_this_packet() -> None:
    other = "2001:db8::11"
    assert ip_address(other).version == 6
    assert asked(other, PEER_IP) == asked(PEER_IP)
