"""From an order to a rule in the kernel: what stands there now, would it help, written down, put in, read back; or nothing.

Every step is on disk before the kernel is touched, and each that fails takes back those before it. When a rule may be asked
for, and what becomes of it afterwards, is for `fixer.py` to say.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from agent.host import operations
from agent.host.errors import FixRefused, HostError
from agent.host.fixing import guards, lease, reach, rules, trial
from agent.host.fixing.filter_table import FilterTable, spec
from agent.host.fixing.journal import Writer
from agent.host.fixing.tool import Tool
from agent.model.capture import Firewall, Node, PodRoute, Processes
from agent.model.codec import to_plain
from agent.model.fix import Fix, Fixes, FixState
from agent.model.outline import Part
from agent.model.plan import MOST_LIVE, LeaseKind, Order
from agent.model.settings import Settings
from agent.model.twin import TwinRequest, TwinResult


@dataclass(frozen=True, slots=True)
class Eyes:
    """How the broker itself looks at its node."""

    node: Callable[[], Node]
    processes: Callable[[], Processes]
    firewall: Callable[[Sequence[Part]], Firewall]  # of a large nftables, these parts
    pod_route: Callable[[IPv4Address | IPv6Address], PodRoute]
    twin: trial.Twin


class Opening:
    """Puts rules in, one at a time, while the caller holds the journal. `stays`: this process lives until it is told to end."""

    def __init__(self, settings: Settings, eyes: Eyes, *, stays: bool) -> None:
        self._settings, self._eyes, self._stays = settings, eyes, stays

    def open(self, journal: Writer, order: Order, kept: Fixes) -> Fix:
        """Puts the order's rule in. Its shape and its flow are checked already. Raises `FixRefused`, `HostError`."""
        if any(fix.id == order.id for fix in kept.fixes):
            raise FixRefused(operations.CHANGED, f"Plan {order.id} was used before: make a new plan.")
        guards.check_count(sum(fix.live for fix in kept.fixes), MOST_LIVE)
        node, firewall = self._eyes.node(), self._eyes.firewall(order.parts)
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
            applied_at=lease.iso(moment.wall),
            ends_at=lease.iso(stop + 1),
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
            rule = rule_of(order.id, order, stop, "")
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
        fix = replace(fix, set_name=name, rule=rule_of(fix.id, fix, lease.stamp(fix.ends) if timed else "", name))
        journal.note("intent", order.caller, fix.id, order=to_plain(order), rule=fix.rule)
        journal.put(fix)
        try:
            if not lease.create_set(name, fix.flow.source, fix.flow.version, order.lease):
                self._insist_on_end(order, timed=timed)
                fix = replace(fix, set_name="", rule=rule_of(fix.id, fix, lease.stamp(fix.ends) if timed else "", ""))
                journal.put(fix)
            self._put(fix, table)
            done = replace(fix, state=FixState.APPLIED)
            journal.note("applied", order.caller, fix.id, rule=fix.rule, ends_at=fix.ends_at)
            journal.put(done)
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

    def put_back(self, journal: Writer, fix: Fix) -> None:
        """Puts a rule in again that a reload took out: where the rule that blocks stands now, for the rest of its time."""
        tool = Tool(fix.place.backend, fix.flow.version)
        table = rules.read(tool)
        guards.check_place(table, fix.place, fix.flow)
        journal.note("put back", "kubereach", fix.id, rule=fix.rule, puts=fix.puts + 1)
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


def rule_of(fix_id: str, flow_of: Fix | Order, stop: str, set_name: str) -> str:
    """The rule that opens a flow, as iptables-save prints it; without a stop time or a set where those are empty."""
    flow = flow_of.flow
    return spec(flow.source, flow.destination, flow.port, fix_id, stop=stop, set_name=set_name)
