"""The life of a fix in the broker: who may have one, which it is, on trial, confirmed, reverted, looked after until its end.

One change at a time on a node, whichever process asks: the state directory's lock sees to it. It trusts the kernel, root's
files and the operator's settings, and nothing that the front says. How a rule comes to stand in the kernel is `opening.py`'s.
"""

import sys
import time
from dataclasses import replace
from threading import Event

from agent.host import operations
from agent.host.errors import FixRefused, HostError
from agent.host.fixing import flows, guards, lease, reach, rules
from agent.host.fixing.facts import find_facts
from agent.host.fixing.journal import Journal, Writer
from agent.host.fixing.opening import Eyes, Opening, rule_of
from agent.host.fixing.sweep import Sweep
from agent.host.fixing.tool import Tool
from agent.model.codec import to_plain
from agent.model.fix import AuditCheck, Fix, Fixes, FixState
from agent.model.plan import Ground, Order
from agent.model.settings import Settings

# A reload is to be noticed within two seconds; rules that others restored lie dead (their time is up) for half a minute.
_WATCH, _IDLE = 1.0, 30.0


class Fixer:
    """The fixes of one node. Safe to use from several threads. `stays`: this broker lives until it is told to end."""

    def __init__(self, settings: Settings, eyes: Eyes, *, stays: bool = False) -> None:
        self._settings, self._eyes = settings, eyes
        self._opening = Opening(settings, eyes, stays=stays)
        self._journal = Journal(settings.state_dir)
        self._sweep = Sweep(settings.lock_wait)
        self._woken = Event()
        self._ending = False

    def ground(self, arguments: operations.GroundArguments) -> Ground:
        """What a plan rests on. Changes nothing, and needs no leave."""
        firewall = self._eyes.firewall(arguments.parts)
        return reach.ground(firewall, arguments.backend, arguments.version, arguments.chain)

    def apply(self, order: Order) -> Fix:
        """Puts the rule in, or gives the fix that opens the same already. Raises `FixRefused`, `HostError`."""
        self._insist_on_leave()
        try:
            guards.check_shape(order, self._settings.trial)
            facts = find_facts(self._eyes.node(), self._eyes.processes(), self._settings)
            guards.check_flow(order.flow, facts)
        except FixRefused as refusal:
            with self._journal.held() as journal:
                journal.note("refused", order.caller, order.id[:12], why=str(refusal), order=to_plain(order))
            raise
        with self._journal.held() as journal:
            if self._ending:
                raise FixRefused(operations.BUSY, "Refused: this kubereach is being ended. Its successor takes orders.")
            kept = self._sweep.run(journal)
            twin = next((fix for fix in kept.fixes if fix.live and _same(fix, order)), None)
            if twin is not None:
                journal.note("deduplicated", order.caller, twin.id, asked=order.id)
                return replace(twin, known=True)
            try:
                fix = self._opening.open(journal, order, kept)
            except HostError as refusal:
                journal.note("refused", order.caller, order.id, why=str(refusal), order=to_plain(order))
                raise
        self._woken.set()
        return fix

    def refuse_more(self) -> None:
        """From the next time that the journal is taken no rule is put in."""
        self._ending = True

    def verified(self, arguments: operations.FixArguments) -> Fix:
        """A real connect got through: the trial runs. Raises `FixRefused`."""
        self._insist_on_leave()
        with self._journal.held() as journal:
            fix = self._find(journal, arguments.id)
            if fix.state is not FixState.APPLIED:
                return fix
            fix = replace(fix, state=FixState.TRIAL, why=arguments.why[:200])
            journal.put(fix)
            journal.note("verified", arguments.caller, fix.id, why=fix.why)
            return fix

    def confirm(self, arguments: operations.ConfirmArguments) -> Fix:
        """Has it last for `lease` seconds from now. Raises `FixRefused`, `HostError`."""
        self._insist_on_leave()
        guards.check_lease(arguments.lease)
        with self._journal.held() as journal:
            self._sweep.run(journal)
            fix = self._find(journal, arguments.id)
            if not fix.live or fix.state is FixState.APPLIED:
                sentence = f"Fix {fix.id} is {fix.state}: only one on trial, or confirmed already, can be made to last."
                raise FixRefused(operations.CHANGED, sentence)
            moment = lease.now()
            stop = lease.stop_after(moment, arguments.lease)
            timed = "--datestop" in fix.rule
            new = replace(
                fix,
                state=FixState.CONFIRMED,
                rule=rule_of(fix.id, fix, lease.stamp(stop) if timed else "", fix.set_name),
                started=moment.wall,
                started_boot=moment.boot,
                ends=stop,
                ends_boot=moment.boot + arguments.lease,
                ends_at=lease.iso(stop + 1),
            )
            journal.note("confirm", arguments.caller, fix.id, lease=arguments.lease, rule=new.rule)
            journal.put(new)
            try:
                if fix.set_name and not lease.extend_set(fix.set_name, fix.flow.source, arguments.lease):
                    raise HostError(f"the set {fix.set_name} could not be extended")  # noqa: TRY301  undone below
                rules.replace(Tool(fix.place.backend, fix.flow.version), fix.place, fix.id, new.rule, self._settings.lock_wait)
            except HostError as error:
                journal.put(fix)
                journal.note("not confirmed", arguments.caller, fix.id, why=str(error))
                raise
            return new

    def revert(self, arguments: operations.FixArguments) -> Fix:
        """Takes it out. Of one that has ended, says how. Raises `FixRefused`, `HostError`."""
        self._insist_on_leave()
        with self._journal.held() as journal:
            fix = self._find(journal, arguments.id)
            journal.note("revert", arguments.caller, fix.id, why=arguments.why[:500])
            tool = Tool(fix.place.backend, fix.flow.version)
            rules.remove(tool, lambda found, _chain, _rule: found == fix.id, self._settings.lock_wait)
            if not fix.live:
                return fix
            fix = replace(fix, state=FixState.REVERTED, why=arguments.why[:500])
            if fix.set_name:
                lease.destroy_set(fix.set_name)
            journal.put(fix)
            cut = flows.cut(fix.flow) if fix.cut_flows else 0
            journal.note("reverted", arguments.caller, fix.id, why=fix.why, connections_cut=cut)
            return fix

    def fixes(self) -> Fixes:
        """Those that the journal knows. Where fixes are not allowed nothing is swept."""
        return self.sweep() if self._settings.allow_fix else Fixes(fixes=())

    def sweep(self) -> Fixes:
        """Ends what has ended and takes out what nobody answers for."""
        self._insist_on_leave()
        with self._journal.held() as journal:
            found = self._sweep.run(journal, put_back=self._opening.put_back)
            journal.forget(found)
            return found

    def watch(self) -> None:
        """Sweeps for as long as the process lives: every second while a fix is alive, else twice a minute."""
        pause = 0.0
        while True:
            time.sleep(pause)
            try:
                alive = any(fix.live for fix in self.sweep().fixes)
            except HostError as error:
                sys.stderr.write(f"kubereach: fixes could not be looked after: {error}\n")
                alive = True
            pause = _WATCH
            if not alive:  # until one is applied here, or somebody else may have left something
                self._woken.wait(_IDLE)
                self._woken.clear()
                pause = 0.0

    def audit(self) -> AuditCheck:
        """Whether the audit log is whole."""
        return self._journal.check()

    def _find(self, journal: Writer, fix_id: str) -> Fix:
        fix = next((fix for fix in journal.fixes().fixes if fix.id == fix_id), None)
        if fix is None:
            raise FixRefused(operations.NO_FIX, f"There is no fix {fix_id!r}: `kubereach fix list` names those that there are.")
        return fix

    def _insist_on_leave(self) -> None:
        if not self._settings.allow_fix:
            sentence = "Refused: fixes are not enabled here. The operator enables them with --allow-fix."
            raise FixRefused(operations.GUARD, sentence)


def _same(fix: Fix, order: Order) -> bool:
    return (fix.flow, fix.place.backend, fix.place.chain) == (order.flow, order.place.backend, order.place.chain)
