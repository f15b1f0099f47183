"""Which nodes' rules differ from those of most, and by which rule it shows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from agent.model.fleet import FleetView, Group
from agent.model.reach import Reach

BAD = ("blocked", "degraded", "unknown")


def view_fleet(reaches: Iterable[Reach], failures: Mapping[str, str] | None = None) -> FleetView:
    """Sees them all at once. Each is looked at once; only those in trouble are kept whole. `failures`: who gave no answer."""
    members: dict[str, list[str]] = {}
    states: dict[str, Counter[str]] = {}
    trouble: list[Reach] = []
    silent: list[str] = []
    for reach in reaches:
        if not reach.state:
            silent.append(reach.node)
            continue
        members.setdefault(reach.fingerprint, []).append(reach.node)
        states.setdefault(reach.fingerprint, Counter())[reach.state] += 1
        if reach.state in BAD:
            trouble.append(reach)
    groups = tuple(
        Group(fingerprint=name, nodes=tuple(sorted(nodes)), states=tuple(states[name].most_common()))
        for name, nodes in sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    )
    counted: Counter[str] = sum(states.values(), Counter())
    trouble.sort(key=lambda each: (BAD.index(each.state), each.node))
    total = sum(counted.values())
    return FleetView(
        total=total,
        states=tuple(counted.most_common()),
        trouble=tuple(trouble),
        groups=groups,
        silent=tuple(sorted(silent)),
        sentence=_sentence(total, trouble, groups, len(silent) + len(failures or {})),
        failures=dict(sorted((failures or {}).items())),
    )


def _sentence(total: int, trouble: Sequence[Reach], groups: Sequence[Group], missing: int) -> str:
    if not total:
        return "No node has answered yet."
    rest = f" {missing} more gave no answer." if missing else ""
    if not trouble:
        alike = "all with the same rules" if len(groups) == 1 else f"with {len(groups)} different sets of rules"
        return f"On all {total} nodes{' that answered' if missing else ''} pods reach their kubelet, {alike}.{rest}"
    blocked = [each for each in trouble if each.state == "blocked"] or list(trouble)
    names = _names([each.node for each in blocked])
    alone = _alone(blocked, groups)
    rules = {(each.rule.place, each.rule.text) for each in blocked if each.rule}
    by = f", by {next(iter(rules))[0]}: {next(iter(rules))[1]}" if len(rules) == 1 else ""
    what = {"blocked": "stopped", "degraded": "in danger"}.get(blocked[0].state, "unknown")
    differs = f"only {names} differ{'s' if len(blocked) == 1 else ''} in their rules" if alone and len(blocked) > 1 else ""
    if alone and len(blocked) == 1:
        differs = f"only {names} differs in its rules"
    head = f"{len(blocked)} of {total} nodes {'is' if len(blocked) == 1 else 'are'} {what} ({names})"
    return f"{head}{by}{f'; {differs}' if differs else ''}.{rest}"


def _alone(blocked: Sequence[Reach], groups: Sequence[Group]) -> bool:
    """Whether the nodes in trouble, and only they, have other rules than most."""
    if len(groups) < 2:
        return False
    outside = {node for group in groups[1:] for node in group.nodes}
    return outside == {each.node for each in blocked}


def _names(nodes: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(sorted(nodes)[:most])
    return shown if len(nodes) <= most else f"{shown} and {len(nodes) - most} more"
