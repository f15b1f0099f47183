"""Ends fixes whose time is up and takes out every rule of ours that no live entry of the journal answers for.

Run at the start, before each change, and every second while a fix is alive. What a person put in is never touched: only a rule
that is word for word of our making, with an id in its comment, is taken for ours.
"""

from collections.abc import Callable
from dataclasses import replace

from agent.host.errors import HostError
from agent.host.fixing import flows, lease, rules
from agent.host.fixing.filter_table import same_rule
from agent.host.fixing.journal import Writer
from agent.host.fixing.tool import Tool
from agent.model.fix import Fix, Fixes, FixState

# A rule that somebody takes out again and again is a quarrel that a program should not win.
MOST_PUTS = 3
# Clocks drift by milliseconds; a difference of seconds is somebody who set one.
_JUMP = 5.0
# In the audit log, for what nobody asked for.
_WHO = "kubereach"

PutBack = Callable[[Writer, Fix], None]


class Sweep:
    """`wait` is how long another program's lock is waited for."""

    def __init__(self, wait: float) -> None:
        self._wait = wait

    def run(self, journal: Writer, put_back: PutBack | None = None) -> Fixes:
        """The journal's fixes as they are now. Raises `HostError` where something of ours could not be taken out."""
        kept = journal.fixes()
        for problem in kept.problems:
            journal.note("journal damaged", _WHO, "", why=problem)
        moment, boot_id = lease.now(), lease.boot_id()
        ended = {fix.id: state for fix in kept.fixes if fix.live and (state := _end(fix, moment, boot_id))}
        live = {fix.id: fix for fix in kept.fixes if fix.live and fix.id not in ended}
        standing = self._remove_strays(journal, live)
        fixes = []
        for fix in kept.fixes:
            if fix.id in ended:
                fix = self._ended(journal, fix, *ended[fix.id])  # noqa: PLW2901  what became of it
            elif fix.id in live and fix.id not in standing:
                fix = self._clobbered(journal, fix, put_back)  # noqa: PLW2901  what became of it
            fixes.append(fix)
        names = {fix.set_name for fix in fixes if fix.live}
        for name in lease.our_sets():
            if name not in names:
                lease.destroy_set(name)
        return replace(kept, fixes=tuple(fixes))

    def _remove_strays(self, journal: Writer, live: dict[str, Fix]) -> set[str]:
        """Takes out rules that nobody answers for; returns the ids of those that stand as they should."""
        standing: set[str] = set()

        def is_stray(tool: Tool, fix_id: str, chain: str, rule: str) -> bool:
            fix = live.get(fix_id)
            if fix is None or (fix.place.backend, fix.flow.version) != (tool.backend, tool.version):
                return True
            return not (fix.place.chain == chain and same_rule(f"-A {chain} {rule}", chain, fix.rule))

        for tool in rules.tools():
            table = rules.read(tool)
            found = table.ours()
            strays = [item for item in found if is_stray(tool, item["id"], item["chain"], item["rule"].replace('"', ""))]
            standing |= {item["id"] for item in found if item not in strays and item["chain"] in table.reached()}
            if strays:
                rules.remove(tool, lambda *known, tool=tool: is_stray(tool, *known), self._wait)
                for item in strays:
                    journal.note("removed a rule without a live entry", _WHO, item["id"], rule=item[0])
        return standing

    def _ended(self, journal: Writer, fix: Fix, state: FixState, why: str) -> Fix:
        new = replace(fix, state=state, why=why)
        journal.put(new)
        cut = 0
        if fix.cut_flows:
            try:
                cut = flows.cut(fix.flow)
            except HostError as error:
                why = f"{why}; {error}"
        journal.note(state.value, _WHO, fix.id, why=why, connections_cut=cut)
        return new

    def _clobbered(self, journal: Writer, fix: Fix, put_back: PutBack | None) -> Fix:
        why = "its rule was taken out by somebody else"
        if fix.put_back and put_back is not None and fix.puts < MOST_PUTS:
            again = replace(fix, puts=fix.puts + 1, why=f"{why} and was put back")
            journal.put(again)
            try:
                put_back(journal, again)
            except HostError as error:
                why = f"{why}, and could not be put back: {error}"
            else:
                return again
        elif fix.put_back and fix.puts >= MOST_PUTS:
            why = f"{why} after it had been put back {fix.puts} times"
        return self._ended(journal, fix, FixState.CLOBBERED, why)


def _end(fix: Fix, moment: lease.Now, boot_id: str) -> tuple[FixState, str] | None:
    if fix.boot_id != boot_id:
        return FixState.LOST_ON_REBOOT, "the machine was started again since"
    if fix.state is FixState.INTENT:
        return FixState.FAILED, "it was interrupted before its rule was known to be in"
    if moment.boot >= fix.ends_boot or moment.wall >= fix.ends + 1:
        return FixState.EXPIRED, "its time was up"
    jump = (moment.wall - fix.started) - (moment.boot - fix.started_boot)
    if abs(jump) > _JUMP:
        return FixState.REVERTED, f"the clock was set by {jump:+.0f} s, and its stop time does not mean what it did"
    return None
