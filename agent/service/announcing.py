"""Tells the cluster of each step of this node's fixes: applied, confirmed, clobbered, and how it ended.

A fix never waits for it. What this front does is handed over and told from a thread of its own; what the kernel, the clock, a
reload or a command on the node did is seen when that thread looks. Where both see a step it is told once, by its name.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from datetime import datetime
from threading import Event

from agent.cluster.connection import ClusterError
from agent.model.fix import Fix, Fixes, FixState, Transition
from agent.service.clock import Clock
from agent.service.host import HostError

# Between two looks: with a fix alive, and with none (a command on the node may make one at any time).
ALIVE, IDLE = 5.0, 30.0
# What ended longer ago was told by whoever was here then; the API keeps Events for an hour.
RECENT = 1800.0
FIRST_BACKOFF, LONGEST_BACKOFF = 2.0, 300.0
_NOTICE = 1.0  # how soon the end of the process is noticed
# Untold steps, and names of told ones. The journal keeps fewer than sixty fixes, of a handful of steps each.
_UNTOLD, _TOLD = 100, 1000

_ENDS = {
    FixState.EXPIRED: ("FixExpired", False),
    FixState.REVERTED: ("FixReverted", False),
    FixState.LOST_ON_REBOOT: ("FixLostOnReboot", False),
    FixState.CLOBBERED: ("FixClobbered", True),
    FixState.FAILED: ("FixFailed", True),
}

_log = logging.getLogger(__name__)


class Announcer:
    """`tell` creates an Event and raises `ClusterError`; `look` gives the node's fixes and raises `HostError`."""

    def __init__(self, tell: Callable[[Transition], None], look: Callable[[], Fixes], clock: Clock) -> None:
        self._tell, self._look, self._clock = tell, look, clock
        self._handed: deque[Fix] = deque(maxlen=_UNTOLD)
        self._untold: deque[Transition] = deque(maxlen=_UNTOLD)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._woken = Event()
        self._look_at, self._quiet_until, self._failures = clock.monotonic(), 0.0, 0

    def note(self, fix: Fix) -> None:
        """A fix as it is now. Returns at once, from any thread."""
        self._handed.append(fix)
        self._woken.set()

    def step(self) -> float:
        """Does what is due; returns the seconds until something is."""
        while self._handed:
            self._see(self._handed.popleft())
        now = self._clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._look_now()
        if now >= self._quiet_until:
            self._tell_all(now)
        return max(0.0, (min(self._look_at, self._quiet_until) if self._untold else self._look_at) - now)

    def run(self, ended: Event) -> None:
        """Steps until `ended` is set."""
        while not ended.is_set():
            self._woken.clear()
            self._woken.wait(min(self.step(), _NOTICE))

    def _look_now(self) -> float:
        try:
            fixes = self._look().fixes
        except HostError as error:
            _log.warning("the node's fixes could not be read: %s", error)
            return IDLE
        since = datetime.fromisoformat(self._clock.now()).timestamp() - RECENT
        for fix in reversed(fixes):  # oldest first
            if fix.live or fix.ends >= since:
                self._see(fix)
        return ALIVE if any(fix.live for fix in fixes) else IDLE

    def _see(self, fix: Fix) -> None:
        for step in transitions(fix):
            if step.name not in self._known:
                self._known[step.name] = None
                self._untold.append(step)
        while len(self._known) > _TOLD:
            self._known.popitem(last=False)

    def _tell_all(self, now: float) -> None:
        while self._untold:
            try:
                self._tell(self._untold[0])
            except ClusterError as error:
                longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**self._failures)
                self._failures += 1
                self._quiet_until = now + max(longest, error.patience or 0.0)
                _log.warning("a fix was not told as an Event, and will be later: %s", error)
                return
            self._failures = 0
            self._untold.popleft()


def transitions(fix: Fix) -> Iterator[Transition]:
    """The steps that a fix in this state is known to have taken, oldest first."""
    flow = fix.flow
    what = f"Fix {fix.id} ({flow.source} to {flow.destination}:{flow.port})"
    if fix.state in (FixState.TRIAL, FixState.CONFIRMED):
        message = f"{what} is in {fix.place.chain} of iptables-{fix.place.backend}, on trial; asked for by {fix.caller}."
        yield Transition(name=f"fix-{fix.id}.applied", reason="FixApplied", message=message)
    for number in range(1, fix.puts + 1):
        message = f"{what}: its rule was taken out by somebody else and was put back."
        yield Transition(name=f"fix-{fix.id}.put-back-{number}", reason="FixClobbered", message=message, warning=True)
    if fix.state is FixState.CONFIRMED:
        message = f"{what} is confirmed and ends by itself at {fix.ends_at}."
        yield Transition(name=f"fix-{fix.id}.confirmed-{fix.ends}", reason="FixConfirmed", message=message)
    if fix.state in _ENDS:
        reason, warning = _ENDS[fix.state]
        message = f"{what} is {fix.state}: {fix.why or 'no reason was given'}."
        yield Transition(name=f"fix-{fix.id}.{fix.state}", reason=reason, message=message, warning=warning)
