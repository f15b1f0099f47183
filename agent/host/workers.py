"""Short-lived children that do one job each with a library that may live in neither the broker nor the front.

A spare has already imported its library and waits for its job: a reading then costs milliseconds instead of an import. A spare
holds memory meanwhile (resident: psutil 13 MiB, python-iptables 31, scapy 36), so one that nobody used for a minute is ended.
"""

import json
import sys
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from agent.host import command
from agent.model.codec import CodecError, from_plain

T = TypeVar("T")

PROCESSES = "agent.host.process_worker"
IPTC = "agent.host.iptc_worker"
TWIN = "agent.host.twin_worker"

# 300 rules take python-iptables 0.2 s, psutil on 1,000 processes less; beyond this a worker is stuck.
_DEADLINE = 5.0
# Somebody who looks at an incident asks again within a minute; nobody else should pay for it.
_SPARE_LIFE = 60.0
# One look at a busy node is some hundred kilobytes.
_ANSWER_LIMIT = 16 * 1024 * 1024


class WorkerError(Exception):
    """The worker crashed, was too slow or answered nonsense; the message is a sentence."""


class Workers:
    """The workers of one broker. With `keep`, each use starts the next spare. Safe to use from several threads."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._lock = Lock()
        self._spares: dict[str, tuple[command.Child, Event]] = {}

    def warm(self, module: str) -> None:
        """Starts a spare, unless one waits already. A spare that cannot be started is no loss: `ask` will say why."""
        with self._lock:
            if module in self._spares and self._spares[module][0].status is None:
                return
            try:
                child = _start(module)
            except OSError:
                return
            taken = Event()
            self._spares[module] = (child, taken)
        Thread(target=self._retire, args=(module, child, taken), name="spare", daemon=True).start()

    def ask(self, module: str, job: dict[str, Any], kind: type[T]) -> T:
        """What the worker makes of the job, checked to be a `kind`. Raises `WorkerError`."""
        try:
            child = self._take(module) or _start(module)
        except OSError as error:
            raise WorkerError(f"{module} could not be started: {error.strerror}") from error
        done = child.converse(json.dumps(job).encode() + b"\n", _DEADLINE, _ANSWER_LIMIT)
        if self._keep:
            self.warm(module)
        return _decode(module, done, kind)

    def close(self) -> None:
        """Ends every spare."""
        with self._lock:
            spares, self._spares = list(self._spares.values()), {}
        for child, taken in spares:
            taken.set()
            child.end(0)

    def _take(self, module: str) -> command.Child | None:
        with self._lock:
            child, taken = self._spares.pop(module, (None, None))
        if child is None or taken is None:
            return None
        taken.set()
        if child.status is None:
            return child
        child.end(0)
        return None

    def _retire(self, module: str, child: command.Child, taken: Event) -> None:
        if taken.wait(_SPARE_LIFE):
            return
        with self._lock:
            mine = self._spares.get(module, (None, None))[0] is child
            if mine:
                del self._spares[module]
        if mine:
            child.end(0)


def _start(module: str) -> command.Child:
    return command.spawn([sys.executable, "-P", "-m", module])


def _decode(module: str, done: command.Completed, kind: type[T]) -> T:
    if done.problem or done.status != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        ending = "did not end in time" if done.problem else f"ended with status {done.status}"
        raise WorkerError(f"the worker {module} {ending}{last}")
    try:
        return from_plain(kind, json.loads(done.stdout))
    except (CodecError, ValueError) as error:
        raise WorkerError(f"the worker {module} answered what is not understood: {error}") from error
