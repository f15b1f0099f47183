"""How often a caller, and all callers together, may make the node work."""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil
from threading import Lock

from agent.service.clock import Clock

# Callers that are remembered. Who was forgotten starts anew; the bucket of all callers together is never forgotten.
_CALLERS = 1024


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` at once, and one more every `seconds`."""

    burst: int
    seconds: float


class Limiter:
    """One token bucket for each caller and one for all of them. Safe from any thread."""

    def __init__(self, each: Rate, together: Rate, clock: Clock) -> None:
        self._each, self._together, self._clock = each, together, clock
        self._callers: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._all = (float(together.burst), clock.monotonic())
        self._lock = Lock()

    def wait(self, caller: str) -> int:
        """0 where the caller may go on, which is counted; else whole seconds after which to try again."""
        now = self._clock.monotonic()
        with self._lock:
            own = _filled(self._callers.get(caller, (float(self._each.burst), now)), self._each, now)
            common = _filled(self._all, self._together, now)
            missing = max((1 - own) * self._each.seconds, (1 - common) * self._together.seconds)
            if missing > 0:
                return max(1, ceil(missing))
            self._all = (common - 1, now)
            self._callers[caller] = (own - 1, now)
            self._callers.move_to_end(caller)
            while len(self._callers) > _CALLERS:
                self._callers.popitem(last=False)
            return 0


def _filled(bucket: tuple[float, float], rate: Rate, now: float) -> float:
    level, since = bucket
    return min(float(rate.burst), level + (now - since) / rate.seconds)
