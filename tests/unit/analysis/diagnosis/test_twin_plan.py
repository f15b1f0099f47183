"""Which packet the twin is asked to try, and when it is not."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from agent.analysis.diagnosis.identify import identify
from agent.analysis.diagnosis.twin_plan import plan_packet, plan_twin
from agent.model.capture import Capture, Interface, Processes
from agent.model.packet import CtState, Packet
from agent.model.settings import Settings
from agent.model.twin import TwinInterface, TwinRequest, TwinResult
from tests.unit.analysis.diagnosis.captures import NODE_IP, POD_IP, capture

PACKET = Packet(
    source=ip_address(POD_IP), destination=ip_address(NODE_IP), dport=10250, iif="cni0", local=(ip_address(NODE_IP),)
)


def plan(taken: Capture) -> TwinRequest | TwinResult:
    identity = identify(taken.node, taken.processes, taken.node_object, taken.settings)
    return plan_twin(identity, taken.node, taken.processes, taken.pod_routes)


def test_the_pods_packet_is_asked_for_with_the_nodes_interfaces() -> None:
    taken = capture()
    request = plan(taken)
    assert isinstance(request, TwinRequest)
    assert (str(request.source), str(request.destination), request.dport) == (POD_IP, NODE_IP, 10250)
    assert (request.firewall, request.listening, request.sport) == ("", True, None)
    held = {interface.name for interface in taken.node.interfaces if interface.name != "lo" and interface.addresses}
    assert {interface.name for interface in request.interfaces} == held
    assert request.iif in held


def test_where_nobody_listens_the_twin_has_no_listener() -> None:
    request = plan(replace(capture(), processes=Processes()))
    assert isinstance(request, TwinRequest)
    assert request.listening is False


def test_without_a_packet_there_is_no_twin() -> None:
    taken = capture()
    bare = replace(taken, node=replace(taken.node, interfaces=(), routes=()), settings=Settings(), node_object=None)
    result = plan(bare)
    assert isinstance(result, TwinResult)
    assert result.problem == "no pod's packet is known"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"iif": None}, "by which interface"),
        ({"iif": "lo"}, "by lo"),
        ({"protocol": 1}, "TCP and UDP"),
        ({"dport": None}, "TCP and UDP"),
        ({"ctstate": CtState.ESTABLISHED}, "first packet"),
        ({"mark": 1}, "without a mark"),
        ({"connmark": 1}, "without a mark"),
        ({"ttl": 3}, "ttl, dscp, length"),
        ({"source": ip_address(NODE_IP)}, "own address"),
    ],
)
def test_what_the_twin_cannot_send_is_said(change: dict[str, object], why: str) -> None:
    taken = capture()
    result = plan_packet(replace(PACKET, **change), taken.node)  # type: ignore[arg-type]
    assert isinstance(result, TwinResult)
    assert why in result.problem


def test_the_packets_own_interface_and_destination_come_first_and_addresses_are_bounded() -> None:
    taken = capture()
    many = tuple(f"10.96.{number // 250}.{number % 250 + 1}/32" for number in range(400))
    interfaces = (
        Interface(index=1, name="lo", addresses=("127.0.0.1/8",)),
        Interface(index=2, name="kube-ipvs0", addresses=(*many, f"{NODE_IP}/32")),
        Interface(index=3, name="docker0", addresses=("172.17.0.1/16",)),
        Interface(index=4, name="cni0", addresses=("10.9.1.1/24", "fe80::1/64")),
        Interface(index=5, name="veth1", master="cni0"),
    )
    request = plan_packet(PACKET, replace(taken.node, interfaces=interfaces))
    assert isinstance(request, TwinRequest)
    assert request.ports == ("veth1",)
    for port, ports in (("veth9", ("veth9",)), ("", ())):
        other = plan_packet(replace(PACKET, physdev_in=port), taken.node)
        assert isinstance(other, TwinRequest)
        assert other.ports == ports
    first, second = request.interfaces
    assert first == TwinInterface(name="cni0", addresses=("10.9.1.1/24",))
    assert (second.name, second.addresses[0]) == ("kube-ipvs0", f"{NODE_IP}/32")
    assert len(first.addresses) + len(second.addresses) == 256
