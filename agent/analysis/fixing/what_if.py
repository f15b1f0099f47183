"""The ruleset with our rule in it, and what that changes: for the pod's packet everything, for 200 others nothing."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from agent.analysis.path.explain import explain
from agent.analysis.readers.parse_iptables import parse
from agent.model.explanation import Explanation, RuleRef
from agent.model.packet import PROTOCOLS, IPAddress, Packet
from agent.model.plan import BlastRadius, Flow, Tried
from agent.model.ruleset import Backend, Chain, Hook, Rule, Ruleset, Table

MATRIX = 200
_PORTS = (22, 53, 80, 443, 2379, 6443, 8080, 10248, 10249, 10251, 10255, 10256, 30000, 32767, 65535, 1)


def with_rule(ruleset: Ruleset, place: RuleRef, position: int, spec: str) -> Ruleset:
    """The ruleset with a rule (iptables' words, from the source on) put in at a position, counted from 1."""
    family = "ip6" if place.family == "ip6" else "ip"
    text = f"*filter\n:{place.chain} - [0:0]\n-A {place.chain} {spec}\nCOMMIT\n"
    parsed = parse(text, Backend(place.backend), family)
    (rule,) = (rule for table in parsed.tables for chain in table.chains for rule in chain.rules)

    def changed(table: Table) -> Table:
        if (table.backend, table.family, table.name) != (place.backend, place.family, place.table):
            return table
        chains = (_with(chain, position, rule) if chain.name == place.chain else chain for chain in table.chains)
        return replace(table, chains=tuple(chains))

    return replace(ruleset, tables=tuple(changed(table) for table in ruleset.tables))


def blast_radius(before: Ruleset, after: Ruleset, packet: Packet, flow: Flow) -> BlastRadius:
    """Walks 200 packets that the rule must not concern through both. Those that fare otherwise are named."""
    one, other = _entering(before), _entering(after)
    packets = _others(packet, flow)
    changed = []
    for each in packets:
        was, now = explain(one, each), explain(other, each)
        if _fate(was) != _fate(now):
            changed.append(Tried(packet=_words(each), before=was.verdict.value, after=now.verdict.value))
    return BlastRadius(tried=len(packets), changed=tuple(changed))


def _others(packet: Packet, flow: Flow) -> tuple[Packet, ...]:
    """Packets near the one that is opened for, each off by one thing: another port, protocol, source or destination."""
    network = ip_network(flow.source)
    pod, node = packet.source, packet.destination
    sources: list[IPAddress] = [_next_to(network.broadcast_address, 1), _next_to(network.network_address, -1), node]
    sources += [ip_address("2001:db8::1") if packet.version == 6 else ip_address("192.0.2.1")]
    sources += [_next_to(node, step) for step in (1, 2, 3)]
    found = [replace(packet, dport=port) for port in _PORTS if port != flow.port]
    found += [replace(packet, protocol=PROTOCOLS[name], tcp_flags=None) for name in ("udp", "sctp")]
    found += [replace(packet, source=source) for source in sources]
    found += [replace(packet, destination=address) for address in packet.local if address != node and _alike(address, node)][
        :20
    ]
    ports = iter(range(1024, 65536))
    while len(found) < MATRIX:
        port = next(ports)
        if port == flow.port:
            continue
        source = sources[port % len(sources)] if port % 2 else pod
        found.append(replace(packet, source=source, dport=port if port % 3 else _PORTS[port % len(_PORTS)], sport=port))
    return tuple(found[:MATRIX])


def _with(chain: Chain, position: int, rule: Rule) -> Chain:
    rules = (*chain.rules[: position - 1], rule, *chain.rules[position - 1 :])
    return replace(chain, rules=tuple(replace(each, number=number) for number, each in enumerate(rules, 1)))


def _entering(ruleset: Ruleset) -> Ruleset:
    """Only the tables that a packet to this node can meet: the walk is then as fast as it can be."""
    hooks = (Hook.INGRESS, Hook.PREROUTING, Hook.INPUT)
    kept = (table for table in ruleset.tables if any(chain.base and chain.base.hook in hooks for chain in table.chains))
    return replace(ruleset, tables=tuple(kept))


def _fate(explanation: Explanation) -> tuple[str, str | None, str]:
    rule = explanation.decided_by
    return explanation.verdict.value, explanation.reject_with, rule.text if rule else ""


def _next_to(address: IPAddress, step: int) -> IPAddress:
    kind = IPv6Address if address.version == 6 else IPv4Address
    return kind((int(address) + step) % (1 << address.max_prefixlen))


def _alike(one: IPAddress, other: IPAddress) -> bool:
    return one.version == other.version


def _words(packet: Packet) -> str:
    return f"{packet.source} -> {packet.destination} protocol {packet.protocol} port {packet.dport}"
