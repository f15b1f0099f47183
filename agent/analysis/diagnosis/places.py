"""From a rule's reference back to the rule, and to words for it."""

from agent.model.explanation import Explanation, RuleRef
from agent.model.ruleset import Chain, Rule, Ruleset, Table


def table_at(ruleset: Ruleset, place: RuleRef) -> Table | None:
    """The table that the reference stands in, or None when this ruleset has none such."""
    key = (place.backend, place.family, place.table)
    return next((table for table in ruleset.tables if (table.backend, table.family, table.name) == key), None)


def chain_at(ruleset: Ruleset, place: RuleRef) -> Chain | None:
    """Its chain, likewise."""
    table = table_at(ruleset, place)
    return table.chain(place.chain) if table is not None else None


def rule_at(ruleset: Ruleset, place: RuleRef) -> Rule | None:
    """The rule itself; None for a policy."""
    chain = chain_at(ruleset, place)
    return next((rule for rule in chain.rules if rule.number == place.rule_number), None) if chain else None


def is_counted(ruleset: Ruleset, place: RuleRef) -> bool:
    """Whether the rule or policy has a counter, so that one that did not move says something."""
    if place.policy:
        chain = chain_at(ruleset, place)
        return chain is not None and chain.base is not None and chain.base.counter is not None
    rule = rule_at(ruleset, place)
    return rule is not None and rule.counter is not None


def rule_name(place: RuleRef) -> str:
    """`rule 6 of filter INPUT (iptables-legacy)`, `the policy of inet host-fw input (nft)`."""
    table = f"{place.family} {place.table}" if place.tool == "nft" else place.table
    what = "the policy" if place.policy else f"rule {place.rule_number}"
    return f"{what} of {table} {place.chain} ({place.tool})"


def rule_names(explanation: Explanation) -> str:
    """The rule that stops the packet or its answer; `rule 6 of ... or rule 2 of ...` where it is not known which of them."""
    return " or ".join(map(rule_name, explanation.stoppers))


def same_place(one: RuleRef, other: RuleRef) -> bool:
    """Whether two references name the same rule or policy, whatever its text was printed as."""
    return _key(one) == _key(other)


def _key(rule: RuleRef) -> tuple[object, ...]:
    return rule.backend, rule.family, rule.table, rule.chain, rule.rule_number, rule.policy
