"""The broker's answers: one function for each operation of the closed list. They return what was seen and decide nothing."""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from ipaddress import ip_address
from typing import Any

from agent.host import evidence, firewall, in_parts, legacy_room, namespaces, node, operations, pod_firewall, preflight
from agent.host.errors import FixRefused, HostError, NamespaceGone
from agent.host.fixing.fixer import Fixer
from agent.host.fixing.opening import Eyes
from agent.host.in_parts import Held
from agent.host.phantom.keeper import Keeper
from agent.host.pod_files import PodFileReader
from agent.host.readings import KnownParts, Readings
from agent.host.room import NO_ROOM, Room
from agent.host.trials import Trial, Trials
from agent.host.workers import IPTC, PROCESSES, TRACE, TWIN, WorkerError, Workers
from agent.model.capture import Firewall, LegacyChain, Node, Problem, Processes
from agent.model.codec import CodecError, from_plain, to_plain
from agent.model.evidence import NodeEvidence
from agent.model.outline import Part
from agent.model.settings import Settings
from agent.model.trace import DeepTrace, TraceRequest
from agent.model.twin import TWIN_INTERFACE, TwinRequest, TwinResult

# Seconds: a worker has five for everything.
_TRACED = 2.0
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_KINDS = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM}


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply's JSON, and the socket whose descriptor goes with it; whoever sends it closes the socket."""

    body: dict[str, Any]
    attached: socket.socket | None = None


