"""agent.host.phantom.bridge: which bridge, and which addresses are tried. Cables are laid by the lab's tests."""

from itertools import islice

import pytest

from agent.host.phantom.bridge import BridgeError, candidates, find_bridge
from agent.model.capture import Interface

CNI0 = Interface(index=4, name="cni0", kind="bridge", addresses=("fe80::1/64", "10.244.4.1/24"))
DOCKER = Interface(index=3, name="docker0", kind="bridge", addresses=("172.17.0.1/16",))
ETH = Interface(index=2, name="eth0", addresses=("10.244.4.99/24",))


def test_the_bridge_is_the_one_with_an_address_of_the_pods_network():
    assert find_bridge((ETH, DOCKER, CNI0), ("10.244.4.0/24",)).name == "cni0"


@pytest.mark.parametrize(("links", "cidrs"), [((ETH, DOCKER), ("10.244.4.0/24",)), ((CNI0,), ()), ((CNI0,), ("fd00::/64",))])
def test_without_one_there_is_none(links, cidrs):
    with pytest.raises(BridgeError, match="no bridge of this node"):
        find_bridge(links, cidrs)


def test_the_highest_addresses_are_tried_first_and_known_ones_never():
    bridge = find_bridge((CNI0,), ("10.244.4.0/24",))
    found = [str(address) for address in candidates(bridge, ("10.244.4.0/24",), ("10.244.4.253",))]
    assert found[:3] == ["10.244.4.254", "10.244.4.252", "10.244.4.251"]
    assert len(found) == 8


def test_only_addresses_of_the_pods_network_are_tried():
    wide = find_bridge((Interface(index=1, name="b", kind="bridge", addresses=("10.244.0.1/16",)),), ("10.244.0.0/16",))
    assert str(next(candidates(wide, ("10.244.7.0/24",), ()))) == "10.244.7.255"
    small = find_bridge((Interface(index=1, name="b", kind="bridge", addresses=("10.244.4.1/30",)),), ("10.244.4.0/24",))
    assert [str(address) for address in islice(candidates(small, ("10.244.4.0/24",), ()), 9)] == ["10.244.4.2"]
