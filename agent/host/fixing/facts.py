"""Who this node and its pods are, from what only root can write: settings, interfaces, the CNI's files, the kubelet's flags.

The front reads the same and more (the Kubernetes API among it); none of that counts here. A pod can give itself any address in
its own namespace, so that namespaces are not asked.
"""

import ipaddress
import json
from collections.abc import Iterable, Iterator
from typing import Any

from agent.host.fixing.guards import Address, Facts, Network
from agent.model.capture import Interface, Node, Processes
from agent.model.settings import KUBELET_PORT, Settings

_KUBELETS = ("kubelet", "kubelite", "k3s", "k3s-server", "k3s-agent", "rke2")
# Bridges that others than a CNI make.
_OTHERS = ("docker", "br-", "virbr", "lxc")
_DEFAULTS = ("0.0.0.0/0", "::/0")


def find_facts(node: Node, processes: Processes, settings: Settings) -> Facts:
    """What guards may rest on. What is not known is not allowed."""
    ways = {route.interface for route in node.routes if route.destination in _DEFAULTS}
    bridges = [link for link in node.interfaces if _is_pod_bridge(link)]
    flags = [
        argument
        for process in processes.processes
        if process.name in _KUBELETS
        for argument in _values(process.argv, "pod-cidr")
    ]
    texts = (*settings.pod_cidrs, *flags, *(text for file in node.cni_files for text in _host_local(file.text)))
    own = (text for link in bridges for text in link.addresses)
    networks = (*_networks(texts, strict=True), *_networks(own, strict=False))
    uplinks = [link for link in node.interfaces if link.name in ways] or [
        link for link in node.interfaces if link not in bridges
    ]
    return Facts(
        addresses=frozenset(_addresses(node.interfaces)),
        uplink=frozenset((*_addresses(uplinks), *_given(settings.node_ips))),
        pod_networks=frozenset(network for network in networks if not network.is_link_local and network.prefixlen),
        ports=frozenset(_ports(processes, settings)),
    )


def _ports(processes: Processes, settings: Settings) -> Iterator[int]:
    if settings.kubelet_port is not None:
        yield settings.kubelet_port
        return
    found = [
        int(value)
        for process in processes.processes
        if process.name in _KUBELETS
        for value in _values(process.argv, "port")
        if value.isdecimal() and 0 < int(value) < 65536
    ]
    yield from found or [KUBELET_PORT]


def _is_pod_bridge(link: Interface) -> bool:
    return link.kind == "bridge" and not link.name.startswith(_OTHERS)


def _values(argv: tuple[str, ...], name: str) -> Iterator[str]:
    for index, argument in enumerate(argv):
        if argument == f"--{name}" and index + 1 < len(argv):
            yield from argv[index + 1].split(",")
        elif argument.startswith(f"--{name}="):
            yield from argument.split("=", 1)[1].split(",")


def _host_local(text: str) -> Iterator[str]:
    """Every subnet of an `ipam` of type host-local, wherever it stands."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if item.get("type") == "host-local":
                ranges = [entry for group in item.get("ranges") or () if isinstance(group, list) for entry in group]
                yield from (str(entry["subnet"]) for entry in (item, *ranges) if isinstance(entry, dict) and "subnet" in entry)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _networks(texts: Iterable[str], *, strict: bool) -> Iterator[Network]:
    for text in texts:
        try:
            yield ipaddress.ip_network(text.split("%")[0], strict=strict)
        except ValueError:
            continue  # no network: nothing is allowed by it


def _addresses(links: Iterable[Interface]) -> Iterator[Address]:
    for link in links:
        yield from _given(text.split("/")[0].split("%")[0] for text in link.addresses)


def _given(texts: Iterable[str]) -> Iterator[Address]:
    for text in texts:
        try:
            yield ipaddress.ip_address(text)
        except ValueError:
            continue  # no address: the node does not have it
