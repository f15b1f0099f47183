"""The twin's network: interfaces with the node's names and addresses, and a wire on which the packet comes in.

Everything happens in the network namespace that the calling process has just made for itself, and ends with it. One end of the
wire carries the name of the packet's incoming interface; on the other, `OUTER`, frames are written and answers are read.
"""

import ctypes
import os
import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_interface
from pathlib import Path

from agent.host import command
from agent.model.twin import TWIN_INTERFACE, TwinRequest

OUTER = TWIN_INTERFACE
INNER_MAC, OUTER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
# Whom answers are sent to. Not OUTER's own address, so that the twin's stack drops what the wire brings back (PACKET_OTHERHOST)
# before any hook counts it.
STRANGER_MAC = "02:00:00:00:00:03"
_END = "kubereach-e"
_IPV6 = Path("/proc/sys/net/ipv6")
_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
# What the words of an `ip -batch` line may be; no name or address of a node has blanks or quotes.
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,14}")
_libc = ctypes.CDLL(None, use_errno=True)


class TwinError(Exception):
    """There is no twin; the message is a sentence."""


def leave() -> None:
    """Moves this process, which must have one thread only, into a new network namespace. Raises `TwinError`."""
    if _libc.unshare(_CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise TwinError(f"no namespace could be made for it: {reason}; this needs the capability SYS_ADMIN")


def bridge_calls(version: int) -> str:
    """Whether bridged packets meet iptables in the namespace we are in: `1`, `0`, or nothing without br_netfilter."""
    try:
        return _calls(version).read_text().strip()
    except FileNotFoundError:
        return ""


def build(request: TwinRequest, wanted: Sequence[str], calls: str) -> tuple[str, ...]:
    """Makes the interfaces, addresses and the way back to the packet's source.

    `wanted` are names that rules look up, `calls` is the node's own `bridge_calls`. Returns a sentence for each thing that
    could not be made like the node's. Raises `TwinError` without a wire.
    """
    port = _port(request)
    lines = ["link set lo up", *_wire(request.iif, port), *_others(request, wanted, port)]
    lines += [*_addresses(request), *_way_back(request)]
    done = command.run(("ip", "-batch", "-"), "\n".join((*lines, "")).encode())
    if done.status != 0:
        said = done.problem or " ".join(done.stderr.decode(errors="replace").split())
        raise TwinError(f"its interfaces could not be made: {said}")
    if not port or bridge_calls(request.source.version) == calls:
        return ()
    try:
        _calls(request.source.version).write_text(calls)
    except OSError as error:
        return (f"{_calls(request.source.version).name} could not be set to {calls}: {error.strerror}",)
    return ()


def _port(request: TwinRequest) -> str:
    """The only port of the bridge where it has one; with several, nobody knows by which the packet comes."""
    return request.ports[0] if len(request.ports) == 1 else ""


def _wire(iif: str, port: str) -> Iterator[str]:
    end = port or iif
    if port:
        yield f"link add name {_word(iif)} address {INNER_MAC} type bridge stp_state 0"
    mac = "" if port else f"address {INNER_MAC} "
    yield f"link add name {_word(end)} {mac}type veth peer name {OUTER} address {OUTER_MAC}"
    if port:
        yield f"link set {port} master {iif}"
    for name in dict.fromkeys((iif, end, OUTER)):
        yield from _up(name)


def _others(request: TwinRequest, wanted: Sequence[str], port: str) -> Iterator[str]:
    """The node's other interfaces. Nothing is ever sent on them."""
    named = [interface.name for interface in request.interfaces if interface.addresses] + list(wanted)
    names = [name for name in dict.fromkeys(named) if name not in ("lo", request.iif, port)]
    for number, name in enumerate(names):
        yield f"link add name {_word(name)} type veth peer name {_END}{number}"
        yield from _up(name)
        yield from _up(f"{_END}{number}")


def _up(name: str) -> Iterator[str]:
    if _IPV6.exists():  # without an address of its own choice IPv6 keeps silent, and no counter moves but by our packet
        yield f"link set {name} addrgenmode none"
    yield f"link set {name} up"


def _addresses(request: TwinRequest) -> Iterator[str]:
    held = set()
    for interface in request.interfaces:
        for text in interface.addresses:
            address = ip_interface(text)
            if address.version == request.source.version and not address.is_loopback:
                held.add(address.ip)
                yield _address(address.with_prefixlen, interface.name)
    if request.destination not in held:
        # Whoever asks about a packet takes its destination for an address of this node.
        yield _address(f"{request.destination}/{request.destination.max_prefixlen}", request.iif)


def _address(text: str, name: str) -> str:
    return f"address add {text} dev {_word(name)}" + (" nodad" if ":" in text else "")


def _way_back(request: TwinRequest) -> Iterator[str]:
    source = ip_address(str(request.source))
    yield f"route replace {source}/{source.max_prefixlen} dev {_word(request.iif)}"
    yield f"neighbour replace {source} lladdr {STRANGER_MAC} dev {_word(request.iif)} nud permanent"


def _word(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise TwinError(f"an interface of the name {name!r} is not made")
    return name


def _calls(version: int) -> Path:
    return Path("/proc/sys/net/bridge") / ("bridge-nf-call-iptables" if version == 4 else "bridge-nf-call-ip6tables")
