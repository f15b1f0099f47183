"""The broker as the front sees it: one method per operation, values of the model in and out, three kinds of error.

Conversations are pooled, so that callers in several threads read in parallel. Where another broker takes the place of one that
died, whoever holds the link says so. Nothing here is privileged.
"""

import contextlib
import json
import os
import select
import socket
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar

from agent.host import command, operations, wire
from agent.host.errors import BrokerGone, FixRefused, HostError, NamespaceGone
from agent.model.capture import Firewall, LegacyChain, Node, PodRoute, Processes
from agent.model.codec import CodecError, from_plain, to_plain
from agent.model.evidence import Counters, NodeEvidence
from agent.model.fix import AuditCheck, Fix, Fixes
from agent.model.outline import Part
from agent.model.phantom import Phantom, PhantomEnd, PhantomRequest
from agent.model.plan import Ground, Order
from agent.model.preflight import Check
from agent.model.probe import ProbeRequest
from agent.model.scrape import PodFiles
from agent.model.settings import Settings
from agent.model.trace import DeepTrace, TraceRequest
from agent.model.twin import TwinRequest, TwinResult

T = TypeVar("T")
Socket = socket.socket  # inside `Broker` the name `socket` is an operation

# The slowest operation runs two rounds of commands of at most 10 s each; a broker that is silent for longer is stuck.
_PATIENCE = 60.0
# Idle conversations kept: the collector reads four things at once, and a page and a scrape may do so together.
_POOL = 8
# A one-shot broker ends when its socket closes; one that does not is stuck in a system call.
_FAREWELL = 3.0

__all__ = ["Broker", "BrokerGone", "FixRefused", "HostError", "NamespaceGone"]


