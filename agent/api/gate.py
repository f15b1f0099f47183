"""Every request passes here, and in this order: is it for this node, is it from a script, who asks, may they, is it too often,
is its body fit to be read. Only then does a route see it.
"""

import asyncio
import logging
import re
import sys
import time
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.api import bodies
from agent.api.answers import locked_answer
from agent.api.callers import CALLER, Caller, Callers
from agent.api.permissions import Cost, Found, find
from agent.api.problems import HEADERS, ProblemError, raised
from agent.api.traffic import Traffic
from agent.model.settings import Settings
from agent.service.clock import Clock
from agent.service.host import Host, HostError
from agent.service.limits import Limiter, Rate
from agent.service.remembered import Remembered

# RFC 9110 section 7.2: uri-host and an optional port; an IPv6 address stands in brackets.
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?")
_ALWAYS = frozenset({"localhost", "127.0.0.1", "::1"})
# A node's addresses change rarely, and a stranger's wrong name must not cost a look each time.
_AGE = 60.0
# Requests at work at once: handlers that wait take a thread each, of which there are forty (anyio).
AT_ONCE = 32
# A look costs the node about a tenth of a second of one processor: an impatient person is served, a loop is slowed down.
_EACH = {Cost.LOOK: Rate(40, 0.25), Cost.DIAGNOSIS: Rate(30, 1.0)}
_TOGETHER = {Cost.LOOK: Rate(80, 0.125), Cost.DIAGNOSIS: Rate(60, 0.5)}

# A token and some more. Headers that come in one piece are parsed by h11 whatever their size.
_HEADERS = 16 * 1024
# What is no plain HTTP may be one part of two servers' disagreement: nothing that follows on this connection is believed.
_LAST = {"Connection": "close"}

_log = logging.getLogger(__name__)


class NodeNames:
    """The names by which this node may be called: the loopback's, the settings', and what the node itself has."""

    def __init__(self, host: Host, settings: Settings, clock: Clock) -> None:
        self._given = _ALWAYS | {settings.node_name.lower(), *settings.node_ips}
        self._found = Remembered(lambda: _names(host), clock, _AGE)

    def given(self, header: str) -> bool:
        """Is this Host header one of those that need no look?"""
        return _name(header) in self._given

    def known(self, header: str) -> bool:
        """Does this Host header name the node? May ask the host; a node that cannot be read has only its given names."""
        name = _name(header)
        if name is None:
            return False
        if name in self._given:
            return True
        try:
            return name in self._found.get()
        except HostError as error:
            _log.warning("the node's names could not be read: %s", error)
            return False


