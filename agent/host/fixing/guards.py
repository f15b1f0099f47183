"""The guards of the broker: each invariant of a fix, held against the node as the broker itself sees it.

The front has held them too, with more knowledge. These here trust nothing that it says: a front that was taken over can get no
other rule than the one that this module allows. Pure.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from agent.host import operations
from agent.host.errors import FixRefused
from agent.host.fixing.filter_table import FilterTable, target_of, words_of
from agent.model.plan import LONGEST_LEASE, Flow, Order, Place

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_ID = re.compile(r"[0-9a-f]{12}")
# iptables' own limit is 28 characters; nothing that a shell or a restore could read otherwise.
_CHAIN = re.compile(r"[A-Za-z0-9_.:+-]{1,28}")
_BACKENDS = ("legacy", "nft")
# Who is asked is a name for the audit log, not a place to write in.
_CALLER = re.compile(r"[\x20-\x7e]{0,200}")
# Pod networks of one node are /24 or so, of a whole cluster rarely over /12; what is wider is no pod network of a node.
_WIDEST = {4: 12, 6: 40}
_BLOCKS = ("DROP", "REJECT")
# Chains that their owners write anew, by how their names begin; the analysis has the same list with the owners' tools.
_OWNED = (
    *("KUBE-", "cali-", "CILIUM_", "WEAVE", "FLANNEL-", "CNI-", "DOCKER", "ts-", "f2b-", "ufw", "INPUT_ZONES", "INPUT_direct"),
    *("IN_", "PRE_", "POST_", "FWD_", "filter_", "LIBVIRT_", "AZURE-", "OVN-", "ANTREA-"),
)
# With one of these in INPUT, the end of INPUT belongs to them as well.
_MANAGERS = {"ufw": "ufw", "INPUT_ZONES": "firewalld", "INPUT_direct": "firewalld"}
_PORTS = ("--dport", "--dports", "--destination-port", "--destination-ports", "--ports")
_SOURCES = ("-s", "--source", "--src-range", "--match-set", "--src-type")
_INTERFACES = ("-i", "--in-interface", "--physdev-in")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the broker found out about the node: its own addresses, its pods' networks, the kubelet's ports.

    `uplink` are the addresses by which others know the node: they may be opened, and no pod network may hold one.
    """

    addresses: frozenset[Address]
    uplink: frozenset[Address]
    pod_networks: frozenset[Network]
    ports: frozenset[int]


def check_shape(order: Order, trial: int) -> None:
    """The order's own values: written as they must be, none out of bounds. Raises `FixRefused`."""
    _insist(bool(_ID.fullmatch(order.id)), "its id is not twelve hexadecimal digits")
    _insist(order.place.backend in _BACKENDS, "its backend is neither legacy nor nft")
    _insist(bool(_CHAIN.fullmatch(order.place.chain)), "its chain has a name that iptables does not take")
    _insist(order.place.nth >= 1, "its place is counted from 1")
    _insist(bool(_CALLER.fullmatch(order.caller)), "its caller is no plain name")
    check_lease(order.lease)
    _insist(order.lease <= trial, f"a fix begins with a trial of at most {trial} s: confirm it to have it last")


def check_lease(seconds: int) -> None:
    """Raises `FixRefused` where a lease is not from 1 s to 24 h."""
    _insist(1 <= seconds <= LONGEST_LEASE, f"a lease is from 1 to {LONGEST_LEASE} seconds, not {seconds}")


