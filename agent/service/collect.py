"""One look at one node: asks the host in the order that makes the counters mean something, and keeps every answer raw.

Reads that do not depend on each other run side by side. The pod's probe runs alone between two readings of the firewall, so
that a counter that rose there has one suspect. What could not be had becomes a problem in the capture; only a broker that
is gone ends the look.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from agent import __version__
from agent.analysis.diagnosis.asked import packets_asked
from agent.analysis.diagnosis.identify import identify
from agent.analysis.diagnosis.plan import plan_probes
from agent.analysis.diagnosis.scrape import read_scrape
from agent.analysis.diagnosis.twin_plan import plan_twin
from agent.analysis.path.reach import Asked
from agent.cluster.node import read_node
from agent.host.probe import probe
from agent.host.resolver import ask
from agent.model.capture import Capture, Firewall, LegacyChain, Node, NodeObject, PodRoute, Problem, Processes, Stage
from agent.model.evidence import Counters, NodeEvidence
from agent.model.identity import Identity
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.scrape import NameLookup, PodFiles
from agent.model.settings import Settings
from agent.model.twin import TwinRequest, TwinResult
from agent.service.clock import Clock
from agent.service.host import Asker, BrokerGone, Host, HostError, NamespaceGone, NodeReader, Prober
from agent.service.reading import read_again, read_for
from agent.service.scraping import Scraping, hold_certificate

T = TypeVar("T")
Progress = Callable[[Stage], None]

# Five reads at the start, of which the legacy chain may last until the end, beside the twin and two probes.
_THREADS = 6


@dataclass(frozen=True, slots=True)
class Senses:
    """What a look uses beside the host: how a connect is made and how Kubernetes is asked. Tests give others."""

    probe: Prober = probe
    read_node: NodeReader = read_node
    ask: Asker = ask


_SENSES = Senses()


def collect(
    host: Host, settings: Settings, clock: Clock, progress: Progress | None = None, senses: Senses = _SENSES
) -> Capture:
    """A capture of the node. `progress` hears of each stage as it ends, from any thread. Raises `BrokerGone`."""
    look = _Look(host, settings, clock, progress, senses)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="collect") as pool:
        return look.capture(pool)


def probe_only(
    host: Host, settings: Settings, clock: Clock, senses: Senses = _SENSES
) -> tuple[tuple[ProbeResult, ...], tuple[Problem, ...]]:
    """The probes without the firewall, and what could not be looked at on the way. Raises `BrokerGone`."""
    look = _Look(host, settings, clock, None, senses)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="probe") as pool:
        node, processes, node_object = look.who_is_here(pool)
        requests = plan_probes(identify(node.result(), processes.result(), node_object.result(), settings))
        return tuple(pool.map(look.probe, requests)), tuple(look.problems)


class _Look:
    """A look under way: the answers' times and the problems met so far."""

    def __init__(self, host: Host, settings: Settings, clock: Clock, progress: Progress | None, senses: Senses) -> None:
        self.host, self.settings, self.clock, self.progress, self.senses = host, settings, clock, progress, senses
        self.stages: list[Stage] = []
        self.problems: list[Problem] = []

    def capture(self, pool: ThreadPoolExecutor) -> Capture:
        taken_at, start = self.clock.now(), self.clock.monotonic()
        # A worker's answer, the slowest of all and needed by nobody before the end.
        legacy = pool.submit(self._legacy_chain)
        before = pool.submit(self._firewall, "firewall before", self.host.survey)
        node, processes, node_object = self.who_is_here(pool)
        identity = identify(node.result(), processes.result(), node_object.result(), self.settings)
        requests = plan_probes(identity)
        pods = sorted({request.source for request in requests if request.vantage is Vantage.POD})
        pod_routes = tuple(self._pod_route(pod) for pod in pods)
        asked = packets_asked(identity, node.result(), pod_routes, requests)
        first = self._in_part(before.result(), asked)
        request = self._plan_twin(identity, node.result(), processes.result(), pod_routes, first)
        twin = pool.submit(self._twin, request)
        pod = next((request for request in requests if request.vantage is Vantage.POD), None)
        pod_firewall = self._pod_firewall(pod) if pod else None
        counted = [self._counters(pod)] if pod else []
        alone = tuple(self.probe(request) for request in requests if request.vantage is Vantage.POD)
        counted += [self._counters(pod)] if pod else []
        between = self._between(first, asked) if alone else None
        kubelet = identity.kubelet.pid if identity.kubelet else None
        evidence = pool.submit(self._evidence, pod, kubelet) if pod else None
        # After the pod's probe, whose counters a question to a name server would move, too.
        scraping = pool.submit(self._scraping, identity, processes.result(), node_object.result())
        others = tuple(pool.map(self.probe, [request for request in requests if request.vantage is not Vantage.POD]))
        pod_files, name_lookup = scraping.result()
        legacy_chain = legacy.result()
        twin.result()
        self._ended("total", start)
        return Capture(
            version=__version__,
            taken_at=taken_at,
            settings=self.settings,
            node=node.result(),
            processes=processes.result(),
            before=first,
            between=between,
            node_object=node_object.result(),
            legacy_chain=legacy_chain,
            pod_routes=pod_routes,
            probes=alone + others,
            twin=twin.result(),
            counters=tuple(item for item in counted if item),
            evidence=evidence.result() if evidence else None,
            pod_firewall=pod_firewall,
            pod_files=pod_files,
            name_lookup=name_lookup,
            trust=hold_certificate(alone + others, pod_files),
            stages=tuple(self.stages),
            problems=tuple(self.problems),
        )

    def who_is_here(self, pool: ThreadPoolExecutor) -> tuple[Future[Node], Future[Processes], Future[NodeObject | None]]:
        """What `identify` needs, asked side by side."""
        return (
            pool.submit(self._asked, "node", self.host.node, lambda _: Node(hostname=self.settings.node_name)),
            pool.submit(self._asked, "processes", self.host.processes, lambda why: Processes(problem=why)),
            pool.submit(self._timed, "node object", lambda: self.senses.read_node(self.settings.node_name)),
        )

    def probe(self, request: ProbeRequest) -> ProbeResult:
        """The connect, or the reason why there was none, as a result."""
        return self._timed(f"probe {request.vantage.value}", lambda: self._probe(request))

    def _probe(self, request: ProbeRequest) -> ProbeResult:
        try:
            with self.host.socket(request.namespace, ip_address(request.target).version) as sock:
                return self.senses.probe(request, sock, self.settings)
        except NamespaceGone as error:
            return ProbeResult(request=request, outcome=Outcome.POD_GONE, detail=str(error))
        except BrokerGone:
            raise
        except HostError as error:
            self.problems.append(Problem(what=f"the {request.vantage.value}'s probe", why=str(error)))
            return ProbeResult(request=request, outcome=Outcome.NOT_TRIED, detail=str(error))

    def _firewall(self, name: str, ask: Callable[[], Firewall]) -> Firewall:
        # The problem stands in the reading itself too: an empty firewall must never look like one that accepts.
        return self._asked(name, ask, lambda why: Firewall(problems=(Problem(what=name, why=why),)))

    def _plan_twin(
        self, identity: Identity, node: Node, processes: Processes, pod_routes: tuple[PodRoute, ...], firewall: Firewall
    ) -> TwinRequest | TwinResult | None:
        return plan_twin(identity, node, processes, pod_routes, firewall) if self.settings.twin else None

    def _twin(self, request: TwinRequest | TwinResult | None) -> TwinResult | None:
        if not isinstance(request, TwinRequest):
            return request
        return self._timed("twin", lambda: self._tried(request))

    def _tried(self, request: TwinRequest) -> TwinResult:
        try:
            return self.host.twin(request)
        except BrokerGone:
            raise
        except HostError as error:  # one witness less, and it says why; nothing that was to be looked at is missing
            return TwinResult(problem=str(error))

    def _in_part(self, survey: Firewall, asked: Sequence[Asked]) -> Firewall:
        """Of a large firewall the chains that count."""
        if survey.outline is None:
            return survey
        return self._firewall("chains before", lambda: read_for(self.host, asked, survey))

    def _between(self, first: Firewall, asked: Sequence[Asked]) -> Firewall | None:
        return self._asked("firewall between", lambda: read_again(self.host, first, asked), lambda _: None)

    def _counters(self, pod: ProbeRequest) -> Counters | None:
        return self._asked("counters", lambda: self.host.counters(pod.namespace, pod.port), lambda _: None)

    def _evidence(self, pod: ProbeRequest, kubelet: int | None) -> NodeEvidence | None:
        return self._asked("evidence", lambda: self.host.evidence(pod, kubelet), lambda _: None)

    def _pod_firewall(self, pod: ProbeRequest) -> Firewall | None:
        try:
            return self._timed("pod firewall", lambda: self.host.pod_firewall(pod.namespace))
        except BrokerGone:
            raise
        except HostError as error:
            if not isinstance(error, NamespaceGone):  # that is the probe's own outcome, told there
                self.problems.append(Problem(what="the pod's own firewall", why=str(error)))
            return None

    def _scraping(
        self, identity: Identity, processes: Processes, node_object: NodeObject | None
    ) -> tuple[PodFiles | None, NameLookup | None]:
        """What a scrape needs beside the connect. One after the other: none of it takes long where nothing is wrong."""
        scrape = read_scrape(processes, node_object, identity)
        scraping = Scraping(self.host, self.settings, self.senses.ask)
        files = self._asked("pod files", lambda: scraping.pod_files(scrape, identity), lambda why: PodFiles(problem=why))
        return files, self._timed("name lookup", lambda: scraping.lookup(scrape, files))

    def _legacy_chain(self) -> LegacyChain | None:
        return self._asked("legacy chain", self.host.legacy_chain, lambda why: LegacyChain(problem=why))

    def _pod_route(self, pod: str) -> PodRoute:
        return self._asked("pod route", lambda: self.host.pod_route(pod), lambda why: PodRoute(pod=pod, problem=why))

    def _asked(self, name: str, ask: Callable[[], T], instead: Callable[[str], T]) -> T:
        """The host's answer; where it has none, a problem and what `instead` makes of the reason."""
        try:
            return self._timed(name, ask)
        except BrokerGone:
            raise
        except HostError as error:
            self.problems.append(Problem(what=name, why=str(error)))
            return instead(str(error))

    def _timed(self, name: str, ask: Callable[[], T]) -> T:
        start = self.clock.monotonic()
        try:
            return ask()
        finally:
            self._ended(name, start)

    def _ended(self, name: str, start: float) -> None:
        stage = Stage(name=name, seconds=round(self.clock.monotonic() - start, 6))
        self.stages.append(stage)
        if self.progress:
            self.progress(stage)
