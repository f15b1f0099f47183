"""agent.host.phantom.cni: which network a container runtime would take. Plugins are run by the lab's tests."""

import json

import pytest

from agent.host.phantom.cni import CniError, find_network

BRIDGE = {"type": "bridge", "ipam": {"type": "host-local"}}


@pytest.fixture
def bins(tmp_path):
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("bridge", "portmap", "calico"):
        (place / name).touch()
    return place


@pytest.fixture
def write(tmp_path):
    place = tmp_path / "net.d"
    place.mkdir()

    def put(name, value):
        (place / name).write_text(value if isinstance(value, str) else json.dumps(value))
        return [str(place)]

    return put


def test_the_first_by_name_that_is_a_configuration(write, bins):
    write("00-broken.conflist", "{")
    write("01-empty.conflist", {"name": "x", "plugins": []})
    write("02-notes.txt", {"name": "x", "plugins": [BRIDGE]})
    write("05-path.conflist", {"name": "evil", "plugins": [{"type": "../../bin/sh"}]})
    write("20-later.conflist", {"name": "later", "plugins": [BRIDGE]})
    found = find_network(
        write("10-cbr0.conflist", {"cniVersion": "1.0.0", "name": "cbr0", "plugins": [BRIDGE, {"type": "portmap"}]}), [bins]
    )
    assert (found.name, found.version, found.words) == ("cbr0", "1.0.0", "CNI network cbr0 (bridge, portmap)")


def test_a_single_plugin_is_a_network_of_one(write, bins):
    found = find_network(write("10-calico.conf", {"cniVersion": "0.3.1", "name": "k8s-pod-network", "type": "calico"}), [bins])
    assert [plugin["type"] for plugin in found.plugins] == ["calico"]


def test_a_plugin_that_is_not_there_is_named(write, bins):
    places = write("10-x.conflist", {"name": "x", "plugins": [BRIDGE, {"type": "cilium-cni"}]})
    with pytest.raises(CniError, match=r"the CNI plugin cilium-cni of .*10-x\.conflist is not in"):
        find_network(places, [str(bins)])


@pytest.mark.parametrize("places", [[], ["/nowhere"]])
def test_without_a_configuration_there_is_no_network(places, bins):
    with pytest.raises(CniError, match="no CNI configuration"):
        find_network(places, [str(bins)])
