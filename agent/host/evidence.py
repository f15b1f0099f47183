"""What lies on the packet's way beside the firewall's rules, from the kernel, item by item; what cannot be read says so."""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeVar

from agent.host import bpf, cgroup, listeners, systemd
from agent.host.errors import HostError
from agent.host.lookups import Link, Lookups
from agent.host.namespaces import Directory
from agent.host.operations import EvidenceArguments
from agent.model.evidence import (
    ENTERS_NODE,
    LEAVES_NODE,
    LEAVES_POD,
    Counters,
    Lookup,
    Neighbour,
    NodeEvidence,
    PolicyRule,
    Program,
    Unread,
)

T = TypeVar("T")
Address = IPv4Address | IPv6Address

_NET = Path("/proc/thread-self/net")
_FILES = ("snmp", "netstat", "stat/nf_conntrack")
_SYSCTLS = Path("/proc/sys/net")
_CHECKS = ("rp_filter", "accept_local", "log_martians", "src_valid_mark")
_CONNTRACK = ("nf_conntrack_count", "nf_conntrack_max")
_TCX = ((bpf.TCX_INGRESS, "tcx ingress"), (bpf.TCX_EGRESS, "tcx egress"))


def counters(directory: Directory, namespace: int, port: int) -> Counters:
    """The counters of the node and of one pod's namespace, now. Raises nothing: see `unread`."""
    unread: list[Unread] = []
    heard = _ask("the listener's drops", unread, lambda: listeners.ask(port))
    with_drops = _ask("tc's drops", unread, _dropped)
    return Counters(
        node=_files("node", unread) | _sysctls("netfilter", _CONNTRACK),
        pod=_ask("the pod's counters", unread, lambda: directory.inside(namespace, lambda: _files("pod", unread))) or {},
        drops=heard.drops if heard else None,
        programs=with_drops or {},
        unread=tuple(unread),
    )


def gather(directory: Directory, asked: EvidenceArguments) -> NodeEvidence:
    """Everything beside the counters, for packets from the pod to the node. Raises nothing: see `unread`."""
    unread: list[Unread] = []
    namespace, pod, node, port, kubelet = asked.namespace, asked.pod, asked.node, asked.port, asked.kubelet
    wanted = {str(pod), str(node)}
    inside = _ask("the pod's cable and routes", unread, lambda: _of_pod(directory, namespace, pod, node, wanted))
    end, there, pod_neighbours, pod_programs = inside or (None, None, (), ())
    links = _ask("interfaces", unread, lambda: _reader(lambda reader: reader.links())) or ()
    cable = next((link for link in links if end and link.index == end.peer and link.peer == end.index), None)
    entry = next((link for link in links if cable and link.index == cable.master), cable)
    routes = _ask("routes", unread, lambda: _reader(lambda reader: _of_node(reader, entry, pod, node, wanted)))
    lookups, rules, neighbours = routes or ((), (), ())
    ways = [link for link in dict.fromkeys((cable, entry)) if link]
    heard = _ask("the listener", unread, lambda: listeners.ask(port))
    place = cgroup.place_of(kubelet, heard.cgroups if heard else (), unread) if kubelet else None
    return NodeEvidence(
        cable=cable.name if cable else "",
        entry=entry.name if entry else "",
        sysctls=_sysctls("netfilter", _CONNTRACK) | _checks(entry),
        mtus={f"pod {end.name}": end.mtu} | {f"node {link.name}": link.mtu for link in ways} if end else {},
        lookups=(*((there,) if there else ()), *lookups),
        rules=rules,
        neighbours=(*pod_neighbours, *neighbours),
        programs=(*pod_programs, *_on_links(ways, unread), *(cgroup.programs(*place, unread) if place else ())),
        cgroup=place[1] if place else "",
        unit=systemd.unit(place[1], unread) if place else None,
        services=systemd.services(unread),
        unread=tuple(unread),
    )


