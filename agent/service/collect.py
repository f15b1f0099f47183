"""One look at one node: asks the host in the order that makes the counters mean something, and keeps every answer raw.

Reads that do not depend on each other run side by side. The pod's probe runs alone between two readings of the firewall, so
that a counter that rose there has one suspect. What could not be had becomes a problem in the capture; only a broker that
is gone ends the look.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from agent import __version__
from agent.analysis.diagnosis.asked import packets_asked
from agent.analysis.diagnosis.counted import is_counted_as_stopped
from agent.analysis.diagnosis.identify import identify
from agent.analysis.diagnosis.packets import pod_packet
from agent.analysis.diagnosis.plan import plan_probes
from agent.analysis.diagnosis.scrape import read_scrape
from agent.analysis.diagnosis.twin_plan import plan_twin
from agent.analysis.diagnosis.vantages import prefer
from agent.analysis.path.reach import Asked
from agent.model.capture import Capture, Firewall, LegacyChain, Node, NodeObject, PodRoute, Problem, Processes
from agent.model.evidence import NodeEvidence
from agent.model.identity import Identity
from agent.model.phantom import Phantom, PhantomEnd, PhantomRequest
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.scrape import NameLookup, PodFiles
from agent.model.settings import Settings
from agent.model.trace import DeepTrace, TraceRequest
from agent.model.twin import TwinRequest, TwinResult
from agent.service.asking import Progress
from agent.service.clock import Clock
from agent.service.connecting import Connecting
from agent.service.host import BrokerGone, Host, HostError
from agent.service.reading import name_of, read_again, read_for
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


class _Look(Connecting):
    """A look under way."""

    def __init__(self, host: Host, settings: Settings, clock: Clock, progress: Progress | None, senses: Senses) -> None:
        super().__init__(host, settings, clock, progress, senses)
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
        twin = pool.submit(self._twin, plan_twin(identity, node.result(), processes.result(), pod_routes), first)

        def read() -> Firewall | None:
            return self.asked("firewall between", lambda: read_again(self.host, first, asked), lambda _: None)

        def stops(pod: ProbeRequest, between: Firewall) -> bool:
            to_come = ProbeResult(request=pod, outcome=Outcome.NOT_TRIED)
            packet = pod_packet(node.result(), pod_routes, identity, to_come)
            return packet is not None and is_counted_as_stopped(first, between, packet)

        of_pods = [request for request in requests if request.vantage is Vantage.POD]
        alone = self.first_pod(pool, of_pods, first, read, stops)
        kubelet = identity.kubelet.pid if identity.kubelet else None
        # It sends nothing, so that no counter that is read meanwhile moves by it.
        evidence = pool.submit(self._evidence, alone.request, kubelet) if alone.request else None
        if alone.request and alone.between is None:
            alone = replace(alone, between=read())
        deep = pool.submit(self._deep, alone.request) if alone.request and self.settings.deep else None
        # After the first pod's probe, whose counters a question to a name server would move, too.
        scraping = pool.submit(self._scraping, identity, processes.result(), node_object.result())
        tried = {request for request, _ in alone.connects}
        others = tuple(pool.map(self.probe, [request for request in requests if request not in tried]))
        alone, results = alone.ended()
        pod_files, name_lookup = scraping.result()
        legacy_chain = legacy.result()
        twin.result()
        probes = results + others
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
            between=alone.between,
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

    def _firewall(self, name: str, ask: Callable[[], Firewall]) -> Firewall:
        # The problem stands in the reading itself too: an empty firewall must never look like one that accepts.
        return self.asked(name, ask, lambda why: Firewall(problems=(Problem(what=name, why=why),)))

    def _twin(self, request: TwinRequest | TwinResult, firewall: Firewall) -> TwinResult | None:
        if not self.settings.twin:
            return None
        return self.timed("twin", lambda: self._tried(request, firewall)) if isinstance(request, TwinRequest) else request

    def _deep(self, pod: ProbeRequest) -> DeepTrace:
        request = TraceRequest(
            namespace=pod.namespace, source=pod.source, target=pod.target, port=pod.port, timeout=self.settings.connect_timeout
        )
        return self.asked("deep", lambda: self.host.deep(request), lambda why: DeepTrace(request=request, problem=why))

    def _tried(self, request: TwinRequest, firewall: Firewall) -> TwinResult:
        try:
            return self.host.twin(replace(request, firewall=name_of(self.host, firewall)))
        except BrokerGone:
            raise
        except HostError as error:  # one witness less, and it says why; nothing that was to be looked at is missing
            return TwinResult(problem=str(error))

    def _in_part(self, survey: Firewall, asked: Sequence[Asked]) -> Firewall:
        """Of a large firewall the chains that count."""
        if survey.outline is None:
            return survey
        return self._firewall("chains before", lambda: read_for(self.host, asked, survey))

    def _evidence(self, pod: ProbeRequest, kubelet: int | None) -> NodeEvidence | None:
        return self.asked_of_pod("evidence", lambda: self.host.evidence(pod, kubelet))

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
