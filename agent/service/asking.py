"""Questions to a host that may fail, each with its time: an answer that cannot be had is a problem of the look, not its end."""

from collections.abc import Callable
from typing import TypeVar

from agent.model.capture import Problem, Stage
from agent.service.clock import Clock
from agent.service.host import BrokerGone, HostError, NamespaceGone

T = TypeVar("T")
Progress = Callable[[Stage], None]


class Asking:
    """The stages that have ended and the problems that were met so far. Safe from any thread: lists are only added to."""

    def __init__(self, clock: Clock, progress: Progress | None) -> None:
        self.clock, self.progress = clock, progress
        self.stages: list[Stage] = []
        self.problems: list[Problem] = []

    def asked(self, name: str, ask: Callable[[], T], instead: Callable[[str], T]) -> T:
        """The host's answer; where it has none, a problem and what `instead` makes of the reason. Raises `BrokerGone`."""
        try:
            return self.timed(name, ask)
        except BrokerGone:
            raise
        except HostError as error:
            self.problems.append(Problem(what=name, why=str(error)))
            return instead(str(error))

    def asked_of_pod(self, name: str, ask: Callable[[], T]) -> T | None:
        """Likewise. That the pod is gone is its probe's own outcome, told there, and no problem here."""
        try:
            return self.timed(name, ask)
        except BrokerGone:
            raise
        except NamespaceGone:
            return None
        except HostError as error:
            self.problems.append(Problem(what=name, why=str(error)))
            return None

    def timed(self, name: str, ask: Callable[[], T]) -> T:
        """Whatever `ask` returns or raises, and a stage."""
        start = self.clock.monotonic()
        try:
            return ask()
        finally:
            self.ended(name, start)

    def ended(self, name: str, start: float) -> None:
        """Keeps a stage that began at `start` (monotonic seconds), and tells of it."""
        stage = Stage(name=name, seconds=round(self.clock.monotonic() - start, 6))
        self.stages.append(stage)
        if self.progress:
            self.progress(stage)
