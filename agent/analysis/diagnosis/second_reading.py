"""The legacy INPUT chain read twice: iptables-legacy-save's text as we parse it, against python-iptables' own decoding.

The two share nothing above the kernel's table blob, so where they agree, the rule we name is the rule that is there.
"""

from collections.abc import Iterator
from ipaddress import ip_network

from agent.model.capture import LegacyChain, LegacyRule
from agent.model.packet import PROTOCOLS, Field
from agent.model.ruleset import Accept, Backend, Chain, Compare, Drop, Intervals, Jump, Reject, Return, Rule, Ruleset

_VERDICTS = {Accept: "ACCEPT", Drop: "DROP", Reject: "REJECT", Return: "RETURN"}


def differences(ruleset: Ruleset, second: LegacyChain) -> tuple[str, ...]:
    """Sentences on where the two readings of legacy `filter INPUT` differ; empty when they agree."""
    first = _input_chain(ruleset)
    if first is None:
        return ("python-iptables sees a legacy INPUT chain that iptables-legacy-save does not show",)
    if len(first.rules) != len(second.rules):
        return (f"iptables-legacy-save shows {len(first.rules)} rules in INPUT, python-iptables {len(second.rules)}",)
    return tuple(_differing(first, second))


def _input_chain(ruleset: Ruleset) -> Chain | None:
    for table in ruleset.tables:
        if (table.backend, table.family, table.name) == (Backend.LEGACY, "ip", "filter"):
            return table.chain("INPUT")
    return None


def _differing(first: Chain, second: LegacyChain) -> Iterator[str]:
    policy = first.base.policy.upper() if first.base else ""
    if second.policy and second.policy.upper() != policy:
        yield f"iptables-legacy-save shows policy {policy}, python-iptables {second.policy}"
    for ours, theirs in zip(first.rules, second.rules, strict=True):
        for what, one, other in _traits(ours, theirs):
            if one != other:
                shown = f"iptables-legacy-save shows {what} {one or 'none'}, python-iptables {other or 'none'}"
                yield f"rule {ours.number}: {shown}"


def _traits(ours: Rule, theirs: LegacyRule) -> Iterator[tuple[str, str, str]]:
    """The parts of a rule that both readings state plainly; a target of ours that has no plain name is left out."""
    target = _target(ours)
    if target:
        yield "target", target, theirs.target
    yield "source", _network(ours, Field.SADDR), _normal(theirs.source)
    yield "destination", _network(ours, Field.DADDR), _normal(theirs.destination)
    protocol = _protocol(ours)
    if protocol is not None:
        yield "protocol", protocol, "" if theirs.protocol in ("ip", "all", "0") else theirs.protocol


def _target(rule: Rule) -> str:
    for statement in rule.statements:
        if isinstance(statement, Jump):
            return statement.chain
        if type(statement) in _VERDICTS:
            return _VERDICTS[type(statement)]
    return ""


def _network(rule: Rule, field: Field) -> str:
    for statement in rule.statements:
        if isinstance(statement, Compare) and statement.field is field and isinstance(statement.test, Intervals):
            low, high = statement.test.ranges[0]
            size = high - low + 1
            if len(statement.test.ranges) == 1 and size & (size - 1) == 0:
                return f"{'!' if statement.negate else ''}{ip_network((low, 32 - (size.bit_length() - 1)))}"
    return ""


def _normal(text: str) -> str:
    """python-iptables writes `10.0.0.0/255.0.0.0`, and `0.0.0.0/0.0.0.0` for any."""
    negated, address = text.startswith("!"), text.lstrip("!")
    try:
        network = ip_network(address, strict=False)
    except ValueError:
        return text
    return "" if network.prefixlen == 0 and not negated else f"{'!' if negated else ''}{network}"


def _protocol(rule: Rule) -> str | None:
    """The protocol's name; empty for any; None where it is negated or has no name both sides know."""
    names = {number: name for name, number in PROTOCOLS.items()}
    for statement in rule.statements:
        if isinstance(statement, Compare) and statement.field is Field.PROTOCOL:
            plain = isinstance(statement.test, Intervals) and not statement.negate
            return names.get(statement.test.ranges[0][0]) if plain and isinstance(statement.test, Intervals) else None
    return ""
