"""Chains as a person reads them: number, packets, rule, in the order in which the kernel runs the base chains."""

from collections.abc import Iterator, Mapping, Sequence

from agent.model.ruleset import Chain, Ruleset, Table
from agent.render.clean import clean

_IPTABLES = ("raw", "mangle", "nat", "filter", "security")
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}


# Backend, family, table, chain, and the rule's number; None for the chain itself.
Place = tuple[str, str, str, str, int | None]
NOTHING: Mapping[Place, str] = {}


def rules(ruleset: Ruleset, version: int, remarks: Mapping[Place, str] = NOTHING, notes: Sequence[str] = ()) -> str:
    """Every chain of the families that see this IP version; base chains by hook and priority, then the chains they use.

    `remarks` stand behind the rules and the chains' titles, `notes` at the end.
    """
    placed = [(table, chain) for table in ruleset.tables if table.family in _FAMILIES[version] for chain in table.chains]
    ordered = sorted(placed, key=lambda item: _order(item[1]))
    blocks = ["\n".join(_lines(table, chain, remarks)) for table, chain in ordered]
    last = [*map(clean, notes), *(clean(f"not read: {sentence}") for sentence in (*ruleset.unread, *ruleset.problems))]
    if not blocks:
        blocks = [f"no rule stands in the way of an IPv{version} packet to this node"]
    return "\n\n".join([*blocks, *(["\n".join(last)] if last else [])]) + "\n"


def _order(chain: Chain) -> tuple[int, int]:
    """Prerouting before input (their names' opposite order), user chains last."""
    if chain.base is None:
        return 2, 0
    return (0 if chain.base.hook == "prerouting" else 1), chain.base.priority


def _lines(table: Table, chain: Chain, remarks: Mapping[Place, str]) -> Iterator[str]:
    base = chain.base
    tool = f"iptables-{table.backend}" if table.family in ("ip", "ip6") and table.name in _IPTABLES else "nft"
    title = f"{table.family} {table.name} {chain.name} ({tool})"
    if base:
        hits = f", {base.counter.packets} packets" if base.counter else ""
        title += f": {base.hook} {base.priority}, policy {base.policy}{hits}"
    place = (table.backend.value, table.family, table.name, chain.name)
    whose = remarks.get((*place, None))
    yield clean(f"{title}; {whose}" if whose else title)
    width = max((len(str(rule.number)) for rule in chain.rules), default=1)
    counts = {rule.number: str(rule.counter.packets) if rule.counter else "-" for rule in chain.rules}
    wide = max(map(len, counts.values()), default=1)
    for rule in chain.rules:
        line = f"  {rule.number:>{width}}  {counts[rule.number]:>{wide}}  {clean(rule.text)}"
        remark = remarks.get((*place, rule.number))
        yield f"{line}  <- {clean(remark)}" if remark else line
