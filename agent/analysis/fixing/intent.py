"""Does a rule that blocks mean this very traffic? A catch-all at the end of a chain does not; one that names it does."""

from ipaddress import ip_network

from agent.model.packet import Field, Packet
from agent.model.plan import Flow
from agent.model.ruleset import AnyOf, Compare, Intervals, Lookup, Masked, Names, Rule, Test, Unsure

# A rule that names fewer ports than this names each of them.
_FEW = 1024


def intent_of(rule: Rule, flow: Flow, packet: Packet) -> str:
    """What the rule names, as `names port 10250`; empty where it speaks of nothing in particular."""
    for statement in rule.statements:
        if isinstance(statement, Lookup) and not statement.negate:
            return "asks for a list of addresses or ports"
        if isinstance(statement, Unsure) and "match-set" in statement.text:
            return "asks for a list of addresses or ports"
        tests = statement.tests if isinstance(statement, AnyOf) and not statement.negate else (statement,)
        for test in tests:
            if isinstance(test, Compare) and not test.negate and (reason := _named(test, flow, packet)):
                return reason
    return ""


def _named(compare: Compare, flow: Flow, packet: Packet) -> str:
    if compare.field is Field.DPORT and _is_narrow(compare.test, flow.port):
        return f"names port {flow.port}"
    if compare.field is Field.SADDR and _overlaps(compare.test, flow):
        return "names the pods' addresses"
    if compare.field is Field.IIF and isinstance(compare.test, Names) and packet.iif and "lo" not in compare.test.patterns:
        return f"names the interface {', '.join(compare.test.patterns)}"
    return ""


def _is_narrow(test: Test, port: int) -> bool:
    if not isinstance(test, Intervals):
        return isinstance(test, Masked)
    size = sum(high - low + 1 for low, high in test.ranges)
    return size < _FEW and any(low <= port <= high for low, high in test.ranges)


def _overlaps(test: Test, flow: Flow) -> bool:
    network = ip_network(flow.source)
    first, last = int(network.network_address), int(network.broadcast_address)
    whole = (1 << network.max_prefixlen) - 1
    if isinstance(test, Intervals):
        return any(low <= last and first <= high and (low, high) != (0, whole) for low, high in test.ranges)
    return True
