"""Which of the network namespaces are this node's pods: by the API where it answers, and by the node itself in any case."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from agent.analysis.diagnosis import literals
from agent.model.capture import Node, NodeObject, PodObject
from agent.model.identity import Pod
from agent.model.report import Fact

_SEEN = "its network namespace"


def pod_objects(node_object: NodeObject | None) -> tuple[PodObject, ...]:
    """The API's pods of this node, none where it was not asked or did not answer."""
    return node_object.pods if node_object else ()


def find(node: Node, pod_cidrs: Sequence[str], node_ips: Sequence[str], known: Collection[str]) -> Iterator[Pod]:
    """Namespaces whose address is in the node's pod network, is a pod's in the API, or is one that the host routes to itself.

    The API's pods first, then those whose namespace has a name (a CNI gave it), since anybody may make a namespace.
    """
    networks = [network for text in pod_cidrs if (network := literals.network(text))]
    networks += _delivered_here(node, node_ips)
    own = {*node_ips, *_of_networks(node)}
    found = []
    for namespace in node.namespaces:
        for interface in namespace.interfaces:
            for text in interface.addresses:
                address = literals.address(text.split("/")[0])
                if address is None or address.is_loopback or address.is_link_local or str(address) in own:
                    continue
                if str(address) in known or any(address in network for network in networks):
                    listed = str(address) in known
                    rank = (not listed, namespace.path.startswith("/proc/"))
                    pod = Pod(namespace=namespace.inode, address=str(address), interface=interface.name, listed=listed)
                    found.append((rank, address, pod))
    # A stable order: two looks at the same node speak of the same pod first.
    for _, _, pod in sorted(found, key=lambda item: (item[0], item[1].version, int(item[1]), item[2].namespace)):
        yield pod


def _of_networks(node: Node) -> Iterator[str]:
    """The host's addresses that stand for a network, as a bridge's does: a namespace with one of them is another node's view.

    One that the host holds without a network is a pod's all the same: that the host has it, too, is what is wrong (martians).
    """
    for interface in node.interfaces:
        for text in interface.addresses:
            network = literals.network(text)
            if network and network.prefixlen < network.max_prefixlen:
                yield text.split("/")[0]


def _delivered_here(node: Node, node_ips: Sequence[str]) -> list[literals.Network]:
    """Networks, or single addresses, that the host sends to without a gateway and not by an interface with a node's address:
    a CNI's bridge, or one interface for each pod."""
    links = {text.split("/")[0]: interface.name for interface in node.interfaces for text in interface.addresses}
    uplinks = {links.get(address) for address in node_ips} | {"lo", "docker0"}
    direct = (route for route in node.routes if route.kind == "unicast" and not route.gateway and route.interface)
    routes = (
        route.destination for route in direct if route.interface not in uplinks and route.destination not in literals.DEFAULTS
    )
    return [network for text in routes if (network := literals.network(text)) and not network.is_link_local]


def facts(pods: Sequence[Pod], known: Mapping[str, str]) -> Iterator[Fact]:
    """Every pod that was found, and every one that the API knows and nobody found; `known` names addresses."""
    for pod in pods:
        name = known.get(pod.address)
        yield Fact(name="pod", value=pod.address, source=f"its network namespace; the API calls it {name}" if name else _SEEN)
    here = {pod.address for pod in pods}
    for address, name in known.items():
        if address not in here:
            yield Fact(name="pod", value=address, source=f"API: {name}; no network namespace here has this address")


def used(chosen: tuple[str, ...], candidates: Sequence[str], pods: Sequence[Pod]) -> tuple[tuple[str, ...], list[str]]:
    """The pod networks that the real pods have addresses in, and a sentence where those are not the chosen ones."""
    addresses = [address for pod in pods if (address := literals.address(pod.address))]
    if not addresses or not chosen or any(address in network for address in addresses for network in literals.networks(chosen)):
        return chosen, []
    used = [
        text
        for text in dict.fromkeys(candidates)
        if any(item in net for item in addresses for net in literals.networks([text]))
    ]
    shown = ", ".join(str(address) for address in addresses[:3])
    return tuple(used) or chosen, [f"pod CIDR: no pod here has an address in {', '.join(chosen)}; there are pods with {shown}"]
