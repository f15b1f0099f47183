"""One look at one node: asks the host in the order that makes the counters mean something, and keeps every answer raw.

Reads that do not depend on each other run side by side. The pod's probe runs alone between two readings of the firewall, so
that a counter that rose there has one suspect. What could not be had becomes a problem in the capture; only a broker that
is gone ends the look.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_address

from agent import __version__
from agent.analysis.diagnosis.asked import packets_asked
from agent.analysis.diagnosis.identify import identify
from agent.analysis.diagnosis.plan import plan_probes
from agent.analysis.diagnosis.scrape import read_scrape
from agent.analysis.diagnosis.twin_plan import plan_twin
from agent.analysis.diagnosis.vantages import prefer
from agent.analysis.path.reach import Asked
from agent.model.capture import Capture, Firewall, LegacyChain, Node, NodeObject, PodRoute, Problem, Processes
from agent.model.evidence import Counters, NodeEvidence
from agent.model.identity import Identity
from agent.model.phantom import Phantom, PhantomEnd, PhantomRequest
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.scrape import NameLookup, PodFiles
from agent.model.settings import Settings
from agent.model.trace import DeepTrace, TraceRequest
from agent.model.twin import TwinRequest, TwinResult
from agent.service.asking import Asking, Progress
from agent.service.clock import Clock
from agent.service.host import BrokerGone, Host, HostError, NamespaceGone
from agent.service.reading import read_again, read_for
from agent.service.scraping import Scraping, hold_certificate
from agent.service.senses import Senses

# Five reads at the start, of which the legacy chain may last until the end, beside the twin and two probes.
# Up to 22 probes of neighbours, each of which may wait for its timeout; a pool makes threads only as they are needed.
_THREADS = 24


_SENSES = Senses()


def collect(
    host: Host, settings: Settings, clock: Clock, progress: Progress | None = None, senses: Senses = _SENSES
) -> Capture:
    """A capture of the node. `progress` hears of each stage as it ends, from any thread. Raises `BrokerGone`."""
    look = _Look(host, settings, clock, progress, senses)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="collect") as pool:
        try:
            return look.capture(pool)
        finally:
            look.end_phantom()


def probe_only(
    host: Host, settings: Settings, clock: Clock, senses: Senses = _SENSES, requests: Sequence[ProbeRequest] = ()
) -> tuple[tuple[ProbeResult, ...], tuple[Problem, ...]]:
    """The probes without the firewall, and what could not be looked at on the way. Raises `BrokerGone`.

    These `requests`; where there are none, those that are right for the node as it is now.
    """
    look = _Look(host, settings, clock, None, senses)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="probe") as pool:
        if not requests:
            node, processes, node_object = look.who_is_here(pool)
            requests = plan_probes(identify(node.result(), processes.result(), node_object.result(), settings))
        return tuple(pool.map(look.probe, requests)), tuple(look.problems)


@dataclass(frozen=True, slots=True)
class _FirstPod:
    """The first pod that was there to be tried (`request`), the connects until then, and what was read around its own."""

    request: ProbeRequest | None = None
    results: tuple[ProbeResult, ...] = ()
    counters: tuple[Counters, ...] = ()
    firewall: Firewall | None = None


class _Look(Asking):
    """A look under way."""

    def __init__(self, host: Host, settings: Settings, clock: Clock, progress: Progress | None, senses: Senses) -> None:
        super().__init__(clock, progress)
        self.host, self.settings, self.senses = host, settings, senses
        self.phantom: Phantom | None = None
        self._haunted = False  # there is a phantom, or there may be one

    def capture(self, pool: ThreadPoolExecutor) -> Capture:
        taken_at, start = self.clock.now(), self.clock.monotonic()
        # A worker's answer, the slowest of all and needed by nobody before the end.
        legacy = pool.submit(self._legacy_chain)
        before = pool.submit(self._firewall, "firewall before", self.host.survey)
        node, processes, node_object = self.who_is_here(pool)
        identity = identify(node.result(), processes.result(), node_object.result(), self.settings)
        if self.settings.phantom and not identity.pods and self._haunt(identity):
            before.result()  # made before the phantom: CNI may have added rules for it
            before = pool.submit(self._firewall, "firewall before", self.host.survey)
            node = pool.submit(self._node)
            identity = identify(node.result(), processes.result(), node_object.result(), self.settings)
        surveyed = before.result()
        identity = prefer(identity, node.result(), surveyed)
        requests = plan_probes(identity)
        pods = sorted({request.source for request in requests if request.vantage is Vantage.POD})
        pod_routes = tuple(self._pod_route(pod) for pod in pods)
        asked = packets_asked(identity, node.result(), pod_routes, requests)
        first = self._in_part(surveyed, asked)
        request = self._plan_twin(identity, node.result(), processes.result(), pod_routes, first)
        twin = pool.submit(self._twin, request)
        alone = self._first_pod(pool, [request for request in requests if request.vantage is Vantage.POD])
        kubelet = identity.kubelet.pid if identity.kubelet else None
        # It sends nothing, so that no counter that is read meanwhile moves by it.
        evidence = pool.submit(self._evidence, alone.request, kubelet) if alone.request else None
        between = self._between(first, asked) if alone.request else None
        deep = pool.submit(self._deep, alone.request) if alone.request and self.settings.deep else None
        # After the first pod's probe, whose counters a question to a name server would move, too.
        scraping = pool.submit(self._scraping, identity, processes.result(), node_object.result())
        tried = {result.request for result in alone.results}
        others = tuple(pool.map(self.probe, [request for request in requests if request not in tried]))
        pod_files, name_lookup = scraping.result()
        legacy_chain = legacy.result()
        twin.result()
        probes = alone.results + others
        traced = deep.result() if deep else None
        seen = evidence.result() if evidence else None
        self.end_phantom()
        self.ended("total", start)
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
            probes=probes,
            twin=twin.result(),
            counters=alone.counters,
            evidence=seen,
            pod_firewall=alone.firewall,
            pod_files=pod_files,
            name_lookup=name_lookup,
            trust=hold_certificate(probes, pod_files),
            phantom=self.phantom,
            deep=traced,
            stages=tuple(self.stages),
            problems=tuple(self.problems),
        )

    def who_is_here(self, pool: ThreadPoolExecutor) -> tuple[Future[Node], Future[Processes], Future[NodeObject | None]]:
        """What `identify` needs, asked side by side."""
        return (
            pool.submit(self._node),
            pool.submit(self.asked, "processes", self.host.processes, lambda why: Processes(problem=why)),
            pool.submit(self.timed, "node object", lambda: self.senses.read_node(self.settings.node_name)),
        )

    def _node(self) -> Node:
        return self.asked("node", self.host.node, lambda _: Node(hostname=self.settings.node_name))

    def _haunt(self, identity: Identity) -> bool:
        """Whether there is a phantom pod now."""
        request = PhantomRequest(pod_cidrs=identity.pod_cidrs, taken=identity.node_ips)
        self._haunted = True
        self.phantom = self.asked("phantom pod", lambda: self.host.phantom(request), lambda why: Phantom(problem=why))
        if self.phantom.problem:
            self.problems.append(Problem(what="phantom pod", why=self.phantom.problem))
        return bool(self.phantom.address)

    def end_phantom(self) -> None:
        """Has the phantom pod taken back, where one was asked for. What could not be becomes a problem."""
        if not self._haunted:
            return
        self._haunted = False
        ended = self.asked("phantom pod's end", self.host.end_phantom, lambda why: PhantomEnd(problem=why))
        if ended.problem:
            self.problems.append(Problem(what="phantom pod", why=ended.problem))

    def probe(self, request: ProbeRequest) -> ProbeResult:
        """The connect, or the reason why there was none, as a result."""
        return self.timed(f"probe {request.vantage.value}", lambda: self._probe(request))

    def _first_pod(self, pool: ThreadPoolExecutor, requests: Sequence[ProbeRequest]) -> _FirstPod:
        """The first pod's connect, alone and between two readings of counters; where it is gone meanwhile, the next one's."""
        first = _FirstPod()
        for request in (item for item in requests if item.target == requests[0].target):
            firewall = pool.submit(self._pod_firewall, request)  # to read rules moves no counter either
            before = self._counters(request)
            result = self.probe(request)
            counted = tuple(filter(None, (before, self._counters(request))))
            first = _FirstPod(request, (*first.results, result), counted, firewall.result())
            if result.outcome is not Outcome.POD_GONE:
                break
        return first

    def _probe(self, request: ProbeRequest) -> ProbeResult:
        if request.after:
            self.senses.pause(request.after)
        try:
            with self.host.socket(request.namespace, ip_address(request.target).version) as sock:
                result = self.senses.probe(request, sock, self.settings)
        except NamespaceGone as error:
            return ProbeResult(request=request, outcome=Outcome.POD_GONE, detail=str(error))
        except BrokerGone:
            raise
        except HostError as error:
            self.problems.append(Problem(what=f"the {request.vantage.value}'s probe", why=str(error)))
            return ProbeResult(request=request, outcome=Outcome.NOT_TRIED, detail=str(error))
        return self._or_gone(result)

    def _or_gone(self, result: ProbeResult) -> ProbeResult:
        """A pod that died under its probe has told nothing of the way: its routes and its cable went with it."""
        request = result.request
        if not request.namespace or result.outcome is Outcome.OPEN:
            return result
        try:
            self.host.socket(request.namespace, ip_address(request.target).version).close()
        except NamespaceGone as error:
            return replace(result, outcome=Outcome.POD_GONE, detail=f"it ended during the probe: {error}")
        except BrokerGone:
            raise
        except HostError:  # whether it is there could not be asked; what the connect met stands
            return result
        return result

    def _firewall(self, name: str, ask: Callable[[], Firewall]) -> Firewall:
        # The problem stands in the reading itself too: an empty firewall must never look like one that accepts.
        return self.asked(name, ask, lambda why: Firewall(problems=(Problem(what=name, why=why),)))

    def _plan_twin(
        self, identity: Identity, node: Node, processes: Processes, pod_routes: tuple[PodRoute, ...], firewall: Firewall
    ) -> TwinRequest | TwinResult | None:
        return plan_twin(identity, node, processes, pod_routes, firewall) if self.settings.twin else None

    def _twin(self, request: TwinRequest | TwinResult | None) -> TwinResult | None:
        if not isinstance(request, TwinRequest):
            return request
        return self.timed("twin", lambda: self._tried(request))

    def _deep(self, pod: ProbeRequest) -> DeepTrace:
        request = TraceRequest(
            namespace=pod.namespace, source=pod.source, target=pod.target, port=pod.port, timeout=self.settings.connect_timeout
        )
        return self.asked("deep", lambda: self.host.deep(request), lambda why: DeepTrace(request=request, problem=why))

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
        return self.asked("firewall between", lambda: read_again(self.host, first, asked), lambda _: None)

    def _counters(self, pod: ProbeRequest) -> Counters | None:
        return self.asked_of_pod("counters", lambda: self.host.counters(pod.namespace, pod.port))

    def _evidence(self, pod: ProbeRequest, kubelet: int | None) -> NodeEvidence | None:
        return self.asked_of_pod("evidence", lambda: self.host.evidence(pod, kubelet))

    def _pod_firewall(self, pod: ProbeRequest) -> Firewall | None:
        return self.asked_of_pod("pod firewall", lambda: self.host.pod_firewall(pod.namespace))

    def _scraping(
        self, identity: Identity, processes: Processes, node_object: NodeObject | None
    ) -> tuple[PodFiles | None, NameLookup | None]:
        """What a scrape needs beside the connect. One after the other: none of it takes long where nothing is wrong."""
        scrape = read_scrape(processes, node_object, identity)
        scraping = Scraping(self.host, self.settings, self.senses.ask)
        files = self.asked("pod files", lambda: scraping.pod_files(scrape, identity), lambda why: PodFiles(problem=why))
        return files, self.timed("name lookup", lambda: scraping.lookup(scrape, files))

    def _legacy_chain(self) -> LegacyChain | None:
        return self.asked("legacy chain", self.host.legacy_chain, lambda why: LegacyChain(problem=why))

    def _pod_route(self, pod: str) -> PodRoute:
        return self.asked("pod route", lambda: self.host.pod_route(pod), lambda why: PodRoute(pod=pod, problem=why))
