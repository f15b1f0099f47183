"""The names by which an answer speaks of rules and policies."""

from agent.model.explanation import RuleRef
from agent.model.ruleset import Backend, Chain, Rule, Table

_IPTABLES_TABLES = frozenset({"raw", "mangle", "nat", "filter", "security"})
_IPTABLES_CHAINS = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})


def refer(table: Table, chain: Chain, rule: Rule | None, base: Chain | None = None) -> RuleRef:
    """The reference to a rule, or without one to the chain's policy.

    `base` is the base chain that the packet came by; a rule of a user chain that nobody came to has an empty `hook`.
    """
    hung = (base or chain).base
    hook = str(hung.hook) if hung else ""
    if rule is None:
        text = _policy_text(table, chain)
        return RuleRef(
            backend=table.backend, family=table.family, hook=hook, table=table.name, chain=chain.name, policy=True, text=text
        )
    return RuleRef(
        backend=table.backend,
        family=table.family,
        hook=hook,
        table=table.name,
        chain=chain.name,
        rule_number=rule.number,
        handle=rule.handle,
        text=rule.text,
    )


def is_iptables(table: Table, chain: Chain) -> bool:
    """Whether it is one of iptables' built-in chains, in the legacy tables or in the nft tables that iptables-nft keeps."""
    if table.family not in ("ip", "ip6") or chain.name not in _IPTABLES_CHAINS:
        return False
    return table.backend is Backend.LEGACY or table.name in _IPTABLES_TABLES


def is_filter(table: Table, chain: Chain) -> bool:
    """Whether people mean this base chain when they speak of accepting a packet: not raw, mangle, nat or security.

    nft calls all of these but nat chains of type filter, so that iptables' own tables are told by their names.
    """
    if chain.base is None or chain.base.kind != "filter":
        return False
    return table.name == "filter" or not is_iptables(table, chain)


def _policy_text(table: Table, chain: Chain) -> str:
    policy = chain.base.policy if chain.base else ""
    return f"-P {chain.name} {policy.upper()}" if is_iptables(table, chain) else f"policy {policy.lower()}"
