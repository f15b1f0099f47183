"""The worker of a deep look: one connect from a pod's namespace, with the kernel's own account of what becomes of it.

A process of its own because it changes its mount namespace for good, and forks a guardian. It opens the socket itself, connects
and closes: no byte of a stranger is read.
"""

import errno
import select
import socket
import time
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any

from agent.host import firewall, job
from agent.host.drop_events import TraceError, drop_events
from agent.host.errors import HostError
from agent.host.namespaces import Directory
from agent.host.rule_trace import rule_trace
from agent.model.capture import Problem
from agent.model.codec import from_plain
from agent.model.trace import DeepTrace, TraceRequest


def work(asked: dict[str, Any]) -> DeepTrace:
    """One trace: a `TraceRequest`."""
    started = time.monotonic()
    request = from_plain(TraceRequest, asked)
    source, target = ip_address(request.source), ip_address(request.target)
    family = socket.AF_INET if source.version == 4 else socket.AF_INET6
    try:
        sock = Directory(request.netns_dirs).inside(request.namespace, lambda: socket.socket(family, socket.SOCK_STREAM))
    except HostError as error:
        return DeepTrace(request=request, problem=str(error))
    with sock, ExitStack() as stack:
        try:
            sock.bind((request.source, 0))
        except OSError as error:
            return DeepTrace(request=request, problem=f"it could not be bound to {request.source}: {error.strerror}")
        sport = sock.getsockname()[1]
        events_problem = rules_problem = ""
        events = rules = None
        # The events first: their guardian is a fork, and starting nft makes a thread.
        try:
            events = stack.enter_context(drop_events(source.version, sport))
        except TraceError as error:
            events_problem = str(error)
        try:
            rules = stack.enter_context(rule_trace(source, sport, target, request.port, _live_legacy()))
        except TraceError as error:
            rules_problem = str(error)
        number = _connect(sock, request)
        return DeepTrace(
            request=request,
            sport=sport,
            errno=errno.errorcode.get(number, str(number)) if number else None,
            events=events.text() if events else "",
            events_problem=events_problem,
            rules=rules.text() if rules else "",
            rules_problem=rules_problem,
            seconds=time.monotonic() - started,
        )


def _live_legacy() -> list[str]:
    problems: list[Problem] = []
    return [f"{family} {table}" for family in ("ip", "ip6") for table in firewall.legacy_tables(family, problems)]


def _connect(sock: socket.socket, request: TraceRequest) -> int:
    """The errno that it ends in, 0 for an open port, ETIMEDOUT for none in time."""
    sock.setblocking(False)
    number = sock.connect_ex((request.target, request.port))
    if number != errno.EINPROGRESS:
        return number
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(request.timeout * 1000):
        return errno.ETIMEDOUT
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


if __name__ == "__main__":
    job.serve(work)
