"""Many nodes' answers as a person reads them: the sentence first, then those in trouble, then whose rules differ."""

from collections.abc import Iterator, Mapping, Sequence

from agent.model.fleet import FleetView, Group, Matrix
from agent.model.reach import Reach
from agent.render.clean import clean

MAX_NODES = 24  # a wider matrix is read by programs: text then lists what is not open
_MARKS = {"open": ".", "": " "}


def fleet(view: FleetView) -> str:
    """The whole view."""
    blocks = [[view.sentence]]
    if view.trouble:
        blocks.append(list(table([("NODE", "STATE", "CAUSE", "RULE", "SINCE"), *map(_trouble, view.trouble)])))
    if len(view.groups) > 1:
        blocks.append(list(table([("RULES", "NODES", "STATES", ""), *map(_group, view.groups)])))
    if view.failures:
        blocks.append(list(_failed(view.failures)))
    last = [_counted(view.states)] if view.states else []
    if view.silent:
        last.append(f"not answered yet: {_some(view.silent, 10)} ({len(view.silent)})")
    return "\n\n".join("\n".join(map(clean, lines)) for lines in (*blocks, last) if lines) + "\n"


def _failed(failures: Mapping[str, str]) -> Iterator[str]:
    return table([("NODE", "NO ANSWER"), *failures.items()])


def _trouble(each: Reach) -> tuple[str, ...]:
    return each.node, each.state, each.cause, each.rule.place if each.rule else "", each.transition_time


def _group(group: Group) -> tuple[str, ...]:
    return group.fingerprint, str(len(group.nodes)), _counted(group.states), _some(group.nodes, 5)


def _counted(states: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states)


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def node(reach: Reach) -> str:
    """One node's answer as the cluster keeps it."""
    lines = [clean(f"{reach.node}: {(reach.state or 'no answer yet').upper()}. {reach.summary}".rstrip())]
    if reach.rule:
        lines += ["", "the rule", f"  {clean(reach.rule.place)}", f"    {clean(reach.rule.text)}"]
    if reach.vantages:
        rows = [
            (
                each.vantage,
                f"{each.source} -> {each.to}",
                each.outcome,
                " ".join(filter(None, (each.errno, each.icmp and f"ICMP {each.icmp}"))),
            )
            for each in reach.vantages
        ]
        lines += ["", "tried", *(f"  {line}" for line in table(rows))]
    if reach.findings:
        lines += [
            "",
            "found",
            *(f"  {clean(each.code)} ({clean(each.severity)}): {clean(each.message)}" for each in reach.findings),
        ]
    if reach.fix:
        lines += ["", "fix", f"  {clean(reach.fix.id)}: {clean(reach.fix.state)}, until {clean(reach.fix.expiry_time)}"]
    known = {
        "addresses": ", ".join(reach.node_addresses),
        "pod network": ", ".join(reach.pod_cidrs),
        "rules": reach.fingerprint,
        "looked at": reach.look_time,
        "so since": reach.transition_time,
        "agent": reach.agent_version,
    }
    lines += ["", *table([(name, value) for name, value in known.items() if value])]
    return "\n".join(lines) + "\n"


def matrix(found: Matrix) -> str:
    """Rows are where pods are, columns whose kubelet they ask; a dot is open, a blank was not tried."""
    nodes, outcomes = found.nodes, {(cell.source, cell.target): cell.outcome for cell in found.cells}
    lines = []
    if not nodes:
        lines = ["no node has answered yet"]
    elif len(nodes) > MAX_NODES:
        closed = [(source, target, outcome) for (source, target), outcome in sorted(outcomes.items()) if outcome != "open"]
        lines = [f"{len(nodes)} nodes, {len(outcomes)} pairs tried, {len(closed)} not open"]
        lines += table([("FROM", "TO", "OUTCOME"), *closed])
    else:
        rows = [(source, *(_cell(outcomes.get((source, target), "")) for target in nodes)) for source in nodes]
        lines = list(table([("FROM \\ TO", *nodes), *rows]))
    lines += [f"no known node has {clean(address)}" for address in found.strangers]
    if found.failures:
        lines += ["", *_failed(found.failures)]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns padded to their widest cell."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    for row in cleaned:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(outcome: str) -> str:
    return _MARKS.get(outcome, outcome)
