"""Which pods speak best for all. One that is sent elsewhere, or that a network policy is about, tells of itself first.

The scrape's own pod goes first where it is seen here. Nobody is left out: whoever is not preferred comes last, with the reason.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_SAVE, NFT_SAVE6, Firewall, Namespace, Node, Processes
from agent.model.identity import Identity, Pod
from agent.model.report import Fact

METRICS_SERVER = "metrics-server"
# Chains that service meshes make in a pod's own namespace: Istio, Linkerd, Consul, Kuma.
_MESHES = ("ISTIO_", "PROXY_INIT_", "CONSUL_", "KUMA_", "MESH_")
# kube-router and k3s: a pod's own chain jumps to its policies' (netpol: KUBE-POD-FW-, KUBE-NWPLCY-).
_POLICY_JUMP = re.compile(r"-A (KUBE-POD-FW-\S+) .*-j KUBE-NWPLCY-")
_POD_JUMP = re.compile(r"-A \S+ .*?-[sd] (\S+?)(?:/32|/128)? .*-j (KUBE-POD-FW-\S+)")
# Calico: `cali-fw-` and the pod's interface on the node; `cali-po-` is an egress policy (felix: rules/endpoints.go).
_CALICO_POLICY = re.compile(r"-A cali-fw-(\S+) .*-j cali-po-")
_SAVES = (LEGACY_SAVE, LEGACY_SAVE6, NFT_SAVE, NFT_SAVE6)


def rank(pods: Sequence[Pod], processes: Processes, namespaces: Sequence[Namespace]) -> tuple[Pod, ...]:
    """The pods with what is known of each, the best first, and otherwise in the order in which they are given.

    Where the API lists any of them the others are left out: something else has such an address, a container of another runtime
    or of a cluster beside this one, and what it meets is no word of this node's pods.
    """
    servers = {process.namespace for process in processes.processes if process.name == METRICS_SERVER and process.namespace}
    nat = {namespace.inode: namespace.nat for namespace in namespaces}
    known = (
        replace(
            pod,
            name=METRICS_SERVER if pod.namespace in servers else "",
            redirected=_redirected(nat.get(pod.namespace) or ()),
        )
        for pod in pods
    )
    ranked = tuple(sorted(known, key=_place))
    return tuple(pod for pod in ranked if pod.listed) or ranked


def prefer(identity: Identity, node: Node, firewall: Firewall) -> Identity:
    """The same identity, after a look at the firewall: pods that a network policy is about are behind those that are free.

    Of a pod whose namespace did not tell its chains it is said that nobody knows what redirects it.
    """
    bound = dict(_bound(firewall, {pod.address for pod in identity.pods}, node))
    closed = {namespace.inode for namespace in node.namespaces if namespace.nat is None}
    unknown = tuple(
        Fact(name="pod's redirects", value=f"{pod.address}: not known", source="its network namespace did not tell its chains")
        for pod in identity.pods
        if pod.namespace in closed
    )
    if unknown:
        identity = replace(identity, facts=(*identity.facts, *unknown))
    if not bound and not any(pod.redirected for pod in identity.pods):
        return identity
    # A pod is bound in all its addresses: else a policy about IPv4 would make IPv6 the way that is asked about first.
    held = {pod.namespace: bound[pod.address] for pod in identity.pods if pod.address in bound}
    pods = sorted((replace(pod, bound=held.get(pod.namespace, "")) for pod in identity.pods), key=_place)
    facts = (
        Fact(name="pod not preferred", value=f"{pod.address}: {why}", source=source)
        for pod in pods
        for why, source in ((pod.redirected, "its network namespace"), (pod.bound, "firewall"))
        if why
    )
    return replace(identity, pods=tuple(pods), facts=(*identity.facts, *facts))


def _place(pod: Pod) -> tuple[bool, bool, bool]:
    """Where a pod belongs; pods of one place stay in their order.

    A redirected pod's connect may be answered by its proxy: it is behind others even where it is metrics-server's.
    """
    return bool(pod.redirected), not pod.name, bool(pod.bound)


def _redirected(chains: Sequence[str]) -> str:
    if not chains:
        return ""
    mesh = next((chain for chain in chains if chain.rsplit(maxsplit=1)[-1].startswith(_MESHES)), "")
    if mesh:
        return f"a service mesh redirects what it sends ({mesh} in its own namespace)"
    return f"its own namespace may redirect what it sends ({chains[0]})"


def _bound(firewall: Firewall, addresses: set[str], node: Node) -> Iterator[tuple[str, str]]:
    """Address and reason, for pods whose own chain leads to a policy's."""
    lines = list(_lines(firewall))
    isolated = {found[1] for line in lines if "KUBE-NWPLCY-" in line and (found := _POLICY_JUMP.search(line))}
    if isolated:
        for line in lines:
            found = _POD_JUMP.search(line) if "KUBE-POD-FW-" in line else None
            if found and found[1] in addresses and found[2] in isolated:
                yield found[1], f"a network policy is about it ({found[2]})"
    cables = {found[1] for line in lines if "cali-po-" in line and (found := _CALICO_POLICY.search(line))}
    for route in node.routes if cables else ():
        address = route.destination.partition("/")[0]
        if address in addresses and route.interface in cables:
            yield address, f"a network policy is about it (cali-fw-{route.interface})"


def _lines(firewall: Firewall) -> Iterator[str]:
    for reading in firewall.readings:
        if reading.name in _SAVES and ("KUBE-NWPLCY-" in reading.stdout or "cali-po-" in reading.stdout):
            yield from reading.stdout.splitlines()