def check_flow(flow: Flow, facts: Facts) -> None:
    """From this node's own pods, to this node, to the kubelet. Raises `FixRefused`."""
    try:
        source, destination = ip_network(flow.source), ip_address(flow.destination)
    except ValueError as error:
        raise FixRefused(operations.GUARD, f"Refused: {error}.") from error
    # The rule is built from the text: 10.1 or ::ffff:0a.0.0.1 must not mean one thing here and another to iptables.
    _insist(str(source) == flow.source and str(destination) == flow.destination, "its addresses are not written in full")
    _insist(source.version == destination.version, "its source and destination are of different IP versions")
    _insist(source.prefixlen >= _WIDEST[source.version], f"{source} is too wide to be the pod network of a node")
    special = source.is_loopback or source.is_link_local or source.is_multicast or source.is_unspecified
    _insist(not special, f"{source} is no network of pods")
    own = any(_within(source, network) for network in facts.pod_networks)
    named = ", ".join(sorted(map(str, facts.pod_networks))) or "none is known; name it with --pod-cidr"
    _insist(own, f"{source} is not within this node's pod networks ({named})")
    held = [address for address in facts.uplink if address in source]
    _insist(not held, f"{source} holds this node's own address {', '.join(map(str, held))}")
    known = destination in facts.addresses & facts.uplink
    _insist(known, f"{destination} is not an address by which this node is known ({', '.join(sorted(map(str, facts.uplink)))})")
    _insist(not destination.is_loopback and not destination.is_link_local, f"{destination} is not an address that pods use")
    _insist(flow.port in facts.ports, f"port {flow.port} is not the kubelet's ({', '.join(map(str, sorted(facts.ports)))})")


def check_place(table: FilterTable, place: Place, flow: Flow) -> int:
    """The position that the rule would have, counted from 1. Raises `FixRefused`."""
    chain = place.chain
    _insist(chain in table.reached(), f"a packet at INPUT does not come to the chain {chain}")
    _insist(not chain.startswith(_OWNED), f"the chain {chain} is written by a program, which would undo it: use its own tool")
    manager = next((name for line in table.chains["INPUT"] for start, name in _MANAGERS.items() if _jumps(line, start)), "")
    _insist(not manager, f"{manager} manages INPUT here: use its own tool")
    position = table.position(chain, place.before, place.nth)
    if position is None:
        raise FixRefused(operations.CHANGED, f"The rule that blocks does not stand in {chain} any more: make a new plan.")
    if place.before:
        _insist(target_of(place.before) in _BLOCKS, "the rule that it would stand before does not block anything")
    else:
        _insist(table.policies.get(chain) == "DROP", f"the policy of {chain} does not block anything")
    for line in (*((place.before,) if place.before else ()), *table.leading_to(chain)):
        reason = intent_of(line, flow)
        _insist(not reason, f"the block looks meant, since it {reason} ({line}): ask who wrote it")
    return position


def check_count(live: int, most: int) -> None:
    """Raises `FixRefused` where as many fixes are alive as may be."""
    _insist(live < most, f"{live} fixes are alive on this node already, and more than {most} are not allowed")


def intent_of(line: str, flow: Flow) -> str:
    """Why a rule that blocks seems to mean this very traffic; empty where it speaks of nothing in particular."""
    words = words_of(line)
    for index, word in enumerate(words[:-1]):
        value = words[index + 1]
        negated = index > 0 and words[index - 1] == "!"
        if negated:
            continue
        if word in _PORTS and _names_port(value, flow.port):
            return f"names port {flow.port}"
        if word in _SOURCES and _names_source(word, value, flow.source):
            return f"names the pods' addresses ({word} {value})"
        if word in _INTERFACES and value not in ("lo", "+"):
            return f"names an interface ({value})"
    return ""


def _names_port(value: str, port: int) -> bool:
    """Whether it speaks of a few ports, this one among them. What cannot be read is taken for a yes."""
    total, found = 0, False
    for part in value.split(","):
        first, _, last = part.partition(":")
        try:
            low, high = int(first or 0), int(last or (65535 if ":" in part else first))
        except ValueError:
            return True
        total += high - low + 1
        found = found or low <= port <= high
    return found and total < 1024


def _names_source(word: str, value: str, source: str) -> bool:
    """Whether it speaks of addresses that overlap the pods'. Lists, ranges and sets are taken for a yes."""
    if word not in ("-s", "--source"):
        return True
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        return True
    return network.prefixlen > 0 and network.overlaps(ip_network(source))


def _jumps(line: str, start: str) -> bool:
    return target_of(line).startswith(start)


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def _insist(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FixRefused(operations.GUARD, f"Refused: {otherwise}.")
