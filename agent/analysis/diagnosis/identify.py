"""Who is who on this node, each answer with the place it was read from.

Sources are asked in order of authority: what the operator set, what the API says, what the kubelet was started with, what the
CNI was told, what the interfaces show. The first answer is used; later ones that differ become conflicts, not silence.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent.analysis.diagnosis import cni, literals, pods
from agent.analysis.diagnosis.recognise import recognise
from agent.analysis.diagnosis.targets import can_be_a_node
from agent.analysis.diagnosis.vantages import rank
from agent.model.capture import Configured, Interface, Listener, Namespace, Node, NodeObject, Process, Processes, TextFile
from agent.model.identity import Identity, Pod
from agent.model.report import Fact
from agent.model.settings import KUBELET_PORT, Settings

# Processes that are, or contain, a kubelet.
KUBELETS = ("kubelet", "kubelite", "k3s", "k3s-server", "k3s-agent", "rke2")
ANY_ADDRESS = ("", "*", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def identify(node: Node, processes: Processes, node_object: NodeObject | None, settings: Settings) -> Identity:
    """The node's addresses, pod networks, pods, peers and kubelet, from everything that was captured."""
    kubelet = next((process for process in processes.processes if process.name in KUBELETS), None)
    facts: list[Fact] = []
    conflicts: list[str] = []

    def choose(name: str, candidates: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """The values of the first source that has any, every value noted as a fact."""
        chosen: list[str] = []
        first_source = ""
        for value, source in candidates:
            first_source = first_source or source
            if source == first_source and value not in chosen:
                chosen.append(value)
            facts.append(Fact(name=name, value=value, source=source))
            if source != first_source and value not in chosen:
                conflicts.append(f"{name}: {first_source} says {', '.join(chosen)}, {source} says {value}")
        return tuple(chosen)

    told = [item for item in processes.configured if item.program in KUBELETS]
    cni_files = cni.files(node, processes)
    node_ips = choose("node IP", _node_ips(node, kubelet, node_object, settings))
    cidr_sources = list(_pod_cidrs(node, cni_files, kubelet, told, node_object, settings))
    pod_cidrs = choose("pod CIDR", cidr_sources)
    ports = choose("kubelet port", _kubelet_ports(kubelet, told, node_object, settings))
    port = int(ports[0]) if ports else KUBELET_PORT
    known = {address: f"{pod.namespace}/{pod.name}" for pod in pods.pod_objects(node_object) for address in pod.addresses}
    here = rank(tuple(pods.find(node, pod_cidrs, node_ips, known)), processes, node.namespaces)
    facts.extend(pods.facts(here, known))
    pod_cidrs, unused = pods.used(pod_cidrs, [cidr for cidr, _ in cidr_sources], here)
    conflicts.extend(unused)
    facts.extend(recognise(node, processes, cni_files))
    peers = choose("peer", _peers(node, pod_cidrs, node_ips, settings))
    listener = _listener(processes, port, node_ips)
    conflicts.extend(_foreign_node_ips(node, node_ips))
    return Identity(
        node_name=settings.node_name or (node_object.name if node_object else "") or node.hostname,
        node_ips=node_ips,
        pod_cidrs=pod_cidrs,
        kubelet_port=port,
        pods=here,
        peers=peers,
        kubelet=kubelet,
        listener=listener,
        facts=tuple(dict.fromkeys(facts)),
        conflicts=tuple(conflicts),
        problems=(*_missing(node_ips, pod_cidrs, here, node.namespaces), *_never_asked((*node_ips, *peers))),
    )


def flag(process: Process | None, name: str) -> str:
    """The value of `--name=value` or `--name value` on a process's command line, or an empty string."""
    argv = process.argv if process else ()
    for index, argument in enumerate(argv):
        if argument == f"--{name}" and index + 1 < len(argv):
            return argv[index + 1]
        if argument.startswith(f"--{name}="):
            return argument.split("=", 1)[1]
    return ""


def _node_ips(
    node: Node, kubelet: Process | None, node_object: NodeObject | None, settings: Settings
) -> Iterator[tuple[str, str]]:
    yield from _valid(settings.node_ips, "settings", literals.address)
    if node_object:
        internal = [address for kind, address in node_object.addresses if kind == "InternalIP"]
        yield from _valid(internal, "Node object", literals.address)
    yield from _valid(_split(flag(kubelet, "node-ip")), "kubelet --node-ip", literals.address)
    for route in node.routes:
        if route.destination in literals.DEFAULTS and route.kind == "unicast":
            addresses = [route.source] if route.source else _global_addresses(node.interfaces, route.interface)
            yield from _valid(addresses, f"address of {route.interface}, which has the default route", literals.address)


def _pod_cidrs(  # noqa: PLR0913, PLR0917 - one for each source
    node: Node,
    cni_files: Sequence[TextFile],
    kubelet: Process | None,
    told: Sequence[Configured],
    node_object: NodeObject | None,
    settings: Settings,
) -> Iterator[tuple[str, str]]:
    yield from _valid(settings.pod_cidrs, "settings", literals.network)
    if node_object:
        yield from _valid(node_object.pod_cidrs, "Node object", literals.network)
    yield from _valid(_split(flag(kubelet, "pod-cidr")), "kubelet --pod-cidr", literals.network)
    for item in told:
        yield from _valid(_split(item.value) if item.key == "podCIDR" else (), f"podCIDR in {item.path}", literals.network)
    for file in cni_files:
        yield from _valid(cni.subnets(file.text), f"CNI configuration {file.path}", literals.network)
    for interface in node.interfaces:
        if interface.kind == "bridge" and not interface.name.startswith(("docker", "br-", "virbr", "lxc")):
            found = [str(item) for item in literals.networks(interface.addresses) if not item.is_link_local]
            yield from _valid(found, f"address of bridge {interface.name}", literals.network)


def _kubelet_ports(
    kubelet: Process | None, told: Sequence[Configured], node_object: NodeObject | None, settings: Settings
) -> Iterator[tuple[str, str]]:
    if settings.kubelet_port is not None:
        yield str(settings.kubelet_port), "settings"
    if node_object and node_object.kubelet_port:
        yield str(node_object.kubelet_port), "Node object"
    given = flag(kubelet, "port")
    if given.isdecimal() and 0 < int(given) < 65536:
        yield given, "kubelet --port"
    for item in told:
        if item.key == "port" and item.value.isdecimal() and 0 < int(item.value) < 65536:
            yield item.value, f"port in {item.path}"


def _peers(node: Node, pod_cidrs: Sequence[str], node_ips: Sequence[str], settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _valid(settings.peers, "settings", literals.address)
    own = {str(network) for text in pod_cidrs if (network := literals.network(text))}
    for route in node.routes:
        routed = route.gateway and route.destination not in literals.DEFAULTS and route.destination not in own
        if routed and route.gateway not in node_ips:
            yield from _valid([route.gateway], f"route to {route.destination}", literals.address)


def _listener(processes: Processes, port: int, node_ips: Sequence[str]) -> Listener | None:
    reachable = {*ANY_ADDRESS, *node_ips}
    on_port = [listener for listener in processes.listeners if listener.port == port]
    return next((listener for listener in on_port if listener.address in reachable), on_port[0] if on_port else None)


def _foreign_node_ips(node: Node, node_ips: Sequence[str]) -> Iterator[str]:
    held = {text.split("/")[0] for interface in node.interfaces for text in interface.addresses}
    for address in node_ips:
        if held and address not in held:
            yield f"node IP {address} is on no interface of this node"


def _missing(
    node_ips: Sequence[str], pod_cidrs: Sequence[str], pods: Sequence[Pod], namespaces: Sequence[Namespace]
) -> Iterator[str]:
    if not node_ips:
        yield "the node's IP could not be found: give it with --node-ip"
    if not pod_cidrs:
        yield "the node's pod CIDR could not be found: give it with --pod-cidr"
    closed = [namespace.problem for namespace in namespaces if namespace.problem]
    if closed:
        what = "a network namespace" if len(closed) == 1 else f"{len(closed)} network namespaces"
        hidden = "pods in there are not known" if pods else "pods are not known, so nothing could be tried from a pod"
        yield f"{what} could not be looked into ({closed[0].rstrip('.')}): {hidden}"
    elif pod_cidrs and not pods:
        yield f"no pod with an address in {', '.join(pod_cidrs)} runs here, so nothing could be tried from a pod"


def _never_asked(addresses: Sequence[str]) -> Iterator[str]:
    for address in addresses:
        if not can_be_a_node(address):
            yield f"{address} cannot be a node's address, so nothing is sent there"


def _global_addresses(interfaces: Sequence[Interface], name: str) -> list[str]:
    texts = [text for interface in interfaces if interface.name == name for text in interface.addresses]
    return [text.split("/")[0] for text in texts if not text.startswith(("fe80", "127."))]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _valid(texts: Iterable[str], source: str, kind: Any) -> Iterator[tuple[str, str]]:
    for text in texts:
        value = kind(text)
        if value is not None:
            yield str(value), source
