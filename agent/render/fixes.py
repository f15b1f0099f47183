"""A plan and fixes as text for a terminal."""

from collections.abc import Sequence

from agent.model.fix import Fix
from agent.model.plan import Plan
from agent.render.clean import clean


def plan(found: Plan) -> str:
    """The page of a plan: the rule, where, what it changes and what not, how it ends, and the same by hand."""
    flow, place = found.flow, found.place
    target = f"[{flow.destination}]" if ":" in flow.destination else flow.destination
    before = f"directly before: {place.before}" if place.before else f"at the end of {place.chain}, before its policy"
    radius = found.blast_radius
    lines = [
        f"plan {found.id} for {found.node}: {found.finding}. Nothing was changed.",
        "",
        f"opens   {flow.source} -> {target}:{flow.port} tcp, in filter {place.chain} (iptables-{place.backend})",
        f"rule    {found.rule}",
        f"        {before}",
        f"before  model {found.before.model}, twin {found.before.twin}, connect {found.before.probe}",
        f"after   model {found.after.model}, twin {found.after.twin}",
        f"others  {radius.tried} other packets walked through both rulesets: {len(radius.changed)} fare otherwise",
        f"ends    by itself: after {found.trial} s unless confirmed, then after {found.lease} s unless asked otherwise",
        "",
        "the same by hand, without an end",
        f"  {found.command}",
        f"  {found.undo}",
        "to stay over a reboot",
        *(f"  {name}\n    {clean(text)}" for name, text in found.persistent.items()),
        *(f"note: {note}" for note in found.notes),
    ]
    return "".join(f"{line}\n" for line in "\n".join(lines).split("\n"))


def fix(found: Fix) -> str:
    """One fix in a few lines."""
    flow = found.flow
    lines = [
        f"fix {found.id}: {found.state}{' (it was there already)' if found.known else ''}",
        f"  {flow.source} -> {flow.destination}:{flow.port} in filter {found.place.chain} (iptables-{found.place.backend})",
    ]
    if found.live:
        lines.append(f"  ends {found.ends_at} by itself" + ("; confirm it to have it last" if found.state == "trial" else ""))
    if found.why:
        lines.append(f"  {clean(found.why)}")
    return "".join(f"{line}\n" for line in lines)


def fixes(found: Sequence[Fix], problems: Sequence[str] = ()) -> str:
    """A line for each fix."""
    if not found:
        rows = ["no fixes"]
    else:
        rows = [
            "  ".join(
                (
                    fix.id,
                    fix.state.ljust(14),
                    f"{fix.flow.source} -> {fix.flow.destination}:{fix.flow.port}",
                    f"ends {fix.ends_at}" if fix.live else f"by {fix.caller or '-'}: {fix.why}",
                )
            )
            for fix in found
        ]
    return "".join(f"{clean(row)}\n" for row in (*rows, *problems))
