"""Which base chains a packet meets at a hook, and in what order.

The kernel runs the chains of all tables and both backends together, by priority. At equal priority the one that was registered
later runs first (net/netfilter/core.c, `nf_hook_entries_grow`), which no listing shows: `groups` keeps such chains together,
in the order of the ruleset, and the walk tries the orders where they matter.
"""

from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    AnyOf,
    Base,
    Chain,
    Compare,
    CopyMark,
    Hook,
    Intervals,
    Jump,
    Lookup,
    Pass,
    Return,
    Rule,
    Ruleset,
    SetMark,
    Statement,
    Table,
    Translate,
    Unsure,
    VerdictMap,
)

# Chains of type nat hang on the one nat hook, whose priority is fixed (net/netfilter/nf_nat_proto.c); the priority that they
# were created with orders them among each other only.
NAT_PRIORITY = {Hook.PREROUTING: -100, Hook.OUTPUT: -100, Hook.INPUT: 100, Hook.POSTROUTING: 100}
CONNTRACK_PRIORITY = -200

# The test for the other version, as readers write it.
_OTHER = {4: Intervals(((10, 10),)), 6: Intervals(((2, 2),))}
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}
_DEVICE_HOOKS = frozenset((Hook.INGRESS, Hook.EGRESS))
_LINK_HOOKS = {"netdev": _DEVICE_HOOKS, "inet": _DEVICE_HOOKS, "bridge": frozenset(Hook)}
# Where a frame can be stopped on its way in, and on its way out.
ENTERING = frozenset((Hook.INGRESS, Hook.PREROUTING, Hook.INPUT))
LEAVING = frozenset((Hook.EGRESS, Hook.OUTPUT, Hook.POSTROUTING))
_CONNECTION = frozenset(
    (
        *(Field.CT_STATE, Field.CT_STATUS, Field.CT_DIRECTION, Field.CT_MARK),
        *(Field.CT_SADDR, Field.CT_DADDR, Field.CT_SPORT, Field.CT_DPORT, Field.CT_PROTOCOL),
    )
)
_HARMLESS = (Compare, Lookup, AnyOf, Unsure, Accept, Jump, Return, Pass)

Placed = tuple[Table, Chain]


def run_priority(base: Base) -> int:
    """The priority at which the kernel really runs the chain; lower runs first."""
    return NAT_PRIORITY.get(base.hook, base.priority) if base.kind == "nat" else base.priority


def base_of(chain: Chain) -> Base:
    """What makes it a base chain. Raises `ValueError` for a user chain."""
    if chain.base is None:
        raise ValueError(f"{chain.name} is not a base chain")
    return chain.base


def base_chains(ruleset: Ruleset, hook: Hook, version: int) -> tuple[Placed, ...]:
    """The base chains that a packet of this IP version meets at this hook, in kernel order as far as it can be known."""
    found = [
        (run_priority(chain.base), chain.base.priority, table, chain)
        for table in ruleset.tables
        if table.family in _FAMILIES[version]
        for chain in table.chains
        if chain.base is not None and chain.base.hook is hook
    ]
    return tuple((table, chain) for _, _, table, chain in sorted(found, key=lambda item: item[:2]))


def groups(chains: tuple[Placed, ...]) -> tuple[tuple[Placed, ...], ...]:
    """The same chains, those that run at one priority together."""
    result: dict[int, list[Placed]] = {}
    for table, chain in chains:
        result.setdefault(run_priority(base_of(chain)), []).append((table, chain))
    return tuple(tuple(group) for group in result.values())


def uses_conntrack(ruleset: Ruleset, version: int) -> bool:
    """Whether a rule for this IP version asks for conntrack, which else need not be at work in this network namespace.

    The kernel turns it on for the rules that need it (net/netfilter/nf_conntrack_proto.c, `nf_ct_netns_get`); a nat chain alone
    does not, and is then never asked. A rule of an inet table turns it on for both versions, whatever it tests, save `dnat ip`
    and its like, which do for their own alone (net/netfilter/nft_nat.c).
    """
    return any(
        needs_conntrack(statement) and not _is_for_other(statement, rule, version)
        for table in ruleset.tables
        if table.family in _FAMILIES[version]
        for chain in table.chains
        for rule in chain.rules
        for statement in rule.statements
    )


def _is_for_other(statement: Statement, rule: Rule, version: int) -> bool:
    """Whether it translates packets of the other IP version only, as the test says that nft hides in `dnat ip`."""
    other = _OTHER[version]
    return (
        isinstance(statement, Translate)
        and statement.kind in ("dnat", "snat")
        and any(
            isinstance(each, Compare) and each.field is Field.NFPROTO and each.test == other and not each.negate
            for each in rule.statements
        )
    )


def needs_conntrack(statement: Statement) -> bool:
    """Whether the kernel turns conntrack on for a rule with this statement."""
    match statement:
        case Compare() | SetMark():
            return statement.field in _CONNECTION
        case Lookup() | VerdictMap():
            return not _CONNECTION.isdisjoint(statement.fields)
        case AnyOf():
            return any(needs_conntrack(test) for test in statement.tests)
        case _:
            return isinstance(statement, Translate | CopyMark)


def link_chains(ruleset: Ruleset, hooks: frozenset[Hook] = ENTERING) -> tuple[Placed, ...]:
    """Base chains below IP (of a device, of a bridge) at these hooks that may end a packet or send it elsewhere.

    Which device they hang on is not modelled, so the walk cannot pass them: an answer that a packet arrives rests on them.
    """
    return tuple(
        (table, chain)
        for table in ruleset.tables
        for chain in table.chains
        if chain.base is not None
        and chain.base.hook in hooks & _LINK_HOOKS.get(table.family, frozenset())
        and _may_stop(table, chain)
    )


def _may_stop(table: Table, chain: Chain) -> bool:
    if base_of(chain).policy.lower() == "drop":
        return True
    if not chain.rules:
        return False
    # Any chain of the table may be jumped to; looking closer would be the walk that cannot be made.
    return any(not isinstance(item, _HARMLESS) for each in table.chains for rule in each.rules for item in rule.statements)
