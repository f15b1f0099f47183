"""The part of a firewall that a packet to this node meets: prerouting and input, and the chains they jump to.

Rules are shown by their owner's own print with their counters, not as the statements of the model: those are the walk's
business. What the model did not understand of a rule is said beside it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from agent.analysis.readers.read import read_firewall
from agent.model.ruleset import AnyOf, Chain, Forget, Hook, Jump, Rule, Ruleset, Statement, Table, Unclear, Unsure, VerdictMap
from agent.service.host import Host

SCHEMA = "kubereach.dev/firewall/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRule:
    """One rule. `rule_number` counts from 1; `not_understood` says what of it the model cannot decide, and why."""

    rule_number: int
    handle: int | None
    packets: int | None
    bytes: int | None
    text: str
    not_understood: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChain:
    """One chain; `hook`, `priority` and `policy` are set for base chains alone."""

    backend: str
    family: str
    table: str
    chain: str
    hook: str | None
    priority: int | None
    policy: str | None
    packets: int | None
    bytes: int | None
    rules: tuple[PathRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPath:
    """Tables in the order they were read, in each the base chains first. `unread` has a sentence for each table or backend that
    is missing here altogether, `problems` one for each remark on what is here.
    """

    schema: str = SCHEMA
    chains: tuple[PathChain, ...]
    problems: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def read_live(host: Host) -> Ruleset:
    """The node's rules as they are now. Raises `HostError`, `BrokerGone`."""
    return read_firewall(host.firewall())


def narrow(ruleset: Ruleset) -> Ruleset:
    """The same ruleset with the chains alone that a packet to this node can meet."""
    narrowed = (replace(table, chains=tuple(_met(table))) for table in ruleset.tables)
    return replace(ruleset, tables=tuple(table for table in narrowed if table.chains))


def trace_path(ruleset: Ruleset) -> InputPath:
    """The input path as plain data."""
    tables = narrow(ruleset).tables
    return InputPath(
        chains=tuple(_chain(table, chain) for table in tables for chain in table.chains),
        problems=ruleset.problems,
        unread=ruleset.unread,
    )


def _met(table: Table) -> Iterator[Chain]:
    waiting = [chain.name for chain in table.chains if chain.base and chain.base.hook in (Hook.PREROUTING, Hook.INPUT)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        chain = table.chain(name)
        if chain is not None and name not in seen:
            seen.add(name)
            yield chain
            waiting.extend(target for rule in chain.rules for target in _targets(rule))


def _targets(rule: Rule) -> Iterator[str]:
    for statement in rule.statements:
        if isinstance(statement, Jump):
            yield statement.chain
        elif isinstance(statement, VerdictMap):
            yield from (verdict.chain for _, verdict in statement.entries if isinstance(verdict, Jump))


def _chain(table: Table, chain: Chain) -> PathChain:
    base = chain.base
    counter = base.counter if base else None
    return PathChain(
        backend=table.backend.value,
        family=table.family,
        table=table.name,
        chain=chain.name,
        hook=base.hook.value if base else None,
        priority=base.priority if base else None,
        policy=base.policy if base else None,
        packets=counter.packets if counter else None,
        bytes=counter.bytes if counter else None,
        rules=tuple(_rule(rule) for rule in chain.rules),
    )


def _rule(rule: Rule) -> PathRule:
    return PathRule(
        rule_number=rule.number,
        handle=rule.handle,
        packets=rule.counter.packets if rule.counter else None,
        bytes=rule.counter.bytes if rule.counter else None,
        text=rule.text,
        not_understood=tuple(f"{item.text}: {item.why}" for item in _unknowns(rule.statements)),
    )


def _unknowns(statements: Iterable[Statement]) -> Iterator[Unsure | Unclear | Forget]:
    for statement in statements:
        if isinstance(statement, Unsure | Unclear | Forget):
            yield statement
        elif isinstance(statement, AnyOf):
            yield from _unknowns(statement.tests)
        elif isinstance(statement, VerdictMap):
            yield from _unknowns(verdict for _, verdict in statement.entries)