class Answers:
    """Answers requests for one broker. Safe to use from several threads. `converse` is handed our end of new channels."""

    def __init__(
        self,
        settings: Settings,
        workers: Workers,
        converse: Callable[[socket.socket], None],
        *,
        room: Room | None = None,
        stays: bool = False,
    ) -> None:
        self._room = room or Room()
        self._settings = settings
        self._workers = workers
        self._converse = converse
        self._directory = namespaces.Directory(settings.netns_dirs)
        self._readings = Readings()
        self._trials = Trials()
        self._files = PodFileReader()
        self._phantoms = Keeper(settings)
        self._parts_known = KnownParts()
        self._surveyed = False  # whether the last look had room for all of its first reading
        eyes = Eyes(self.node, self.processes, self._rules, node.pod_route, self.twin)
        self.fixer = Fixer(settings, eyes, stays=stays)
        self._operations: dict[str, Callable[[Any], Any]] = {
            "hello": lambda _: operations.Hello(operations.PROTOCOL, os.getpid()),
            "channel": self._channel,
            "node": lambda _: self.node(),
            "processes": lambda _: self.processes(),
            "firewall": lambda _: self.firewall(),
            "survey": self._survey,
            "parts": self._parts,
            "hold": lambda arguments: operations.Name(self._hold(arguments.parts, whole=arguments.whole).digest()),
            "legacy_chain": self._legacy_chain,
            "pod_route": lambda arguments: node.pod_route(arguments.address),
            "socket": self._socket,
            "pod_files": lambda arguments: self._files.of_pod(arguments.namespace),
            "twin": lambda arguments: self._look_at_twin(arguments.request),
            "counters": lambda arguments: evidence.counters(self._directory, arguments.namespace, arguments.port),
            "evidence": self._evidence,
            "pod_firewall": lambda arguments: pod_firewall.capture(self._directory, arguments.namespace, self._room),
            "deep": self._deep,
            "phantom": lambda arguments: self._phantoms.make(arguments.request),
            "end_phantom": lambda _: self._phantoms.end(),
            "preflight": lambda _: operations.Checks(preflight.check(workers)),
            "ground": self.fixer.ground,
            "apply": lambda arguments: self.fixer.apply(arguments.order),
            "verified": self.fixer.verified,
            "confirm": self.fixer.confirm,
            "revert": self.fixer.revert,
            "fixes": lambda _: self.fixer.fixes(),
            "sweep": lambda _: self.fixer.sweep(),
            "audit": lambda _: self.fixer.audit(),
        }

    def warm(self) -> None:
        """Starts the workers that a whole look will want, so that their imports overlap with other reading."""
        self._workers.warm(PROCESSES)
        if self._settings.twin and not len(self._trials):  # else it will hardly be asked: its import is half a second
            self._workers.warm(TWIN)
        if "filter" in firewall.legacy_tables("ip", []):
            self._workers.warm(IPTC)

    def answer(self, request: dict[str, Any]) -> Answer:  # noqa: PLR0911  one for each kind of end
        """The answer to one request. What is not on the list, or has other arguments than the list says, is refused."""
        try:
            name, arguments = _checked(request)
        except CodecError as error:
            return _refusal(operations.REFUSED, error)
        try:
            value = self._operations[name](arguments)
        except NamespaceGone as error:
            return _refusal(operations.NAMESPACE_GONE, error)
        except FixRefused as error:
            return _refusal(error.kind, error)
        except HostError as error:
            return _refusal(operations.FAILED, error)
        except OSError as error:
            return _refusal(operations.FAILED, HostError(f"{name} failed: {error}"))
        if isinstance(value, socket.socket):
            return Answer({"value": None}, value)
        return Answer({"value": to_plain(value)})

    def _channel(self, _: operations.Nothing) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._converse(ours)
        return theirs

    def node(self) -> Node:
        """Without twins, ours or another kubereach's: they hold the node's own addresses and are nobody's pods."""
        found = node.capture(self._settings, self._directory)
        real = (item for item in found.namespaces if all(link.name != TWIN_INTERFACE for link in item.interfaces))
        return replace(found, namespaces=tuple(real))

    def firewall(self) -> Firewall:
        """Read now, and kept for the twin."""
        found = firewall.capture(self._room, again=self._surveyed)
        self._readings.keep(Held(found))
        return found

    def _rules(self, parts: Sequence[Part]) -> Firewall:
        """All of them; where parts are named, these and what a fix stands on. Kept for the twin."""
        return self._hold(parts, whole=True) if parts else self.firewall()

    def _hold(self, parts: Sequence[Part], *, whole: bool) -> Firewall:
        held = in_parts.hold(parts, self._parts_known.outline, self._parts_known.recall, whole=whole, room=self._room)
        self._readings.keep(held)
        return held.firewall

    def _survey(self, _: operations.Nothing) -> Firewall:
        self.warm()  # a look asks this first; what ended since the last one is needed again soon. A watch does not ask it
        found = firewall.survey(self._room)
        # What a look began without it goes on without: two readings that differ by a backend tell of no counter.
        self._surveyed = not any(NO_ROOM in problem.why for problem in found.problems)
        if found.outline is None:
            self._readings.keep(Held(found))
        self._parts_known.note(found.outline)
        return found

    def _parts(self, arguments: operations.PartsArguments) -> operations.MaybeParts:
        found = self._parts_known.read(arguments.generation, arguments.parts)
        asked = any(firewall.MENTION in part.save.stdout for part in found or () if part.save is not None)
        problems: list[Problem] = []
        legacy = bool(firewall.legacy_tables("ip", problems) or firewall.legacy_tables("ip6", problems) or problems)
        return operations.MaybeParts(found, firewall.read_sets() if asked else (), legacy)

    def _evidence(self, asked: operations.EvidenceArguments) -> NodeEvidence:
        return evidence.gather(self._directory, asked)

    def twin(self, request: TwinRequest) -> TwinResult:
        """One packet through a reading that is kept, tried now. A fix asks so."""
        return self._twin(request, lambda found: self._try(request, found).result)

    def _twin(self, request: TwinRequest, judge: Callable[[Held], TwinResult]) -> TwinResult:
        found = self._readings.find(request.firewall)
        if found is None:
            return TwinResult(problem="the rules that it was to have are not held any more, or are too many")
        return judge(found)

    def _try(self, request: TwinRequest, found: Held) -> Trial:
        size = legacy_room.TRIAL * sum(len(reading.stdout) for reading in found.firewall.readings)
        try:
            with legacy_room.claimed(self._room, size) as refusal:
                if refusal:
                    return Trial(TwinResult(problem=f"the twin was not tried: {refusal}"))
                return self._workers.ask(TWIN, {"request": to_plain(request), "held": to_plain(found)}, Trial)
        except WorkerError as error:
            return Trial(TwinResult(problem=str(error)))

    def _look_at_twin(self, request: TwinRequest) -> TwinResult:
        return self._twin(request, lambda found: self._trials.result(request, found, lambda: self._try(request, found)))

    def _deep(self, arguments: operations.DeepArguments) -> DeepTrace:
        timeout = min(max(arguments.request.timeout, 0.0), _TRACED)
        request = replace(arguments.request, netns_dirs=self._settings.netns_dirs, timeout=timeout)
        try:
            return self._workers.ask(TRACE, to_plain(request), DeepTrace)
        except WorkerError as error:
            return DeepTrace(request=request, problem=str(error))

    def processes(self) -> Processes:
        """As the worker sees them."""
        try:
            return self._workers.ask(PROCESSES, {}, Processes)
        except WorkerError as error:
            return Processes(problem=str(error))

    def _legacy_chain(self, _: operations.Nothing) -> operations.MaybeLegacyChain:
        problems: list[Problem] = []
        tables = firewall.legacy_tables("ip", problems)
        if problems:
            return operations.MaybeLegacyChain(LegacyChain(problem=problems[0].why))
        if "filter" not in tables:
            return operations.MaybeLegacyChain(None)
        try:
            return operations.MaybeLegacyChain(self._workers.ask(IPTC, {"read": True}, LegacyChain))
        except WorkerError as error:
            return operations.MaybeLegacyChain(LegacyChain(problem=str(error)))

    def _socket(self, arguments: operations.SocketArguments) -> socket.socket:
        def create() -> socket.socket:
            return socket.socket(_FAMILIES[arguments.version], _KINDS[arguments.kind])

        own = arguments.namespace in (0, namespaces.host_inode())
        return create() if own else self._directory.inside(arguments.namespace, create)


