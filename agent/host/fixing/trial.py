"""Would an ACCEPT there help? Asked of the twin, by the broker, with its own reading of the rules and of the node.

The front has asked as well; its word does not count here. What the twin cannot model is not written.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network

from agent.host import operations
from agent.host.errors import FixRefused
from agent.host.fixing.guards import Address
from agent.model.capture import Firewall, Interface, Node
from agent.model.plan import Order
from agent.model.twin import TwinInsert, TwinInterface, TwinRequest, TwinResult, TwinVerdict

# IPVS binds every Service's address to one interface; rules ask for this packet's own.
_ADDRESSES = 256

Twin = Callable[[TwinRequest], TwinResult]


def pod_of(order: Order, node: Node) -> Address:
    """A pod's address out of the order's network: one that is there, else the third of the network.

    An address that the node holds itself (its bridge's, which other namespaces may hold as well) is no pod's: the way back to
    it is the loopback.
    """
    network, own = ip_network(order.flow.source), set(_held(node.interfaces))
    held = (address for space in node.namespaces for address in _held(space.interfaces))
    pods = (address for address in held if address in network and address not in own)
    return next(pods, network[min(2, network.num_addresses - 1)])


def _held(interfaces: Iterable[Interface]) -> Iterator[Address]:
    return (ip_address(text.split("/")[0].split("%")[0]) for link in interfaces for text in link.addresses)


def request_for(order: Order, node: Node, firewall: Firewall, pod: Address, iif: str) -> TwinRequest:
    """The pod's SYN, without any rule of ours."""
    return TwinRequest(
        firewall=firewall.digest(),
        source=pod,
        destination=ip_address(order.flow.destination),
        iif=iif,
        dport=order.flow.port,
        ports=tuple(link.name for link in node.interfaces if link.master == iif),
        interfaces=_interfaces(node, iif, order.flow.destination, pod.version),
    )


def insert_for(order: Order, position: int, spec: str) -> TwinInsert:
    """Our rule as the twin is told it."""
    place = order.place
    return TwinInsert(backend=place.backend, table="filter", chain=place.chain, position=position, spec=tuple(spec.split(" ")))


def insist_on_block(result: TwinResult) -> None:
    """The packet must be stopped as things are. Raises `FixRefused`."""
    _insist_on_word(result)
    if result.verdict is TwinVerdict.ACCEPT:
        sentence = "Refused: the rules let pods through already, so that there is nothing to open."
        raise FixRefused(operations.GUARD, sentence)


def insist_on_help(result: TwinResult) -> None:
    """The packet must get through with our rule. Raises `FixRefused`."""
    _insist_on_word(result)
    if result.verdict is not TwinVerdict.ACCEPT:
        by = ", ".join(dict.fromkeys(f"{rule.backend} {rule.family} {rule.table} {rule.chain}" for rule in result.rules))
        sentence = f"Refused: an ACCEPT there does not help, the packet is still stopped ({result.verdict}; it met {by})."
        raise FixRefused(operations.GUARD, sentence)


def _insist_on_word(result: TwinResult) -> None:
    why: Sequence[str] = (result.problem,) if result.problem else result.not_modelled
    if why or result.verdict is TwinVerdict.UNKNOWN:
        said = why[0] if why else "no answer came back in it"
        sentence = f"Refused: whether it would help could not be tried in the twin ({said})."
        raise FixRefused(operations.GUARD, sentence)


def _interfaces(node: Node, iif: str, destination: str, version: int) -> tuple[TwinInterface, ...]:
    """Interfaces with addresses of one IP version: the packet's own and the destination's first."""
    held = {
        link.name: tuple(text for text in link.addresses if (":" in text) == (version == 6) and "%" not in text)
        for link in node.interfaces
        if link.name != "lo"
    }

    def distance(name: str) -> int:
        return 0 if name == iif else 1 if any(text.split("/")[0] == destination for text in held[name]) else 2

    chosen, left = [], _ADDRESSES
    for name in sorted(held, key=distance):
        own = sorted(held[name], key=lambda text: text.split("/")[0] != destination)[:left]
        left -= len(own)
        if own:
            chosen.append(TwinInterface(name=name, addresses=tuple(own)))
    return tuple(chosen)
