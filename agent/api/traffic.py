"""What the service counts of itself, for `/metrics`. Labels come from the authorisation table: nobody outside can add one."""

from collections import Counter
from threading import Lock

from agent.api.permissions import TABLE

_METHODS = frozenset(method for method, _ in TABLE)


class Traffic:
    """Requests by method, route and status. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: Counter[tuple[str, str, str]] = Counter()

    def count(self, method: str, route: str, status: int) -> None:
        """One request that was answered; what is no route of ours is counted as "other"."""
        with self._lock:
            self._requests[method if method in _METHODS else "other", route or "other", str(status)] += 1

    def requests(self) -> dict[tuple[str, str, str], int]:
        """How many, since the start."""
        with self._lock:
            return dict(self._requests)