def _of_pod(
    directory: Directory, namespace: int, pod: Address, node: Address, wanted: set[str]
) -> tuple[Link | None, Lookup, tuple[Neighbour, ...], tuple[Program, ...]]:
    """The pod's end of its cable, its way to the node, its next hop's entry in the neighbour table, programs on its end."""
    with directory.inside(namespace, Lookups) as reader:
        way = reader.lookup(LEAVES_POD, pod, node)
        owner = next((one.name for one in reader.interfaces() if f"{pod}" in [a.split("/")[0] for a in one.addresses]), "")
        end = next((link for link in reader.links() if link.name == owner), None)
        next_hop = {way.gateway} if way.gateway else set()
        programs = (*_xdp(end, "pod"), *reader.filters(end, "pod")) if end else ()
        return end, way, reader.neighbours("pod", frozenset(wanted | next_hop)), programs


def _of_node(
    reader: Lookups, entry: Link | None, pod: Address, node: Address, wanted: set[str]
) -> tuple[tuple[Lookup, ...], tuple[PolicyRule, ...], tuple[Neighbour, ...]]:
    back = reader.lookup(LEAVES_NODE, node, pod)
    there = (reader.lookup(ENTERS_NODE, pod, node, entry.index),) if entry else ()
    next_hop = {back.gateway} if back.gateway else set()
    return (*there, back), reader.rules(), reader.neighbours("node", frozenset(wanted | next_hop))


def _on_links(links: list[Link], unread: list[Unread]) -> Iterator[Program]:
    for link in links:
        yield from _xdp(link, "node")
        yield from _ask("tc filters", unread, lambda link=link: _reader(lambda r: tuple(r.filters(link, "node")))) or ()  # type: ignore[misc]
    try:
        for link in links:
            for kind, hook in _TCX:
                for number in bpf.query(link.index, kind):
                    yield Program(hook=hook, where=link.name, number=number, name=bpf.name(number))
    except OSError as error:
        unread.append(Unread(what="tcx programs", why=cgroup.refusal(error)))


def _xdp(link: Link | None, place: str) -> Iterator[Program]:
    if link and link.xdp is not None:
        yield Program(hook="xdp", where=link.name, place=place, number=link.xdp)


def _dropped() -> dict[str, int]:
    with Lookups() as reader:
        names = {link.index: link.name for link in reader.links()}
        return {names.get(qdisc.index, str(qdisc.index)): qdisc.drops for qdisc in reader.qdiscs()}


def _reader(work: Callable[[Lookups], T]) -> T:
    with Lookups() as reader:
        return work(reader)


def _ask(what: str, unread: list[Unread], work: Callable[[], T]) -> T | None:
    try:
        return work()
    except (OSError, HostError) as error:  # a namespace that is gone is a HostError, too
        unread.append(Unread(what=what, why=(error.strerror if isinstance(error, OSError) else None) or str(error)))
        return None


def _files(place: str, unread: list[Unread]) -> dict[str, str]:
    found = {}
    for name in _FILES:
        try:
            found[name] = (_NET / name).read_text(encoding="ascii", errors="replace")
        except OSError as error:
            unread.append(Unread(what=f"/proc/net/{name} of the {place}", why=error.strerror or str(error)))
    return found


def _sysctls(folder: str, names: tuple[str, ...]) -> dict[str, str]:
    """Those that this kernel has; one that is not there is none of its features (nf_conntrack not loaded, for one)."""
    paths = ((name, _SYSCTLS / folder / name) for name in names)
    return {f"{name}": path.read_text(encoding="ascii").strip() for name, path in paths if path.exists()}


def _checks(entry: Link | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("all", *((entry.name,) if entry else ())):
        values = _sysctls(f"ipv4/conf/{name}", _CHECKS)
        found |= {f"conf/{name}/{key}": value for key, value in values.items()}
    return found
