"""The part of a firewall that a packet to this node meets: prerouting and input, and the chains they jump to.

Rules are shown by their owner's own print with their counters, not as the statements of the model: those are the walk's
business. What the model did not understand of a rule is said beside it, and so is that no packet ever comes to it, and whose it
is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from agent.analysis.diagnosis.provenance import HAND, Owner, owner_of
from agent.analysis.path.losses import targets
from agent.analysis.path.references import refer
from agent.analysis.readers.read import read_firewall
from agent.analysis.relevance.shadows import Shadow, Shadows, lost_chains
from agent.model.capture import Capture
from agent.model.ruleset import AnyOf, Chain, Forget, Hook, Rule, Ruleset, Statement, Table, Unclear, Unsure, VerdictMap
from agent.service.host import Host

SCHEMA = "kubereach.dev/firewall/v1"
MAX_NAMES = 10  # of unused chains in one sentence; data output has them all
Place = tuple[str, str, str, str, int | None]  # backend, family, table, chain, rule number


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRule:
    """One rule. `rule_number` counts from 1; `not_understood` says what of it the model cannot decide, and why.

    `remark` tells why no packet comes to it, `shadowed_by` is the number of the rule of this chain that takes them; `owner` is
    whose it is: the owner of the chain it jumps to, else of the chain it stands in.
    """

    rule_number: int
    handle: int | None
    packets: int | None
    bytes: int | None
    text: str
    not_understood: tuple[str, ...] = ()
    remark: str = ""
    shadowed_by: int | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChain:
    """One chain; `hook`, `priority` and `policy` are set for base chains alone. `owner` names the tool to change it with."""

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
    remark: str = ""
    owner: Owner = HAND


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedChain:
    """A user chain that no base chain of its table leads to, on whatever hook."""

    backend: str
    family: str
    table: str
    chain: str
    rules: int
    owner: Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPath:
    """Tables in the order they were read, in each the base chains first. `unread` has a sentence for each table or backend that
    is missing here altogether, `problems` one for each remark on what is here. `unused` are chains that stand nowhere.
    """

    schema: str = SCHEMA
    chains: tuple[PathChain, ...]
    problems: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    unused: tuple[UnusedChain, ...] = ()

    @property
    def remarks(self) -> dict[Place, str]:
        """What stands behind a rule, and behind a chain's name (number None), for a renderer that shows the ruleset itself."""
        found: dict[Place, str] = {}
        for chain in self.chains:
            place = (chain.backend, chain.family, chain.table, chain.chain)
            whose = f"{chain.owner.name}, changed with {chain.owner.tool}" if chain.owner != HAND else ""
            found[(*place, None)] = "; ".join(filter(None, (whose, chain.remark)))
            found |= {(*place, rule.rule_number): rule.remark for rule in chain.rules if rule.remark}
        return {place: remark for place, remark in found.items() if remark}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the chains that stand nowhere, one for each table."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for chain in self.unused:
            found.setdefault((chain.backend, chain.family, chain.table), []).append(chain.chain)
        return tuple(
            f"no base chain leads to: {', '.join(names[:MAX_NAMES])}{', ...' if len(names) > MAX_NAMES else ''} "
            f"({len(names)} chain{'s' if len(names) > 1 else ''} of {family} {table}, {backend})"
            for (backend, family, table), names in found.items()
        )


def read_live(host: Host) -> Ruleset:
    """The node's rules as they are now. Raises `HostError`, `BrokerGone`."""
    return read_firewall(host.firewall())


def narrow(ruleset: Ruleset) -> Ruleset:
    """The same ruleset with the chains alone that a packet to this node can meet."""
    narrowed = (replace(table, chains=tuple(_met(table))) for table in ruleset.tables)
    return replace(ruleset, tables=tuple(table for table in narrowed if table.chains))


def met_rules(capture: Capture) -> tuple[Ruleset, dict[Place, str]]:
    """The rules that a packet to this node met when this was captured, after the pod's probe, and the remarks beside them."""
    ruleset = narrow(read_firewall(capture.between or capture.before))
    return ruleset, trace_path(ruleset).remarks


def trace_path(ruleset: Ruleset) -> InputPath:
    """The input path as plain data."""
    chains: list[PathChain] = []
    problems, unused = list(ruleset.problems), []
    for table in ruleset.tables:
        met = tuple(_met(table))
        shadows = Shadows(table)
        shadowed = {chain.name: shadows.find(chain) for chain in met}
        nowhere, dead = lost_chains(table, shadowed)
        chains += [_chain(table, chain, shadowed[chain.name], dead=chain.name in dead) for chain in met]
        unused += [_unused(table, chain) for chain in table.chains if chain.name in nowhere]
        problems += [
            f"{table.name} {name} has too many rules to look for all that are shadowed." for name in shadows.unfinished
        ]
    return InputPath(chains=tuple(chains), problems=tuple(problems), unread=ruleset.unread, unused=tuple(unused))


def _met(table: Table) -> Iterator[Chain]:
    waiting = [chain.name for chain in table.chains if chain.base and chain.base.hook in (Hook.PREROUTING, Hook.INPUT)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        chain = table.chain(name)
        if chain is not None and name not in seen:
            seen.add(name)
            yield chain
            waiting.extend(target for rule in chain.rules for target in targets(rule))


def _unused(table: Table, chain: Chain) -> UnusedChain:
    return UnusedChain(
        backend=table.backend.value,
        family=table.family,
        table=table.name,
        chain=chain.name,
        rules=len(chain.rules),
        owner=_owner(table, chain.name),
    )


def _owner(table: Table, name: str) -> Owner:
    return owner_of(refer(table, Chain(name, ()), None))


def _chain(table: Table, chain: Chain, shadowed: Mapping[int, Shadow], *, dead: bool) -> PathChain:
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
        rules=tuple(_rule(table, chain, rule, shadowed.get(rule.number)) for rule in chain.rules),
        remark="only rules that no packet comes to lead here" if dead else "",
        owner=_owner(table, chain.name),
    )


def _rule(table: Table, chain: Chain, rule: Rule, shadow: Shadow | None) -> PathRule:
    owners = (owner for name in (*targets(rule), chain.name) if (owner := _owner(table, name)) != HAND)
    return PathRule(
        rule_number=rule.number,
        handle=rule.handle,
        packets=rule.counter.packets if rule.counter else None,
        bytes=rule.counter.bytes if rule.counter else None,
        text=rule.text,
        not_understood=tuple(f"{item.text}: {item.why}" for item in _unknowns(rule.statements)),
        remark=shadow.remark if shadow else "",
        shadowed_by=shadow.by if shadow else None,
        owner=next(owners, HAND).name,
    )


def _unknowns(statements: Iterable[Statement]) -> Iterator[Unsure | Unclear | Forget]:
    for statement in statements:
        if isinstance(statement, Unsure | Unclear | Forget):
            yield statement
        elif isinstance(statement, AnyOf):
            yield from _unknowns(statement.tests)
        elif isinstance(statement, VerdictMap):
            yield from _unknowns(verdict for _, verdict in statement.entries)
