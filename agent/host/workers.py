"""Short-lived children that do one job each with a library that may live in neither the broker nor the front.

Each library has a template: a process that has imported it and forks a child per job, so that a reading costs milliseconds
instead of an import. A template holds memory meanwhile (private: psutil 12 MiB, python-iptables 11, scapy 20), so it starts
with a look and ends when nobody asked for a minute, or when somebody else needs its room under a memory limit.
"""

import json
from threading import Lock
from typing import Any, TypeVar

from agent.host import command
from agent.host.room import MIB, Claim, NoRoomError, Room
from agent.host.template import NotStarted, Template
from agent.model.codec import CodecError, from_plain

T = TypeVar("T")

PROCESSES = "agent.host.process_worker"
IPTC = "agent.host.iptc_worker"
TWIN = "agent.host.twin_worker"
TRACE = "agent.host.trace_worker"

# The most that a template and its child had in looks at ordinary nodes, and some more: bytes of a memory limit.
_NEED = {PROCESSES: 15 * MIB, IPTC: 15 * MIB, TWIN: 28 * MIB, TRACE: 28 * MIB}
_ANY = 15 * MIB
# 300 rules take python-iptables 0.2 s, psutil on 1,000 processes less; beyond this a worker is stuck.
_DEADLINE = 5.0
# Somebody who looks at an incident asks again within a minute; nobody else should pay for it.
_IDLE = 60.0
# One look at a busy node is some hundred kilobytes.
_ANSWER_LIMIT = 16 * 1024 * 1024


class WorkerError(Exception):
    """The worker crashed, was too slow or answered nonsense; the message is a sentence."""


class Workers:
    """The workers of one broker. Safe to use from several threads."""

    def __init__(self, room: Room | None = None) -> None:
        self._room = room or Room()
        self._room.when_short(self._end_idle)
        self._lock = Lock()
        self._templates: dict[str, Template] = {}
        self._claims: dict[Template, Claim] = {}

    def warm(self, module: str) -> None:
        """Starts a template, unless there is one. One that cannot be started is no loss: `ask` will say why."""
        try:
            self._template(module, wait=False)
        except (OSError, NoRoomError):
            return

    def ask(self, module: str, job: dict[str, Any], kind: type[T]) -> T:
        """What the worker makes of the job, checked to be a `kind`. Raises `WorkerError`."""
        data = json.dumps(job).encode()
        try:
            done = self._run(module, data)
            if done is None:  # its minute was just over, or somebody killed it
                done = self._run(module, data)
        except OSError as error:
            raise WorkerError(f"{module} could not be started: {error.strerror}") from error
        except NoRoomError as error:
            raise WorkerError(f"{module} was not started: {error}") from error
        if done is None:
            raise WorkerError(f"the worker {module} was ended twice before it began")
        return _decode(module, done, kind)

    def close(self) -> None:
        """Ends every template."""
        with self._lock:
            templates, self._templates = list(self._templates.values()), {}
        for template in templates:
            template.stop()
        for template in templates:
            template.last_words()

    def _run(self, module: str, data: bytes) -> command.Completed | None:
        """The end of the job or, where it did not begin, that of a template which failed; None where another may be asked."""
        template = self._template(module)
        try:
            return template.run(data, _DEADLINE, _ANSWER_LIMIT)
        except NotStarted:
            last = template.last_words()
            if last is None:  # it is alive and takes nothing
                template.stop()
                template.last_words()
            return last if last is not None and last.status and last.status > 0 else None

    def _template(self, module: str, *, wait: bool = True) -> Template:
        """The one there is, else a new one. Raises `OSError`, and `NoRoomError`."""
        with self._lock:
            if module in self._templates:
                return self._templates[module]
        claim = self._room.claim(_NEED.get(module, _ANY), wait=wait)
        with self._lock:
            if module in self._templates:  # somebody was quicker
                self._room.release(claim)
                return self._templates[module]
            try:
                made = Template(module, _IDLE, self._forget)
            except OSError:
                self._room.release(claim)
                raise
            claim.pid = made.pid
            self._templates[module], self._claims[made] = made, claim
            return made

    def _end_idle(self) -> None:
        """Ends the templates that have nothing to do."""
        with self._lock:
            idle = [template for template in self._templates.values() if not template.busy]
        for template in idle:
            template.stop()

    def _forget(self, template: Template) -> None:
        with self._lock:
            if self._templates.get(template.module) is template:
                del self._templates[template.module]
            claim = self._claims.pop(template, None)
        if claim is not None:
            self._room.release(claim)


def _decode(module: str, done: command.Completed, kind: type[T]) -> T:
    if done.problem or done.status != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        ending = done.problem or f"ended with status {done.status}"
        raise WorkerError(f"the worker {module} {ending}{last}")
    try:
        return from_plain(kind, json.loads(done.stdout))
    except (CodecError, ValueError) as error:
        raise WorkerError(f"the worker {module} answered what is not understood: {error}") from error
