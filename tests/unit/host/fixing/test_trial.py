"""The pod that a fix is tried for."""

from ipaddress import ip_address

import pytest

from agent.host.fixing.trial import pod_of
from agent.model.capture import Interface, Namespace, Node
from agent.model.plan import Flow, Order, Place

ORDER = Order(
    id="0" * 12,
    flow=Flow(source="10.244.4.0/24", destination="172.31.16.124", port=10250),
    place=Place(backend="nft", chain="INPUT", before=""),
    digest="d",
)


def node(*held: tuple[str, ...]) -> Node:
    spaces = (
        Namespace(inode=number, path="", interfaces=(Interface(index=2, name="eth0", addresses=each),))
        for number, each in enumerate(held)
    )
    bridge = Interface(index=3, name="cni0", kind="bridge", addresses=("10.244.4.1/24", "fe80::1%cni0/64"))
    return Node(hostname="n", interfaces=(bridge,), namespaces=tuple(spaces))


@pytest.mark.parametrize(
    ("held", "pod"),
    [
        pytest.param((("10.9.9.9/24",), ("fe80::2/64", "10.244.4.7/24")), "10.244.4.7", id="a pod that is there"),
        pytest.param((("10.244.4.1/24",), ("10.244.4.7/24",)), "10.244.4.7", id="the bridge's address is no pod's"),
        pytest.param((("10.244.4.1/24",),), "10.244.4.2", id="only the bridge's"),
        pytest.param((), "10.244.4.2", id="no pod at all"),
    ],
)
def test_it_is_tried_from_a_pods_address(held: tuple[tuple[str, ...], ...], pod: str) -> None:
    assert pod_of(ORDER, node(*held)) == ip_address(pod)
