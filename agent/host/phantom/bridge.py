"""A phantom pod on the node's own bridge, where no CNI plugin can be used: a cable, a free address, a default route.

The cable's other end is in the phantom's namespace, so both go with it.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_interface, ip_network

from agent.host import command
from agent.model.capture import Interface

INTERFACE = "eth0"
# Allocators begin at the low end: the highest addresses are the last to be anybody's.
_CANDIDATES = 8


class BridgeError(Exception):
    """There is no phantom on a bridge; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge of the node that holds an address of the pods' network."""

    name: str
    address: IPv4Interface


def find_bridge(interfaces: Sequence[Interface], pod_cidrs: Sequence[str]) -> Bridge:
    """The first that does. Raises `BridgeError`."""
    networks = [network for text in pod_cidrs if isinstance(network := ip_network(text, strict=False), IPv4Network)]
    for interface in interfaces:
        for text in interface.addresses if interface.kind == "bridge" else ():
            address = ip_interface(text)
            if isinstance(address, IPv4Interface) and any(address.ip in network for network in networks):
                return Bridge(interface.name, address)
    raise BridgeError(
        f"no bridge of this node holds an IPv4 address of {', '.join(pod_cidrs) or 'the pod network, which is not known'}"
    )


def candidates(bridge: Bridge, pod_cidrs: Sequence[str], taken: Sequence[str]) -> Iterator[IPv4Address]:
    """Addresses to try, on the bridge's link and of the pods' network, highest first."""
    known = {*taken, str(bridge.address.ip)}
    networks = [ip_network(text, strict=False) for text in pod_cidrs]
    own = bridge.address.network
    found = 0
    for number in range(int(own.broadcast_address) - 1, int(own.network_address), -1):
        address = IPv4Address(number)
        if str(address) in known or not any(address in network for network in networks):
            continue
        yield address
        found += 1
        if found == _CANDIDATES:
            return


def plug_in(bridge: Bridge, pid: int) -> None:
    """Lays the cable from the bridge to the network namespace of process `pid`. Raises `BridgeError`."""
    cable = f"kphantom{secrets.token_hex(3)}"
    _batch((), f"link add {cable} type veth peer name {INTERFACE} netns {pid}", f"link set {cable} master {bridge.name} up")
    _batch(_inside(pid), "link set lo up", f"link set {INTERFACE} up")


def settle_down(bridge: Bridge, pid: int, address: IPv4Address) -> None:
    """Gives the phantom its address and its way out. Raises `BridgeError`."""
    length = bridge.address.network.prefixlen
    _batch(_inside(pid), f"addr add {address}/{length} dev {INTERFACE}", f"route add default via {bridge.address.ip}")


def _inside(pid: int) -> tuple[str, ...]:
    return ("nsenter", f"--net=/proc/{pid}/ns/net", "--")


def _batch(prefix: tuple[str, ...], *lines: str) -> None:
    done = command.run((*prefix, "ip", "-batch", "-"), "\n".join((*lines, "")).encode())
    if done.status != 0:
        said = done.problem or " ".join(done.stderr.decode(errors="replace").split())
        raise BridgeError(f"it could not be plugged into the bridge: {said}")
