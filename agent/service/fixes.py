"""The life of a fix as a caller sees it: plan, apply, a real connect, trial, confirm, revert. Plans change nothing.

The broker holds every guard again and keeps the journal; here is what needs analysis, the network, or a person's words.
"""

import difflib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import Lock

from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.diagnosis.places import rule_name
from agent.analysis.diagnosis.scene import read_scene
from agent.analysis.diagnosis.twin_plan import plan_packet
from agent.analysis.fixing.case import NoPlanError, make_case
from agent.analysis.fixing.draft import draft, finish
from agent.model.capture import Capture, Interface
from agent.model.fix import AuditCheck, Fix, Fixes, FixState
from agent.model.plan import LEASE, LeaseKind, Order, Plan
from agent.model.probe import REFUSED, Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.report import Report
from agent.model.settings import Settings
from agent.model.twin import TwinInsert, TwinRequest, TwinResult
from agent.service.clock import Clock
from agent.service.host import FixRefused, Host, NamespaceGone, Prober
from agent.service.reading import hold, parts_of

# A plan is a page of text; nobody needs more of them than this, and each is soon out of date.
_KEPT = 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a caller may ask of a fix beyond its plan."""

    kind: LeaseKind = LeaseKind.KERNEL
    put_back: bool = False
    cut_flows: bool = False


@dataclass(slots=True)
class Fixing:
    """Plans and fixes of one node. Safe from any thread.

    `look` makes a capture, `probe` a connect; `changed` is called when the firewall may have become another, `told` with each
    fix that was changed here; neither may wait for anybody.
    """

    host: Host
    settings: Settings
    clock: Clock
    look: Callable[[], Capture]
    probe: Prober
    changed: Callable[[], None] = lambda: None
    told: Callable[[Fix], None] = lambda _: None
    _plans: dict[str, Plan] = field(default_factory=dict)
    _outcomes: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def plan(self) -> Plan:
        """A plan for what is wrong now. Raises `FixRefused` where there is none to be made, `HostError`."""
        capture = self.look()
        report = analyse(capture)
        try:
            made = self._plan(capture, report)
        except NoPlanError as error:
            raise FixRefused("guard", str(error)) from error
        with self._lock:
            self._plans[made.id] = made
            while len(self._plans) > _KEPT:
                del self._plans[next(iter(self._plans))]
        return made

    def planned(self, plan_id: str) -> Plan:
        """A plan that was made here. Raises `FixRefused`."""
        with self._lock:
            found = self._plans.get(plan_id)
        if found is None:
            raise FixRefused("no-such-fix", "There is no such plan, or it is forgotten: make a new one.")
        return found

    def apply(self, plan: Plan, caller: str, wishes: Wishes | None = None) -> Fix:
        """Puts the rule in and tries it with a connect from a pod; else takes it out again. Raises `FixRefused`."""
        wanted = wishes or Wishes()
        order = Order(
            id=plan.id,
            flow=plan.flow,
            place=plan.place,
            digest=plan.digest,
            lease=self.settings.trial,
            kind=wanted.kind,
            caller=caller,
            put_back=wanted.put_back,
            cut_flows=wanted.cut_flows,
            parts=plan.parts,
        )
        try:
            fix = self.host.apply(order)
        except FixRefused as refusal:
            self._ended(refusal.kind, plan.id, caller, str(refusal))
            if refusal.kind == "changed":
                raise FixRefused(refusal.kind, str(refusal), self._difference(plan)) from refusal
            raise
        if fix.state is not FixState.APPLIED or fix.known:
            self._ended("known", fix.id, caller, "it was open already")
            return fix
        return self._verify(fix, caller)

    def confirm(self, fix_id: str, caller: str, lease: int = LEASE) -> Fix:
        """Has it last. Raises `FixRefused`, `HostError`."""
        fix = self.host.confirm(fix_id, lease, caller)
        self.told(fix)
        self._ended("confirmed", fix.id, caller, f"until {fix.ends_at}")
        return fix

    def revert(self, fix_id: str, caller: str, why: str = "asked for") -> Fix:
        """Takes it out; of one that has ended, says how. Raises `FixRefused`, `HostError`."""
        fix = self.host.revert(fix_id, caller, why)
        self.told(fix)
        self._ended(fix.state.value, fix.id, caller, why)
        return fix

    def all(self) -> Fixes:
        """Those that are known, newest first. Raises `HostError`."""
        return self.host.fixes()

    def get(self, fix_id: str) -> Fix:
        """One of them. Raises `FixRefused`, `HostError`."""
        found = next((fix for fix in self.all().fixes if fix.id == fix_id), None)
        if found is None:
            raise FixRefused("no-such-fix", "There is no such fix, or it is forgotten.")
        return found

    def audit(self) -> AuditCheck:
        """Whether the audit log is whole. Raises `FixRefused` where it cannot be read."""
        return self.host.audit()

    def counts(self) -> dict[str, int]:
        """How often each outcome was met since the start."""
        with self._lock:
            return dict(self._outcomes)

    def _plan(self, capture: Capture, report: Report) -> Plan:
        scene = read_scene(capture)
        case = make_case(report, scene)
        plan_id = self.clock.new_id()
        parts = parts_of(capture.before)
        ground = self.host.ground(case.rule.backend, case.packet.version, case.rule.chain, parts)
        found = draft(case, ground, plan_id)
        before, after = self._twins(capture, found.insert)
        made = finish(
            found,
            scene.ruleset,
            (before, after),
            plan_id=plan_id,
            node=report.node,
            made_at=self.clock.now(),
            probe=scene.pod_probe.outcome.value if scene.pod_probe else "",
        )
        return replace(made, parts=parts)

    def _twins(self, capture: Capture, insert: TwinInsert) -> tuple[TwinResult, TwinResult]:
        if capture.before.outline is None:
            firewall = self.host.firewall()
            name, seen = firewall.digest(), replace(capture, before=firewall, between=None)
        else:
            name, seen = hold(self.host, parts_of(capture.before), whole=True), capture
        scene = read_scene(seen)
        if scene.packet is None:
            raise NoPlanError("The pod's packet is not known any more: try again.")
        packet = replace(scene.packet, sport=None)
        asked = [plan_packet(packet, capture.node, insert=each) for each in (None, insert)]
        with ThreadPoolExecutor(2, thread_name_prefix="twin") as pool:
            before, after = pool.map(lambda request: self._twin(request, name), asked)
        return before, after

    def _twin(self, request: TwinRequest | TwinResult, rules: str) -> TwinResult:
        if not isinstance(request, TwinRequest):
            return request
        request = replace(request, firewall=rules)
        result = self.host.twin(request)
        return self.host.twin(request) if result.problem else result  # a busy machine's worker, out of time

    def _verify(self, fix: Fix, caller: str) -> Fix:
        result = self._connect(fix)
        if result is not None and result.outcome is Outcome.OPEN:
            saw = f"connect from {result.source or result.request.source}: open"
            fix = self.host.verified(fix.id, caller, saw)
            self.told(fix)
            self._ended("applied", fix.id, caller, saw)
            return fix
        saw = f"the connect from a pod met {result.outcome}" if result else "there was no pod left to try it from"
        self.told(self.host.revert(fix.id, caller, f"not verified: {saw}"))
        sentence = f"It was put in and taken out again, because {saw}. {self._who_now()}"
        self._ended("not-verified", fix.id, caller, sentence)
        raise FixRefused("changed", sentence)

    def _connect(self, fix: Fix) -> ProbeResult | None:
        """From each pod of the flow's network, until one's packet came as far as the rules; else one that did not.

        What has an address of the node's own is no pod: a former node's namespace, say, which a process still holds.
        """
        network, version = ip_network(fix.flow.source), fix.flow.version
        node, refused = self.host.node(), None
        own = set(_addresses(node.interfaces))
        for space in node.namespaces:
            address = next((each for each in _addresses(space.interfaces) if each in network and each not in own), None)
            if address is None:
                continue
            request = ProbeRequest(
                vantage=Vantage.POD,
                namespace=space.inode,
                source=str(address),
                target=fix.flow.destination,
                port=fix.flow.port,
            )
            try:
                with self.host.socket(space.inode, version) as sock:
                    result = self.probe(request, sock, self.settings)
            except NamespaceGone:
                continue
            if result.outcome in REFUSED:  # that says nothing of the node's rules
                refused = refused or result
            elif result.outcome not in (Outcome.NOT_TRIED, Outcome.POD_GONE):
                return result
        return refused

    def _who_now(self) -> str:
        report = analyse(self.look())
        rule = report.explanation.decided_by if report.explanation else None
        if rule is None:
            return report.summary
        handle = f", handle {rule.handle}" if rule.handle is not None else ""
        return f"{report.summary} Now it is {rule_name(rule)}{handle}: {rule.text}"

    def _difference(self, plan: Plan) -> tuple[str, ...]:
        now = self.host.ground(plan.place.backend, plan.flow.version, plan.place.chain, plan.parts).lines
        lines = difflib.unified_diff(plan.ground, now, "plan", "now", lineterm="", n=0)
        return tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))[:50]

    def _ended(self, outcome: str, fix: str, caller: str, why: str) -> None:
        self.changed()  # a report from before must not be told any more
        with self._lock:
            self._outcomes[outcome] += 1
        _log.info("fix %s: %s for %s: %s", fix, outcome, caller, why)


def _addresses(interfaces: Iterable[Interface]) -> Iterator[IPv4Address | IPv6Address]:
    return (ip_address(text.split("/")[0].split("%")[0]) for link in interfaces for text in link.addresses)
