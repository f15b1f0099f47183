"""The life of a fix in the broker: guards, journal, rule, lease, and its end. Only here is a write decided on.

Every step is written down and on disk before the kernel is touched. One at a time on a node, whichever process asks: the state
directory's lock sees to it. It trusts the kernel, root's files and the operator's settings, and nothing that the front says.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from threading import Event
from typing import Any

from agent.host import operations
from agent.host.errors import FixRefused, HostError
from agent.host.fixing import flows, guards, lease, reach, rules, trial
from agent.host.fixing.facts import find_facts
from agent.host.fixing.filter_table import FilterTable, spec
from agent.host.fixing.journal import Journal, Writer
from agent.host.fixing.sweep import Sweep
from agent.host.fixing.tool import Tool
from agent.model.capture import Firewall, Node, PodRoute, Processes
from agent.model.codec import to_plain
from agent.model.fix import AuditCheck, Fix, Fixes, FixState
from agent.model.plan import MOST_LIVE, Ground, LeaseKind, Order
from agent.model.settings import Settings
from agent.model.twin import TwinRequest, TwinResult

# A reload is to be noticed within two seconds; rules that others restored lie dead (their time is up) for half a minute.
_WATCH, _IDLE = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Eyes:
    """How the broker itself looks at its node."""

    node: Callable[[], Node]
    processes: Callable[[], Processes]
    firewall: Callable[[], Firewall]
    pod_route: Callable[[IPv4Address | IPv6Address], PodRoute]
    twin: trial.Twin


class Fixer:
    """The fixes of one node. Safe to use from several threads. `stays`: this broker lives until it is told to end."""

    def __init__(self, settings: Settings, eyes: Eyes, *, stays: bool = False) -> None:
        self._settings, self._eyes, self._stays = settings, eyes, stays
        self._journal = Journal(settings.state_dir)
        self._sweep = Sweep(settings.lock_wait)
        self._woken = Event()

    def ground(self, arguments: operations.GroundArguments) -> Ground:
        """What a plan rests on. Changes nothing, and needs no leave."""
        return reach.ground(self._eyes.firewall(), arguments.backend, arguments.version, arguments.chain)

    def apply(self, order: Order) -> Fix:
        """Puts the rule in, or gives the fix that opens the same already. Raises `FixRefused`, `HostError`."""
        self._insist_on_leave()
        try:
            guards.check_shape(order, self._settings.trial)
            facts = find_facts(self._eyes.node(), self._eyes.processes(), self._settings)
            guards.check_flow(order.flow, facts)
        except FixRefused as refusal:
            with self._journal.held() as journal:
                self._note(journal, "refused", order.caller, order.id[:12], why=str(refusal), order=to_plain(order))
            raise
        with self._journal.held() as journal:
            kept = self._sweep.run(journal)
            twin = next((fix for fix in kept.fixes if fix.live and _same(fix, order)), None)
            if twin is not None:
                self._note(journal, "deduplicated", order.caller, twin.id, asked=order.id)
                return replace(twin, known=True)
            try:
                return self._apply(journal, order, kept)
            except HostError as refusal:
                self._note(journal, "refused", order.caller, order.id, why=str(refusal), order=to_plain(order))
                raise

    def verified(self, arguments: operations.FixArguments) -> Fix:
        """A real connect got through: the trial runs. Raises `FixRefused`."""
        self._insist_on_leave()
        with self._journal.held() as journal:
            fix = self._find(journal, arguments.id)
            if fix.state is not FixState.APPLIED:
                return fix
            fix = replace(fix, state=FixState.TRIAL, why=arguments.why[:200])
            journal.put(fix)
            self._note(journal, "verified", arguments.caller, fix.id, why=fix.why)
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
                rule=_spec(fix.id, fix, lease.stamp(stop) if timed else "", fix.set_name),
                started=moment.wall,
                started_boot=moment.boot,
                ends=stop,
                ends_boot=moment.boot + arguments.lease,
                ends_at=_iso(stop + 1),
            )
            self._note(journal, "confirm", arguments.caller, fix.id, lease=arguments.lease, rule=new.rule)
            journal.put(new)
            try:
                if fix.set_name and not lease.extend_set(fix.set_name, fix.flow.source, arguments.lease):
                    raise HostError(f"the set {fix.set_name} could not be extended")  # noqa: TRY301  undone below
                rules.replace(Tool(fix.place.backend, fix.flow.version), fix.place, fix.id, new.rule, self._settings.lock_wait)
            except HostError as error:
                journal.put(fix)
                self._note(journal, "not confirmed", arguments.caller, fix.id, why=str(error))
                raise
            return new

    def revert(self, arguments: operations.FixArguments) -> Fix:
        """Takes it out. Of one that has ended, says how. Raises `FixRefused`, `HostError`."""
        self._insist_on_leave()
        with self._journal.held() as journal:
            fix = self._find(journal, arguments.id)
            self._note(journal, "revert", arguments.caller, fix.id, why=arguments.why[:500])
            tool = Tool(fix.place.backend, fix.flow.version)
            rules.remove(tool, lambda found, _chain, _rule: found == fix.id, self._settings.lock_wait)
            if not fix.live:
                return fix
            fix = replace(fix, state=FixState.REVERTED, why=arguments.why[:500])
            if fix.set_name:
                lease.destroy_set(fix.set_name)
            journal.put(fix)
            cut = flows.cut(fix.flow) if fix.cut_flows else 0
            self._note(journal, "reverted", arguments.caller, fix.id, why=fix.why, connections_cut=cut)
            return fix

    def fixes(self) -> Fixes:
        """Those that the journal knows. Where fixes are not allowed nothing is swept."""
        return self.sweep() if self._settings.allow_fix else Fixes(fixes=())

    def sweep(self) -> Fixes:
        """Ends what has ended and takes out what nobody answers for."""
        self._insist_on_leave()
        with self._journal.held() as journal:
            found = self._sweep.run(journal, put_back=self._put_back)
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

    def _apply(self, journal: Writer, order: Order, kept: Fixes) -> Fix:
        if any(fix.id == order.id for fix in kept.fixes):
            raise FixRefused(operations.CHANGED, f"Plan {order.id} was used before: make a new plan.")
        guards.check_count(sum(fix.live for fix in kept.fixes), MOST_LIVE)
        node, firewall = self._eyes.node(), self._eyes.firewall()
        table = reach.table_of(firewall, order.place.backend, order.flow.version)
        found = reach.ground(firewall, order.place.backend, order.flow.version, order.place.chain)
        if found.digest != order.digest:
            raise FixRefused(operations.CHANGED, "The rules that the packet can meet changed since the plan: make a new plan.")
        position = guards.check_place(table, order.place, order.flow)
        timed = self._try(order, node, firewall, position, lease.stamp(lease.stop_after(lease.now(), order.lease)))
        moment = lease.now()
        stop = lease.stop_after(moment, order.lease)
        fix = Fix(
            id=order.id,
            state=FixState.INTENT,
            flow=order.flow,
            place=order.place,
            rule="",
            kind=order.kind,
            caller=order.caller,
            applied_at=_iso(moment.wall),
            ends_at=_iso(stop + 1),
            started=moment.wall,
            started_boot=moment.boot,
            ends=stop,
            ends_boot=moment.boot + order.lease,
            boot_id=lease.boot_id(),
            put_back=order.put_back,
            cut_flows=order.cut_flows,
        )
        return self._write(journal, fix, order, table, timed=timed)

    def _try(self, order: Order, node: Node, firewall: Firewall, position: int, stop: str) -> bool:
        """Has the twin say that it is stopped, and that ours helps; whether the kernel can end it at a time."""
        pod = trial.pod_of(order, node)
        iif = self._eyes.pod_route(pod).interface
        request = trial.request_for(order, node, firewall, pod, iif)

        def with_rule(stop: str) -> TwinResult:
            rule = _spec(order.id, order, stop, "")
            return self._ask(replace(request, insert=trial.insert_for(order, position, rule)))

        with ThreadPoolExecutor(2, thread_name_prefix="twin") as pool:
            before, after = pool.submit(self._ask, request), pool.submit(with_rule, stop)
            trial.insist_on_block(before.result())
            timed = after.result()
        if not any("could not be inserted" in why for why in timed.not_modelled):
            trial.insist_on_help(timed)
            return True
        trial.insist_on_help(with_rule(""))
        return False

    def _ask(self, request: TwinRequest) -> TwinResult:
        result = self._eyes.twin(request)
        return self._eyes.twin(request) if result.problem else result  # a busy machine's worker, out of time

    def _write(self, journal: Writer, fix: Fix, order: Order, table: FilterTable, *, timed: bool) -> Fix:
        name = f"kubereach-{fix.id}"
        fix = replace(fix, set_name=name, rule=_spec(fix.id, fix, lease.stamp(fix.ends) if timed else "", name))
        self._note(journal, "intent", order.caller, fix.id, order=to_plain(order), rule=fix.rule)
        journal.put(fix)
        try:
            if not lease.create_set(name, fix.flow.source, fix.flow.version, order.lease):
                self._insist_on_end(order, timed=timed)
                fix = replace(fix, set_name="", rule=_spec(fix.id, fix, lease.stamp(fix.ends) if timed else "", ""))
                journal.put(fix)
            self._put(fix, table)
            done = replace(fix, state=FixState.APPLIED)
            self._note(journal, "applied", order.caller, fix.id, rule=fix.rule, ends_at=fix.ends_at)
            journal.put(done)
            self._woken.set()
        except (HostError, OSError) as error:
            self._undo(journal, fix, error)
            raise
        return done

    def _put(self, fix: Fix, table: FilterTable) -> None:
        def check(now: FilterTable) -> int:
            if now.lines() != table.lines():
                raise FixRefused(operations.CHANGED, "The chain changed since it was looked at: nothing was changed.")
            return guards.check_place(now, fix.place, fix.flow)

        tool = Tool(fix.place.backend, fix.flow.version)
        rules.put(tool, fix.place, fix.rule, check, self._settings.lock_wait)

    def _put_back(self, journal: Writer, fix: Fix) -> None:
        """Puts a rule in again that a reload took out: where the rule that blocks stands now, for the rest of its time."""
        tool = Tool(fix.place.backend, fix.flow.version)
        table = rules.read(tool)
        guards.check_place(table, fix.place, fix.flow)
        self._note(journal, "put back", "kubereach", fix.id, rule=fix.rule, puts=fix.puts + 1)
        self._put(fix, table)

    def _undo(self, journal: Writer, fix: Fix, error: Exception) -> None:
        """Takes out whatever there may be of it. Where the disk is full the log cannot say so, and the sweep will."""
        tool = Tool(fix.place.backend, fix.flow.version)
        rules.remove(tool, lambda found, _chain, _rule: found == fix.id, self._settings.lock_wait)
        if fix.set_name:
            lease.destroy_set(fix.set_name)
        journal.put(replace(fix, state=FixState.FAILED, why=str(error)))

    def _insist_on_end(self, order: Order, *, timed: bool) -> None:
        if timed or (order.kind is LeaseKind.AGENT and self._stays):
            return
        if order.kind is LeaseKind.AGENT:
            sentence = "Refused: an agent's lease needs a kubereach that stays (`kubereach serve --allow-fix`) to end it."
        else:
            sentence = "Refused: this kernel can neither end a rule at a time (xt_time) nor time out a set's element (ip_set)."
        raise FixRefused(operations.NO_LEASE, sentence)

    def _find(self, journal: Writer, fix_id: str) -> Fix:
        fix = next((fix for fix in journal.fixes().fixes if fix.id == fix_id), None)
        if fix is None:
            raise FixRefused(operations.NO_FIX, f"There is no fix {fix_id!r}: `kubereach fix list` names those that there are.")
        return fix

    def _insist_on_leave(self) -> None:
        if not self._settings.allow_fix:
            sentence = "Refused: fixes are not enabled here. The operator enables them with --allow-fix."
            raise FixRefused(operations.GUARD, sentence)

    @staticmethod
    def _note(journal: Writer, what: str, who: str, fix: str, **more: Any) -> None:
        journal.note({"at": _iso(lease.now().wall), "what": what, "who": who, "fix": fix, **more})


def _spec(fix_id: str, flow_of: Fix | Order, stop: str, set_name: str) -> str:
    flow = flow_of.flow
    return spec(flow.source, flow.destination, flow.port, fix_id, stop=stop, set_name=set_name)


def _same(fix: Fix, order: Order) -> bool:
    return (fix.flow, fix.place.backend, fix.place.chain) == (order.flow, order.place.backend, order.place.chain)


def _iso(seconds: float) -> str:
    return f"{lease.stamp(seconds)}Z"
