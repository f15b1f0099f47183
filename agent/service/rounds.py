"""A watch's connects: the same ones round after round, and found out anew when they may not be the right ones any more.

Whom to connect is known from the node's processes and namespaces, and to list these costs more than all the connects. So most
rounds only connect. What such a round meets is compared and never told: at the first difference everything is found out anew,
in the same round.
"""

from collections.abc import Callable, Sequence
from typing import Final

from agent.model.probe import Outcome, ProbeRequest, ProbeResult
from agent.service.clock import Clock

# Seconds: at most so late is it seen that there is another pod, interface, address of the node or neighbour, as long as the old
# ones answer as before. One round in nine of a watch at 30 seconds, each of one at five minutes, give or take a tenth.
AGE: Final = 270.0
# These say nothing of the way, so that to meet them again is no news of it either.
_UNTOLD = (Outcome.POD_GONE, Outcome.NOT_TRIED)


class Rounds:
    """One watch's. `probe` connects these, or those that it finds out when it is given none; what it raises is not caught."""

    def __init__(self, probe: Callable[[Sequence[ProbeRequest]], Sequence[ProbeResult]], clock: Clock) -> None:
        self._probe, self._clock = probe, clock
        self._last: tuple[ProbeResult, ...] = ()
        self._until = 0.0

    def connect(self) -> Sequence[ProbeResult]:
        """What one round met."""
        now = self._clock.monotonic()
        if self._last and now < self._until:
            again = self._probe([result.request for result in self._last])
            if _outcomes(again) == _outcomes(self._last):
                return again
        self._last = ()  # whatever becomes of it: an error leaves the next round to find out
        found = tuple(self._probe(()))
        if all(result.outcome not in _UNTOLD for result in found):
            self._last, self._until = found, now + AGE
        return found


def _outcomes(results: Sequence[ProbeResult]) -> list[Outcome]:
    return [result.outcome for result in results]
