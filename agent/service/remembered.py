"""An answer that is kept for a while: health checks and header checks come often and must not cost the node a look each."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from agent.service.clock import Clock

T = TypeVar("T")


class Remembered(Generic[T]):
    """Asks at most once in `age` seconds. Threads that come meanwhile wait for the one that asks; an error is not kept."""

    def __init__(self, ask: Callable[[], T], clock: Clock, age: float) -> None:
        self._ask, self._clock, self._age = ask, clock, age
        self._lock = Lock()
        self._answer: tuple[float, T] | None = None

    def get(self) -> T:
        """The answer, at most `age` seconds old. Raises what asking raises."""
        with self._lock:
            if self._answer is None or self._clock.monotonic() - self._answer[0] >= self._age:
                value = self._ask()
                self._answer = (self._clock.monotonic(), value)
            return self._answer[1]