def _checked(request: dict[str, Any]) -> tuple[str, Any]:
    """The operation and its typed arguments. Raises `CodecError`."""
    name, given = request.get("op"), request.get("arguments")
    if set(request) != {"op", "arguments"} or not isinstance(name, str) or not isinstance(given, dict):
        raise CodecError("a request has exactly `op` and `arguments`")
    kind = operations.ARGUMENTS.get(name)
    if kind is None:
        raise CodecError("the broker has no such operation")
    if unknown := set(given) - {field.name for field in fields(kind)}:
        raise CodecError(f"{name} does not take {', '.join(sorted(map(str, unknown)))}")
    arguments: Any = from_plain(kind, given)
    if isinstance(arguments, operations.SocketArguments) and (arguments.version not in _FAMILIES or arguments.namespace < 0):
        raise CodecError("a socket is of IP version 4 or 6, in a namespace named by its inode")
    if isinstance(arguments, operations.SocketArguments) and arguments.kind not in _KINDS:
        raise CodecError("a socket is a `stream` or a `dgram`")
    if not all(firewall.may_ask(part) for part in _parts_of(arguments)):
        raise CodecError("a part of nftables is a chain, set or map, with names as the kernel takes them")
    if len(_parts_of(arguments)) > operations.MOST_PARTS:
        raise CodecError(f"more than {operations.MOST_PARTS} parts of nftables are not read at once")
    if isinstance(arguments, operations.EvidenceArguments) and arguments.pod.version != arguments.node.version:
        raise CodecError("the pod's and the node's address are of one IP version")
    if isinstance(arguments, operations.DeepArguments) and not _may_be_traced(arguments.request):
        raise CodecError("a connect that is traced goes from a pod's address to a node's, both of one IP version")
    return name, arguments


def _parts_of(arguments: Any) -> tuple[Part, ...]:
    if isinstance(arguments, operations.ApplyArguments):
        return arguments.order.parts
    named = (operations.PartsArguments, operations.HoldArguments, operations.GroundArguments)
    return arguments.parts if isinstance(arguments, named) else ()


def _may_be_traced(request: TraceRequest) -> bool:
    """The broker's side connects itself here: nothing is sent where no kubelet can be."""
    try:
        source, target = ip_address(request.source), ip_address(request.target)
    except ValueError:
        return False
    nowhere = target.is_loopback or target.is_link_local or target.is_multicast or target.is_unspecified
    return source.version == target.version and not nowhere and 0 < request.port < 65536 and request.namespace > 0


def _refusal(kind: str, error: Exception) -> Answer:
    return Answer({"error": kind, "message": str(error)})
