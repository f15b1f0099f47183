"""Which connects to make: the pod to its own kubelet, the host to the same, the pod to another node's kubelet.

The three together tell apart what one alone cannot: a dead kubelet fails everywhere, a node firewall only for the pod.
"""

from collections.abc import Sequence
from ipaddress import ip_address

from agent.analysis.diagnosis.targets import can_be_a_node
from agent.model.identity import Identity
from agent.model.probe import ProbeRequest, Vantage

HOST = 0  # the host's own namespace, in ProbeRequest.namespace


def plan_probes(identity: Identity) -> tuple[ProbeRequest, ...]:
    """The probes that are possible with what is known, the pod's first. Empty when not even the node's IP is known."""
    requests = []
    pod = identity.pods[0] if identity.pods else None
    version = ip_address(pod.address).version if pod else None
    node_ip = _first_of_version(identity.node_ips, version)
    if pod and node_ip:
        requests.append(_request(identity, Vantage.POD, pod.namespace, pod.address, node_ip))
    if node_ip:
        requests.append(_request(identity, Vantage.HOST, HOST, node_ip, node_ip))
    requests += _other_version(identity, version)
    peer = _first_of_version(identity.peers, version)
    if pod and peer:
        requests.append(_request(identity, Vantage.PEER, pod.namespace, pod.address, peer))
    return tuple(requests)


def _other_version(identity: Identity, version: int | None) -> list[ProbeRequest]:
    """The same question over the other IP version, where the node and one of its pods have both."""
    for pod in identity.pods:
        other = ip_address(pod.address).version
        target = _first_of_version(identity.node_ips, other)
        if other != version and target:
            return [_request(identity, Vantage.POD, pod.namespace, pod.address, target)]
    return []


def _request(identity: Identity, vantage: Vantage, namespace: int, source: str, target: str) -> ProbeRequest:
    return ProbeRequest(vantage=vantage, namespace=namespace, source=source, target=target, port=identity.kubelet_port)


def _first_of_version(addresses: Sequence[str], version: int | None) -> str:
    usable = (text for text in addresses if can_be_a_node(text))
    return next((text for text in usable if version in (None, ip_address(text).version)), "")
