"""Can this process look at all? The preflight's sentences, and one honest attempt at reading the firewall."""

from dataclasses import dataclass

from agent.model.capture import Firewall
from agent.model.preflight import Check
from agent.service.host import Host


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready` is false only where nothing can be read; single checks that fail say what is lost."""

    ready: bool
    checks: tuple[Check, ...]


def read_readiness(host: Host) -> Readiness:
    """Asks the host. Raises `HostError`."""
    checks, attempt = host.preflight(), _attempt(host.survey())
    return Readiness(ready=attempt.ok, checks=(*checks, attempt))


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
