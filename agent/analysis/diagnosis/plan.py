"""Which connects to make: pods to their own kubelet, the host to the same, pod and host to other nodes' kubelets.

Together they tell apart what one alone cannot: a dead kubelet fails everywhere, a node firewall only for pods, a rule about one
pod only for that one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from ipaddress import ip_address

from agent.analysis.diagnosis.targets import can_be_a_node
from agent.model.identity import Identity, Pod
from agent.model.probe import ProbeRequest, Vantage

HOST = 0  # the host's own namespace, in ProbeRequest.namespace
PODS = 3
# Every node is then looked at by ten others on the average; five thousand nodes make fifty thousand connects, not 25 million.
NEIGHBOURS = 10
# Seconds over which a node's connects to its neighbours are spread, where it has several.
SPREAD = 0.25


def plan_probes(identity: Identity, neighbours: int = NEIGHBOURS) -> tuple[ProbeRequest, ...]:
    """The probes that are possible with what is known. Empty when not even the node's IP is known.

    The first pod's is first: it alone lies between two readings of the firewall. One of each kind goes before a second of any.
    """
    pod = identity.pods[0] if identity.pods else None
    version = ip_address(pod.address).version if pod else None
    node_ip = _first_of_version(identity.node_ips, version)
    requests = []
    if pod and node_ip:
        requests.append(_request(identity, Vantage.POD, pod.namespace, pod.address, node_ip))
    if node_ip:
        requests.append(_request(identity, Vantage.HOST, HOST, node_ip, node_ip))
    chosen = pick_neighbours(identity.node_name, tuple(_of_version(identity.peers, version)), neighbours)
    from_pod = [_to_neighbour(identity, pod.namespace, pod.address, peer, chosen) for peer in chosen] if pod else []
    requests += _other_version(identity, version)
    requests += from_pod[:1]
    if node_ip:
        requests += [_request(identity, Vantage.POD, one.namespace, one.address, node_ip) for one in _more_pods(identity.pods)]
    from_host = [_to_neighbour(identity, HOST, node_ip, peer, chosen) for peer in chosen] if node_ip and pod else []
    requests += from_host[:1]
    return (*requests, *(request for pair in zip(from_pod[1:], from_host[1:], strict=False) for request in pair))


def pick_neighbours(own: str, peers: Sequence[str], most: int) -> tuple[str, ...]:
    """The `most` other nodes that the node `own` looks at: all where there are no more, else by rendezvous hash.

    Each node picks for itself, without asking, and exactly `most`. A node that joins takes a place from at most one of a node's
    neighbours, one that leaves gives up its own alone (Thaler and Ravishankar, "Using name-based mappings", 1998).
    """
    distinct = tuple(dict.fromkeys(peers))
    if len(distinct) <= most:
        return distinct
    return tuple(sorted(distinct, key=lambda peer: (_score(own, peer), peer), reverse=True)[:most])


def delay(own: str, peer: str) -> float:
    """Seconds that `own` waits before it knocks at `peer`, below `SPREAD`: the same at every look, another for each pair."""
    return SPREAD * _score(peer, own) / 2**64


def _score(own: str, peer: str) -> int:
    return int.from_bytes(blake2b(f"{own}\0{peer}".encode("utf-8", "surrogateescape"), digest_size=8).digest())


def _other_version(identity: Identity, version: int | None) -> list[ProbeRequest]:
    """The same question over the other IP version, where the node and one of its pods have both."""
    for pod in identity.pods:
        other = ip_address(pod.address).version
        target = _first_of_version(identity.node_ips, other)
        if other != version and target:
            return [_request(identity, Vantage.POD, pod.namespace, pod.address, target)]
    return []


def _more_pods(pods: Sequence[Pod]) -> Iterator[Pod]:
    """The next pods with an address of the first one's IP version, each in a namespace of its own."""
    seen = {pods[0].namespace} if pods else set()
    for pod in pods[1:]:
        if (
            len(seen) < PODS
            and pod.namespace not in seen
            and ip_address(pod.address).version == ip_address(pods[0].address).version
        ):
            seen.add(pod.namespace)
            yield pod


def _to_neighbour(identity: Identity, namespace: int, source: str, peer: str, chosen: Sequence[str]) -> ProbeRequest:
    request = _request(identity, Vantage.PEER, namespace, source, peer)
    return replace(request, after=delay(identity.node_name, peer)) if len(chosen) > 1 else request


def _request(identity: Identity, vantage: Vantage, namespace: int, source: str, target: str) -> ProbeRequest:
    return ProbeRequest(vantage=vantage, namespace=namespace, source=source, target=target, port=identity.kubelet_port)


def _first_of_version(addresses: Sequence[str], version: int | None) -> str:
    return next(_of_version(addresses, version), "")


def _of_version(addresses: Sequence[str], version: int | None) -> Iterator[str]:
    """Those that a node can have, and that may be asked."""
    usable = (text for text in addresses if can_be_a_node(text))
    return (text for text in usable if version in (None, ip_address(text).version))
