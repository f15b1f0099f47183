"""A host in memory that answers from a capture, for tests and for demonstrations without a node.

It keeps the order in which it was asked, and fails where it is told to.
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from agent.host.errors import FixRefused
from agent.host.operations import MaybeParts
from agent.model.capture import Capture, Firewall, LegacyChain, Node, NodeObject, PodRoute, Processes
from agent.model.evidence import Counters, NodeEvidence
from agent.model.fix import AuditCheck, Fix, Fixes, FixState
from agent.model.outline import Part
from agent.model.phantom import Phantom, PhantomEnd, PhantomRequest
from agent.model.plan import Ground, Order
from agent.model.preflight import Check
from agent.model.probe import Outcome, ProbeRequest, ProbeResult
from agent.model.scrape import Asked, NameAnswer, PodFiles, Question
from agent.model.settings import Settings
from agent.model.trace import DeepTrace, TraceRequest
from agent.model.twin import TwinRequest, TwinResult


@dataclass(slots=True)
class FakeHost:
    """Satisfies `agent.service.host.Host`. `failures` maps a method's name to the error that it raises."""

    capture: Capture
    checks: tuple[Check, ...] = ()
    failures: Mapping[str, Exception] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    closed: bool = False
    brokers: int = 1
    alive: bool = True
    haunted: Capture | None = None  # how everything looks once there is a phantom pod
    grounded: Ground | None = None
    after: TwinResult | None = None
    fixed: dict[str, Fix] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def node(self) -> Node:
        """The capture's node."""
        self._called("node")
        return self.capture.node

    def processes(self) -> Processes:
        """The capture's processes."""
        self._called("processes")
        return self.capture.processes

    def firewall(self) -> Firewall:
        """The first reading before any probe, the second (if there is one) after."""
        with self._lock:
            probed = any(call.startswith("probe") for call in self.calls)
        self._called("firewall")
        return self.capture.between if probed and self.capture.between else self.capture.before

    def survey(self) -> Firewall:
        """The same readings: a captured firewall has all that was read of it."""
        return self.firewall()

    def parts(self, generation: int, wanted: Sequence[Part]) -> MaybeParts:
        """Those parts of the captured firewall; nothing where it has none of that generation."""
        self._called("parts")
        outline = self.capture.before.outline
        if outline is None or outline.generation != generation:
            return MaybeParts(None)
        held = {item.part: item for item in self.capture.before.parts}
        return MaybeParts(tuple(held[part] for part in wanted if part in held))

    def hold(self, parts: Sequence[Part], *, whole: bool = False) -> str:  # noqa: ARG002
        """The name of the captured firewall, whatever parts are meant."""
        self._called(f"hold {len(parts)}")
        return self.capture.before.digest()

    def legacy_chain(self) -> LegacyChain | None:
        """The capture's legacy chain."""
        self._called("legacy_chain")
        return self.capture.legacy_chain

    def pod_route(self, address: str) -> PodRoute:
        """The capture's route to that pod."""
        self._called("pod_route")
        known = {route.pod: route for route in self.capture.pod_routes}
        return known.get(address, PodRoute(pod=address, problem="no route to this pod was captured"))

    def counters(self, namespace: int, port: int) -> Counters:
        """The first counters before any probe, the last after."""
        with self._lock:
            probed = any(call.startswith("probe") for call in self.calls)
        self._called(f"counters {namespace}:{port}")
        return self.capture.counters[-1 if probed else 0] if self.capture.counters else Counters()

    def evidence(self, request: ProbeRequest, kubelet: int | None) -> NodeEvidence:
        """The capture's evidence."""
        self._called(f"evidence {request.source} {kubelet}")
        return self.capture.evidence or NodeEvidence()

    def pod_firewall(self, namespace: int) -> Firewall:
        """The capture's reading of the pod's own rules."""
        self._called(f"pod_firewall {namespace}")
        return self.capture.pod_firewall or Firewall()

    def twin(self, request: TwinRequest) -> TwinResult:
        """The capture's twin, for the rules that were captured."""
        self._called("twin")
        if request.firewall not in {reading.digest() for reading in (self.capture.before, self.capture.between) if reading}:
            return TwinResult(problem="these rules were not captured")
        if request.insert is not None:
            return self.after or TwinResult(problem="no twin with a rule was captured")
        return self.capture.twin or TwinResult(problem="no twin was captured")

    def phantom(self, request: PhantomRequest) -> Phantom:
        """The capture's phantom, in the capture's node from now on."""
        self._called(f"phantom {' '.join(request.pod_cidrs)}")
        if self.haunted is not None:
            self.capture = self.haunted
        return self.capture.phantom or Phantom(problem="no phantom was captured")

    def end_phantom(self) -> PhantomEnd:
        """Nothing is left."""
        self._called("end_phantom")
        return PhantomEnd()

    def deep(self, request: TraceRequest) -> DeepTrace:
        """The capture's trace."""
        self._called("deep")
        return self.capture.deep or DeepTrace(request=request, problem="no trace was captured")

    def preflight(self) -> tuple[Check, ...]:
        """The checks it was made with."""
        self._called("preflight")
        return self.checks

    def ground(self, backend: str, version: int, chain: str, parts: Sequence[Part] = ()) -> Ground:  # noqa: ARG002
        """The one it was given."""
        self._called(f"ground {backend} {version} {chain}")
        return self.grounded or Ground(digest="", lines=(), rules=(), policy="")

    def apply(self, order: Order) -> Fix:
        """A fix that opens the same already, or a new one. It holds no guards: those are the broker's."""
        self._called("apply")
        same = (fix for fix in self.fixed.values() if fix.live and (fix.flow, fix.place) == (order.flow, order.place))
        known = next(same, None)
        if known is not None:
            return replace(known, known=True)
        self.fixed[order.id] = Fix(id=order.id, state=FixState.APPLIED, flow=order.flow, place=order.place, rule="-j ACCEPT")
        return self.fixed[order.id]

    def verified(self, fix: str, caller: str, why: str) -> Fix:  # noqa: ARG002  as a host has it
        """On trial from now on."""
        return self._ended(f"verified {fix}", fix, FixState.TRIAL, why)

    def confirm(self, fix: str, lease: int, caller: str) -> Fix:  # noqa: ARG002  as a host has it
        """Confirmed from now on."""
        return self._ended(f"confirm {fix} {lease}", fix, FixState.CONFIRMED, "")

    def revert(self, fix: str, caller: str, why: str) -> Fix:  # noqa: ARG002  as a host has it
        """Reverted from now on."""
        return self._ended(f"revert {fix}", fix, FixState.REVERTED, why)

    def fixes(self) -> Fixes:
        """Those that were applied."""
        self._called("fixes")
        return Fixes(fixes=tuple(self.fixed.values()))

    def sweep(self) -> Fixes:
        """The same: nothing ends by itself here."""
        self._called("sweep")
        return Fixes(fixes=tuple(self.fixed.values()))

    def audit(self) -> AuditCheck:
        """Whole."""
        self._called("audit")
        return AuditCheck(records=0)

    def incarnation(self) -> int:
        """As many as were said to have been."""
        return self.brokers

    def lives(self) -> bool:
        """Unless it is said not to."""
        return self.alive

    def close(self) -> None:
        """Remembers that it was closed."""
        self.closed = True

    def probe(self, request: ProbeRequest, _sock: socket.socket, _settings: Settings) -> ProbeResult:
        """The captured result for this request: a `Prober`."""
        self._called(f"probe {request.vantage.value}")
        found = (result for result in self.capture.probes if _alike(result.request, request))
        missing = ProbeResult(request=request, outcome=Outcome.NOT_TRIED, detail="no such probe was captured")
        return next(found, missing)

    def node_object(self, _name: str) -> NodeObject | None:
        """The captured Node object: a `NodeReader`."""
        self._called("node_object")
        return self.capture.node_object

    def ask(self, question: Question, _sock: socket.socket, _settings: Settings) -> Asked:
        """The captured answer to this question: an `Asker`."""
        self._called("ask")
        known = self.capture.name_lookup.asked if self.capture.name_lookup else ()
        missing = Asked(question=question, answer=NameAnswer.NOT_TRIED, detail="no such question was captured")
        return next((asked for asked in known if asked.question == question), missing)

    def socket(self, namespace: int, version: int, kind: str = "stream") -> socket.socket:
        """A socket that nothing is ever sent on."""
        self._called(f"socket {namespace}")
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        return socket.socket(family, socket.SOCK_DGRAM if kind == "dgram" else socket.SOCK_STREAM)

    def pod_files(self, namespace: int) -> PodFiles:
        """The captured files, whichever pod is meant."""
        self._called("pod_files")
        return self.capture.pod_files or PodFiles(namespace=namespace, problem="no files of a pod were captured")

    def _ended(self, call: str, fix: str, state: FixState, why: str) -> Fix:
        self._called(call)
        if fix not in self.fixed:
            raise FixRefused("no-such-fix", f"There is no fix {fix!r}.")
        self.fixed[fix] = replace(self.fixed[fix], state=state, why=why)
        return self.fixed[fix]

    def _called(self, name: str) -> None:
        with self._lock:
            self.calls.append(name)
        operation = name.partition(" ")[0]
        if operation in self.failures:
            raise self.failures[operation]


def _alike(captured: ProbeRequest, asked: ProbeRequest) -> bool:
    """Whether it is the same connect, whenever it is made."""
    return replace(captured, after=0.0) == replace(asked, after=0.0)
