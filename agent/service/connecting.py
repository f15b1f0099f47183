"""The connects of a look, and what is read around the first pod's.

That one runs alone between two readings of counters and rules, so that what rose there has one suspect. A connect that nobody
answers would keep all others waiting until its deadline: once the rule that stops it has counted it, they need not.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from ipaddress import ip_address

from agent.model.capture import Firewall, Problem
from agent.model.evidence import Counters
from agent.model.probe import Outcome, ProbeRequest, ProbeResult
from agent.model.settings import Settings
from agent.service.asking import Asking, Progress
from agent.service.clock import Clock
from agent.service.host import BrokerGone, Host, HostError, NamespaceGone
from agent.service.senses import Senses

# Seconds. On its own node a pod's SYN is answered, or met by its rule, in less than one thousandth.
_SILENT = 0.05
# Bytes of rules. More are not understood three times in one look.
_SMALL = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FirstPod:
    """The first pod that was there to be tried, and what was read around its connect.

    `connects` are its own, which may be under way, and before it those of pods that were gone. `between` are the rules after
    it, where they were read already; `firewall` is the pod's own.
    """

    connects: tuple[tuple[ProbeRequest, Future[ProbeResult]], ...] = ()
    counters: tuple[Counters, ...] = ()
    firewall: Firewall | None = None
    between: Firewall | None = None

    @property
    def request(self) -> ProbeRequest | None:
        """What its connect was to be; None where there was no pod."""
        return self.connects[-1][0] if self.connects else None

    def ended(self) -> tuple["FirstPod", tuple[ProbeResult, ...]]:
        """The same and the results, once all have ended. Nothing was read around a pod that went away under its connect."""
        results = tuple(connect.result() for _, connect in self.connects)
        gone = bool(results) and results[-1].outcome is Outcome.POD_GONE
        return (replace(self, counters=(), between=None) if gone else self), results


class Connecting(Asking):
    """Asks the host for sockets, and connects them."""

    def __init__(self, host: Host, settings: Settings, clock: Clock, progress: Progress | None, senses: Senses) -> None:
        super().__init__(clock, progress)
        self.host, self.settings, self.senses = host, settings, senses

    def probe(self, request: ProbeRequest) -> ProbeResult:
        """The connect, or the reason why there was none, as a result."""
        return self.timed(f"probe {request.vantage.value}", lambda: self._probe(request))

    def first_pod(
        self,
        pool: ThreadPoolExecutor,
        requests: Sequence[ProbeRequest],
        first: Firewall,
        read: Callable[[], Firewall | None],
        stops: Callable[[ProbeRequest, Firewall], bool],
    ) -> FirstPod:
        """The first pod's connect; where it is gone meanwhile, the next one's.

        `first` are the rules before it, `read` reads them again, and `stops` says whether what was read proves that a rule
        stops it.
        """
        found = FirstPod()
        for request in (item for item in requests if item.target == requests[0].target):
            firewall = pool.submit(self._pod_firewall, request)  # to read rules moves no counter either
            before = self._counters(request)
            connect = pool.submit(self.probe, request)
            between = None
            if _length(first) <= _SMALL and not wait((connect,), timeout=_SILENT).done:
                between = read()
            if between is not None and not stops(request, between):
                between = None
            gone = between is None and connect.result().outcome is Outcome.POD_GONE
            counted = tuple(filter(None, (before, self._counters(request))))
            found = FirstPod((*found.connects, (request, connect)), counted, firewall.result(), between)
            if not gone:
                break
        return found

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

    def _counters(self, pod: ProbeRequest) -> Counters | None:
        return self.asked_of_pod("counters", lambda: self.host.counters(pod.namespace, pod.port))

    def _pod_firewall(self, pod: ProbeRequest) -> Firewall | None:
        return self.asked_of_pod("pod firewall", lambda: self.host.pod_firewall(pod.namespace))


def _length(firewall: Firewall) -> int:
    return sum(len(reading.stdout) for reading in firewall.readings)
