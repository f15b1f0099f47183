"""Can this process look at all? The preflight's sentences, and one honest attempt at reading the firewall."""

from dataclasses import dataclass
from threading import Lock

from agent.model.capture import Firewall
from agent.model.preflight import Check
from agent.service.clock import Clock
from agent.service.host import BrokerGone, Host
from agent.service.remembered import Remembered

# Kubelets ask every ten seconds; what a process may see does not change that often.
_AGE = 30.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready` is false only where nothing can be read; single checks that fail say what is lost."""

    ready: bool
    checks: tuple[Check, ...]


class ReadinessKept:
    """The readiness of a process that serves: asked for twice a minute, and anew of each broker. Safe from any thread."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host, self._clock = host, clock
        self._lock = Lock()
        self._kept: tuple[int, Remembered[Readiness]] | None = None

    def get(self) -> Readiness:
        """What it is now; without a broker it is not ready. Raises `HostError`."""
        if not self._host.lives():
            return _without_broker("it ended" if self._host.incarnation() else "it is not there yet")
        try:
            return self._remembered().get()
        except BrokerGone as error:
            return _without_broker(str(error))

    def _remembered(self) -> Remembered[Readiness]:
        number = self._host.incarnation()
        with self._lock:
            if self._kept is None or self._kept[0] != number:
                self._kept = (number, Remembered(lambda: read_readiness(self._host), self._clock, _AGE))
            return self._kept[1]


def read_readiness(host: Host) -> Readiness:
    """Asks the host. Raises `HostError`."""
    checks, attempt = host.preflight(), _attempt(host.survey())
    return Readiness(ready=attempt.ok, checks=(*checks, attempt))


def _without_broker(why: str) -> Readiness:
    detail = f"degraded, the broker is gone ({why}): nothing of the node can be read or changed; reports until then are kept"
    remedy = "it is started again by itself; where that fails, the log has what it says"
    return Readiness(ready=False, checks=(Check(name="broker", ok=False, detail=detail, remedy=remedy),))


def _attempt(firewall: Firewall) -> Check:
    read = [reading.name for reading in firewall.readings if reading.status == 0]
    read += [] if firewall.outline is None else ["the outline of nftables"]
    lost = [f"{problem.what}: {problem.why}" for problem in firewall.problems]
    remedies = " ".join(dict.fromkeys(problem.remedy for problem in firewall.problems if problem.remedy))
    if read:
        unread = f"; not read: {'; '.join(lost)}" if lost else ""
        return Check(name="firewall", ok=True, detail=f"read {', '.join(read)}{unread}", remedy=remedies)
    if not lost:
        return Check(name="firewall", ok=True, detail="no backend is in use on this node")
    return Check(name="firewall", ok=False, detail=f"nothing could be read: {'; '.join(lost)}", remedy=remedies)
