"""Small rulesets and packets to walk, built from statements."""

from ipaddress import ip_address
from typing import Any

from agent.model.packet import Field, Packet
from agent.model.ruleset import Backend, Base, Chain, Compare, Hook, Intervals, Rule, Ruleset, Statement, Table, Unsure

POD, NODE = ip_address("10.244.4.138"), ip_address("172.31.16.124")
MAYBE = Unsure("-m limit", "a rate limit is kernel state")
TCP_ONLY = Compare(Field.PROTOCOL, Intervals(((6, 6),)))
UDP_ONLY = Compare(Field.PROTOCOL, Intervals(((17, 17),)))


def packet(**changes: Any) -> Packet:
    """The pod's SYN to the kubelet."""
    known = {"source": POD, "destination": NODE, "sport": 40000, "dport": 10250, "iif": "cni0", "local": (NODE,)}
    return Packet(**(known | changes))


def rule(*statements: Statement, **more: Any) -> tuple[tuple[Statement, ...], dict[str, Any]]:
    """A rule whose number is its place in the chain."""
    return statements, more


def chain(name: str, *rules: Any, base: Base | None = None) -> Chain:
    """A chain; a bare tuple of statements is a rule."""
    made = []
    for number, each in enumerate(rules, 1):
        statements, more = each if isinstance(each, tuple) and len(each) == 2 and isinstance(each[1], dict) else (each, {})
        body = statements if isinstance(statements, tuple) else (statements,)
        made.append(Rule(**({"number": number, "text": f"-A {name} rule {number}", "statements": body} | more)))
    return Chain(name, tuple(made), base)


def hung(
    name: str,
    *rules: Any,
    hook: Hook = Hook.INPUT,
    priority: int = 0,
    policy: str = "accept",
    kind: str = "filter",
    **more: Any,
) -> Chain:
    """A base chain."""
    return chain(name, *rules, base=Base(kind, hook, priority, policy, **more))


def table(*chains: Chain, name: str = "filter", family: str = "ip", backend: Backend = Backend.LEGACY) -> Table:
    """A table, iptables' own filter table unless told otherwise."""
    return Table(backend, family, name, chains)


def ruleset(*tables: Table, **more: Any) -> Ruleset:
    """All tables."""
    return Ruleset(tables, **more)


def filtering(*rules: Any, policy: str = "accept", others: tuple[Chain, ...] = ()) -> Ruleset:
    """A ruleset with one INPUT chain and the user chains it needs."""
    return ruleset(table(hung("INPUT", *rules, policy=policy), *others))
