"""The chains of the packet's way as tables: number, packets, rule, and the one that decides marked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.model.explanation import RuleRef
from agent.model.report import Report
from agent.model.ruleset import Chain, Rule, Ruleset, Table
from agent.render.chains import Place

# A chain of thousands of rules is for `kubereach rules`; here the ones around the deciding rule are enough.
AROUND = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule. `packets` is None where it has no counter; `met`: the packet matched it; `decides`: it ended there."""

    number: int
    packets: int | None
    text: str
    remark: str = ""
    met: bool = False
    decides: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A chain with its rows. `policy` is empty for a user chain; `left_out` counts the rules that are not shown."""

    title: str
    policy: str
    policy_packets: int | None
    rows: tuple[Row, ...]
    left_out: int
    remark: str
    decides: bool
    policy_decides: bool


def show_chains(report: Report, rules: Ruleset, remarks: Mapping[Place, str]) -> tuple[Shown, ...]:
    """The chains in which the packet met a rule or a policy, first those with a rule that decides or may do so."""
    explanation = report.explanation
    if explanation is None:
        return ()
    deciders = explanation.stoppers or tuple(filter(None, (explanation.decided_by,)))
    met = {_key(step.rule): None for step in explanation.steps}
    if explanation.reply and explanation.reply.decided_by:
        met[_key(explanation.reply.decided_by)] = None
    shown = [
        _show(
            table,
            chain,
            {key[4] for key in met if key[:4] == place},
            tuple(rule for rule in deciders if _key(rule)[:4] == place),
            remarks,
        )
        for table, chain, place in _chains(rules)
        if any(key[:4] == place for key in met)
    ]
    return tuple(sorted(shown, key=lambda chain: not chain.decides))


def _chains(rules: Ruleset) -> Iterator[tuple[Table, Chain, tuple[str, str, str, str]]]:
    for table in rules.tables:
        for chain in table.chains:
            yield table, chain, (table.backend.value, table.family, table.name, chain.name)


def _key(rule: RuleRef) -> Place:
    return rule.backend, rule.family, rule.table, rule.chain, rule.rule_number


def _show(table: Table, chain: Chain, met: set[int | None], deciders: Sequence[RuleRef], remarks: Mapping[Place, str]) -> Shown:
    place = (table.backend.value, table.family, table.name, chain.name)
    numbers = [rule.rule_number or 0 for rule in deciders]
    middle = max(numbers, default=0) or max((number or 0 for number in met), default=0)
    rows = tuple(
        _row(
            rule,
            remarks.get((*place, rule.number), ""),
            met=rule.number in met,
            decides=rule.number in numbers,
        )
        for rule in chain.rules
        if abs(rule.number - middle) <= AROUND or rule.number in met or rule.number in numbers
    )
    base = chain.base
    return Shown(
        title=f"{table.family} {table.name} {chain.name} ({table.backend.value})",
        policy=base.policy if base else "",
        policy_packets=base.counter.packets if base and base.counter else None,
        rows=rows,
        left_out=len(chain.rules) - len(rows),
        remark=remarks.get((*place, None), ""),
        decides=bool(deciders),
        policy_decides=any(rule.policy for rule in deciders),
    )


def _row(rule: Rule, remark: str, *, met: bool, decides: bool) -> Row:
    packets = rule.counter.packets if rule.counter else None
    return Row(number=rule.number, packets=packets, text=rule.text, remark=remark, met=met, decides=decides)