class Gate:
    """ASGI middleware: refuses what does not belong here and marks every answer as not to be stored."""

    def __init__(self, app: ASGIApp, names: NodeNames, callers: Callers, clock: Clock, traffic: Traffic) -> None:
        self.app, self.names, self.callers, self.traffic = app, names, callers, traffic
        self._limits = {cost: Limiter(_EACH[cost], _TOGETHER[cost], clock) for cost in _EACH}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes requests on, or answers with a problem: 400, 401, 403, 404, 405, 408, 413, 415, 421, 429, 431 or 503."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        scope.setdefault("state", {})
        started, seen = time.perf_counter(), _Seen(send)
        headers = Headers(scope=scope)
        found = find(scope["method"], scope["path"], verbose=_verbose(scope))
        try:
            await self._pass(scope, receive, seen, headers, found)
        except ProblemError as error:
            more = {"Connection": "close"} if bodies.has_body(headers) else {}
            answer = locked_answer(error) if _is_locked_out(error, scope, headers) else raised(error, more)
            await answer(scope, receive, seen)
        except bodies.ClientGoneError:
            _log.debug("a client hung up in the middle of its request")
        finally:
            if seen.status or sys.exc_info()[0]:
                status = seen.status or int(HTTPStatus.INTERNAL_SERVER_ERROR)  # said by whoever catches what passes here
                self.traffic.count(scope["method"] if found.row else "", found.path, status)
                _tell(scope, found, status, time.perf_counter() - started)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, headers: Headers, found: Found) -> None:
        if not scope["path"].startswith("/"):
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, "The request is not understood", "Ask for a path, not for a whole URL.", _LAST
            )
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _HEADERS:
            detail = f"Headers of more than {_HEADERS // 1024} KiB are not looked at."
            raise ProblemError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Too large", detail, _LAST)
        if found.path != "/livez":  # a kubelet calls the node by any address, and is answered when nothing can be read
            await self._check_host(headers)
        if any(not _is_own(origin, headers.getlist("host")) for origin in headers.getlist("origin")):
            detail = "Scripts of other web pages are not answered: use curl, or open this node's own page."
            raise ProblemError(HTTPStatus.FORBIDDEN, "Not from a web page", detail)
        if found.row is not None and found.row.action is None:
            caller = self.callers.without_token(scope)
        else:
            caller = await self.callers.admit(scope, found.row.action if found.row else None)
        scope["state"][CALLER] = caller
        if found.row is None:
            raise _nothing(scope, found)
        bodies.check_head(scope["method"], headers)
        if bodies.has_body(headers):
            body = await bodies.read(receive)
            bodies.check_json(body)
            receive = bodies.given(body, receive)
        if caller is None or found.path == "/livez":
            await self.app(scope, receive, send)
            return
        self._check_rate(caller, found.row.cost)
        if self._slots.locked():
            detail = f"{AT_ONCE} requests are being answered already: wait."
            raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", detail, {"Retry-After": "1"})
        if found.path.endswith("/events"):  # a stream that lasts holds no thread
            await self.app(scope, receive, send)
            return
        async with self._slots:
            await self.app(scope, receive, send)

    async def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) == 1 and (self.names.given(hosts[0]) or await run_in_threadpool(self.names.known, hosts[0])):
            return
        detail = "The Host header does not name this node: ask 127.0.0.1, localhost, or the node's own name or address."
        raise ProblemError(HTTPStatus.MISDIRECTED_REQUEST, "Wrong host", detail)

    def _check_rate(self, caller: Caller, cost: Cost) -> None:
        limiter = self._limits.get(cost)
        wait = limiter.wait(caller.name) if limiter else 0
        if wait:
            detail = f"The node was made to look too often: try again in {wait} s. GET /v1/report has the latest answer."
            raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", detail, {"Retry-After": str(wait)})


def _is_own(origin: str, hosts: list[str]) -> bool:
    """Whether this Origin is the page that this node itself gave (RFC 6454): its Host, which is one of the node's names."""
    return [origin.lower().removeprefix("http://").removeprefix("https://")] == [host.lower() for host in hosts]


def _is_locked_out(error: ProblemError, scope: Scope, headers: Headers) -> bool:
    """Whether a browser opened the page without a token, which it sends with no link by itself."""
    opened = scope["method"] == "GET" and scope["path"] == "/" and "text/html" in headers.get("accept", "")
    return opened and error.status == HTTPStatus.UNAUTHORIZED


class _Seen:
    """A `send` that marks answers and remembers their status."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message).update(HEADERS)
        await self._send(message)


def _nothing(scope: Scope, found: Found) -> ProblemError:
    path = scope["path"]
    if not found.path:
        detail = f"There is nothing at {path}; /openapi.json lists what there is."
        return ProblemError(HTTPStatus.NOT_FOUND, "Not found", detail)
    allowed = ", ".join(found.methods)
    detail = f"{scope['method']} is not possible on {path}: use {allowed}."
    return ProblemError(HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed", detail, {"Allow": allowed})


def _tell(scope: Scope, found: Found, status: int, seconds: float) -> None:
    """A line of the log for each request but health checks that went well. Names routes: a path may hold a secret."""
    if found.row is not None and found.row.action is None and status == HTTPStatus.OK:
        return
    caller = scope["state"].get(CALLER)
    told = {
        "method": scope["method"] if found.row else "",
        "route": found.path,
        "status": status,
        "seconds": round(seconds, 6),
        "caller": caller.name if caller else "",
        "client": (scope.get("client") or ("",))[0],
    }
    _log.info("request", extra={"told": told})


def _verbose(scope: Scope) -> bool:
    return any(part.partition(b"=")[0] == b"verbose" for part in scope["query_string"].split(b"&"))


def _name(header: str) -> str | None:
    match = _HOST.fullmatch(header)
    return (match["six"] or match["name"]).lower().removesuffix(".") if match else None


def _names(host: Host) -> frozenset[str]:
    node = host.node()
    addresses = {text.split("/")[0].lower() for interface in node.interfaces for text in interface.addresses}
    return frozenset(addresses | {node.hostname.lower()})