class Broker:
    """A connection to the broker. Safe to use from several threads; a context manager.

    Every method raises `BrokerGone` when the broker is dead and `HostError` when it refused or failed.
    """

    def __init__(self, sock: Socket | None = None, child: command.Child | None = None) -> None:
        """Takes over `sock`, a channel that this process inherited, and `child`, the broker where it is ours to end.

        Without a channel there is no broker until one comes by `renew`.
        """
        if sock is not None:
            sock.settimeout(_PATIENCE)
        self._control = sock
        self._child = child
        self._lock = Lock()
        self._idle: list[Socket] = []
        self._number = 0 if sock is None else 1  # of the broker: a conversation with an earlier one is not kept
        self._closed = False

    @classmethod
    def start(cls, settings: Settings) -> Self:
        """Starts a one-shot broker with this process's privileges; it ends with this connection."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            argv = [
                *(sys.executable, "-P", "-m", "agent.host.broker"),
                *("--settings", json.dumps(to_plain(settings)), "--channel-fd", str(theirs.fileno())),
            ]
            child = command.start(argv, pass_fds=(theirs.fileno(),))
        except OSError as error:
            ours.close()
            raise HostError(f"the broker could not be started: {error}") from error
        finally:
            theirs.close()
        return cls(ours, child)

    def node(self) -> Node:
        """The node's interfaces, routes, network namespaces and CNI files."""
        return self._ask("node", Node)

    def processes(self) -> Processes:
        """Processes of interest and TCP listeners in the host's network namespace; `problem` where psutil failed."""
        return self._ask("processes", Processes)

    def firewall(self) -> Firewall:
        """Every live firewall backend, as text."""
        return self._ask("firewall", Firewall)

    def survey(self) -> Firewall:
        """The same, but of a large nftables its outline alone: `parts` reads what is wanted of it."""
        return self._ask("survey", Firewall)

    def parts(self, generation: int, wanted: Sequence[Part]) -> operations.MaybeParts:
        """Chains and sets of nftables as the tools print them, if it still is at that generation."""
        return self._ask("parts", operations.MaybeParts, {"generation": generation, "parts": to_plain(tuple(wanted))})

    def hold(self, parts: Sequence[Part], *, whole: bool = False) -> str:
        """Has the broker hold these parts of a large nftables; the name by which the twin knows them.

        With `whole` iptables' tables but nat are read whole: a fix stands on them.
        """
        return self._ask("hold", operations.Name, {"parts": to_plain(tuple(parts)), "whole": whole}).digest

    def legacy_chain(self) -> LegacyChain | None:
        """The second reading of the legacy INPUT chain; None where no legacy `filter` table exists."""
        return self._ask("legacy_chain", operations.MaybeLegacyChain).chain

    def pod_route(self, address: str | IPv4Address | IPv6Address) -> PodRoute:
        """The kernel's route lookup for a pod's address. Raises `ValueError` where it is no address."""
        return self._ask("pod_route", PodRoute, {"address": str(ip_address(address))})

    def socket(self, namespace: int, version: int, kind: str = "stream") -> Socket:
        """A fresh TCP (`stream`) or UDP (`dgram`) socket of IP `version` (4 or 6) in the namespace of that inode; 0 is the
        host's own.

        The caller owns it. Raises `NamespaceGone` where the namespace does not exist any more.
        """
        _, fd = self._converse("socket", {"namespace": namespace, "version": version, "kind": kind})
        if fd is None:
            raise HostError("the broker answered without the socket it was asked for")
        return Socket(fileno=fd)

    def pod_files(self, namespace: int) -> PodFiles:
        """resolv.conf, hosts and the cluster's CA as the processes of the pod in that network namespace see them."""
        return self._ask("pod_files", PodFiles, {"namespace": namespace})

    def counters(self, namespace: int, port: int) -> Counters:
        """Counters of the node, of the pod in that namespace, and of the listeners on `port`, as they are now."""
        return self._ask("counters", Counters, {"namespace": namespace, "port": port})

    def evidence(self, request: ProbeRequest, kubelet: int | None) -> NodeEvidence:
        """What lies on the way of a pod's probe beside the firewall's rules; `kubelet` is its process where it is known."""
        asked = {"namespace": request.namespace, "pod": request.source, "node": request.target, "port": request.port}
        return self._ask("evidence", NodeEvidence, {**asked, "kubelet": kubelet})

    def pod_firewall(self, namespace: int) -> Firewall:
        """The rules of a pod's own namespace, as text. Raises `NamespaceGone`."""
        return self._ask("pod_firewall", Firewall, {"namespace": namespace})

    def twin(self, request: TwinRequest) -> TwinResult:
        """What becomes of a packet in a throwaway namespace with the rules of an earlier `firewall()`, named by digest."""
        return self._ask("twin", TwinResult, {"request": to_plain(request)})

    def phantom(self, request: PhantomRequest) -> Phantom:
        """A pod for the time of a look; `problem` where there is none. Whoever asks for it ends it."""
        return self._ask("phantom", Phantom, {"request": to_plain(request)})

    def end_phantom(self) -> PhantomEnd:
        """Takes back the phantom pod, where there is one."""
        return self._ask("end_phantom", PhantomEnd)

    def deep(self, request: TraceRequest) -> DeepTrace:
        """One more connect from a pod, as the kernel traces it; `problem` where it could not be made."""
        return self._ask("deep", DeepTrace, {"request": to_plain(request)})

    def preflight(self) -> tuple[Check, ...]:
        """What the broker may see and do here."""
        return self._ask("preflight", operations.Checks).checks

    def ground(self, backend: str, version: int, chain: str, parts: Sequence[Part] = ()) -> Ground:
        """What a packet to this node can meet on its way in, and its digest; of a large nftables, these parts."""
        asked = {"backend": backend, "version": version, "chain": chain, "parts": to_plain(tuple(parts))}
        return self._ask("ground", Ground, asked)

    def apply(self, order: Order) -> Fix:
        """Puts a rule in. Raises `FixRefused`, as all that follow."""
        return self._ask("apply", Fix, {"order": to_plain(order)})

    def verified(self, fix: str, caller: str, why: str) -> Fix:
        """Tells that a real connect got through."""
        return self._ask("verified", Fix, {"id": fix, "caller": caller, "why": why})

    def confirm(self, fix: str, lease: int, caller: str) -> Fix:
        """Has a fix last, in seconds from now."""
        return self._ask("confirm", Fix, {"id": fix, "lease": lease, "caller": caller})

    def revert(self, fix: str, caller: str, why: str) -> Fix:
        """Takes a rule out."""
        return self._ask("revert", Fix, {"id": fix, "caller": caller, "why": why})

    def fixes(self) -> Fixes:
        """Those that are known."""
        return self._ask("fixes", Fixes)

    def sweep(self) -> Fixes:
        """Ends what has ended."""
        return self._ask("sweep", Fixes)

    def audit(self) -> AuditCheck:
        """Whether the audit log is whole."""
        return self._ask("audit", AuditCheck)

    def renew(self, sock: Socket) -> None:
        """Takes over `sock`, a channel to the broker that is there from now on, and forgets every one to the last."""
        sock.settimeout(_PATIENCE)
        with self._lock:
            if self._closed:
                dropped = [sock]
            else:
                dropped = [*self._idle, *([self._control] if self._control else [])]
                self._control, self._idle, self._number = sock, [], self._number + 1
        for each in dropped:
            each.close()

    def incarnation(self) -> int:
        """Which broker it is by now, counted from 1; 0: none was there yet."""
        with self._lock:
            return self._number

    def lives(self) -> bool:
        """Whether that broker is there; nothing is asked of it."""
        with self._lock:
            if self._closed or self._control is None:
                return False
            poll = select.poll()
            poll.register(self._control, wire.HUNG_UP)
            return not poll.poll(0)

    def close(self) -> None:
        """Ends every conversation, and the broker where this connection started it."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
            for sock in (*idle, *([self._control] if self._control else [])):
                sock.close()
        if self._child is not None:
            self._child.end(_FAREWELL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, operation: str, kind: type[T], arguments: dict[str, Any] | None = None) -> T:
        value, fd = self._converse(operation, arguments or {})
        if fd is not None:
            os.close(fd)
            raise HostError(f"the broker sent a descriptor that {operation} does not have")
        try:
            return from_plain(kind, value)
        except CodecError as error:
            raise HostError(f"the broker's answer to {operation} is not understood: {error}") from error

    def _converse(self, operation: str, arguments: dict[str, Any]) -> tuple[Any, int | None]:
        channel, number = self._take()
        try:
            reply, fd = _exchange(channel, operation, arguments)
        except BaseException:
            channel.close()
            raise
        self._give_back(channel, number)
        return _value(reply, fd), fd

    def _take(self) -> tuple[Socket, int]:
        """An idle conversation, or a new one from the broker, and which broker's it is."""
        with self._lock:
            if self._closed:
                raise BrokerGone("this connection to the broker is closed")
            if self._control is None:
                raise BrokerGone("the broker is not there yet")
            if self._idle:
                return self._idle.pop(), self._number
            reply, fd = _exchange(self._control, "channel", {})
            _value(reply, fd)
            if fd is None:
                raise HostError("the broker answered without the channel it was asked for")
            channel = Socket(fileno=fd)
            channel.settimeout(_PATIENCE)
            return channel, self._number

    def _give_back(self, channel: Socket, number: int) -> None:
        with self._lock:
            if not self._closed and number == self._number and len(self._idle) < _POOL:
                self._idle.append(channel)
                return
        channel.close()


def _exchange(channel: Socket, operation: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    try:
        wire.send(channel, {"op": operation, "arguments": arguments})
        return wire.receive(channel, wire.REPLY_LIMIT)
    except (wire.WireError, TimeoutError) as error:
        raise BrokerGone(f"the broker did not answer {operation}: {error or 'time is up'}") from error


def _value(reply: dict[str, Any], fd: int | None) -> Any:
    """What a reply holds. A refusal never carries a descriptor; if one came, it is closed."""
    if "value" in reply:
        return reply["value"]
    if fd is not None:
        with contextlib.suppress(OSError):
            os.close(fd)
    sentence = str(reply.get("message", "the broker answered without a value"))
    kind = str(reply.get("error"))
    if kind in operations.REFUSALS:
        raise FixRefused(kind, sentence)
    raise (NamespaceGone if kind == operations.NAMESPACE_GONE else HostError)(sentence)
