"""The node as its kernel and its files show it: interfaces, routes, every network namespace, the CNI's configuration."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from agent.host import nat_chains, rtnetlink, saved_rules
from agent.host.errors import HostError, NamespaceGone
from agent.host.namespaces import Directory
from agent.model.capture import Interface, Namespace, Node, PodRoute, Problem, Route, TextFile
from agent.model.settings import Settings

_CNI_SUFFIXES = (".conf", ".conflist", ".json")


def capture(settings: Settings, directory: Directory) -> Node:
    """Looks at the whole node. What could not be looked at is in `problems`, or in the namespace's own `problem`."""
    problems: list[Problem] = []
    interfaces, routes = _network(problems)
    found, unseen = directory.scan()
    problems += unseen
    namespaces = (_namespace(directory, inode, path) for inode, path in sorted(found.items()))
    return Node(
        hostname=socket.gethostname(),
        interfaces=interfaces,
        routes=routes,
        namespaces=tuple(namespace for namespace in namespaces if namespace is not None),
        cni_files=_cni_files(settings.cni_dirs, problems),
        firewall_files=saved_rules.capture(settings.etc_dirs, problems),
        problems=tuple(problems),
    )


def pod_route(address: IPv4Address | IPv6Address) -> PodRoute:
    """By which interface the host would send to `address`, which is the one its packets come in by."""
    try:
        with rtnetlink.Reader() as reader:
            index = reader.route_interface(address)
            name = next((link.name for link in reader.interfaces() if link.index == index), "")
    except OSError as error:
        return PodRoute(pod=str(address), problem=f"the kernel knows no way to {address}: {error.strerror or error}")
    problem = "" if name else f"the way to {address} has no interface"
    return PodRoute(pod=str(address), interface=name, problem=problem)


def _network(problems: list[Problem]) -> tuple[tuple[Interface, ...], tuple[Route, ...]]:
    try:
        with rtnetlink.Reader() as reader:
            interfaces = reader.interfaces()
            return interfaces, reader.routes(interfaces)
    except OSError as error:
        problems.append(Problem(what="interfaces and routes", why=f"rtnetlink did not answer: {error.strerror or error}"))
        return (), ()


def _namespace(directory: Directory, inode: int, path: str) -> Namespace | None:
    """One namespace, None where it ended since it was found."""
    try:
        # Little is done inside; a socket stays in its namespace, so that the reading needs no thread that is elsewhere.
        reader, nat = directory.inside(inode, _senses)
        with reader:
            interfaces = reader.interfaces()
            return Namespace(inode=inode, path=path, interfaces=interfaces, routes=reader.routes(interfaces), nat=nat)
    except NamespaceGone:
        return None
    except HostError as error:
        return Namespace(inode=inode, path=path, problem=str(error))
    except OSError as error:
        return Namespace(inode=inode, path=path, problem=f"rtnetlink did not answer in it: {error.strerror or error}")


def _senses() -> tuple[rtnetlink.Reader, tuple[str, ...] | None]:
    """In the calling thread's namespace. Its chains may be asked for with NET_ADMIN only, its addresses by everybody."""
    try:
        nat = nat_chains.redirecting()
    except OSError:
        nat = None
    return rtnetlink.Reader(), nat


def _cni_files(directories: Sequence[str], problems: list[Problem]) -> tuple[TextFile, ...]:
    """The files a container runtime would read, in its order (by name)."""
    files: list[TextFile] = []
    for directory in directories:
        try:
            paths = sorted(path for path in Path(directory).iterdir() if path.suffix in _CNI_SUFFIXES)
        except FileNotFoundError:
            continue  # no CNI on this machine, or elsewhere: the identity then rests on the other sources
        except OSError as error:
            problems.append(Problem(what=directory, why=f"cannot be listed: {error.strerror}", remedy="run as root"))
            continue
        for path in paths:
            try:
                files.append(TextFile(path=str(path), text=saved_rules.read_text(path)))
            except OSError as error:
                problems.append(Problem(what=str(path), why=f"cannot be read: {error.strerror or error}"))
    return tuple(files)
