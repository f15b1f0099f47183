"""Who may speak to the API: a Host header that names this node, and no browser script.

There is no authentication yet, so two things stand between a web page in an operator's browser and this port: DNS rebinding
is stopped by the list of names, cross-origin requests by refusing every Origin but the page's own (curl sends none).
"""

import logging
import re
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.api.problems import HEADERS, problem
from agent.model.settings import Settings
from agent.service.clock import Clock
from agent.service.host import Host, HostError
from agent.service.remembered import Remembered

# RFC 9110 section 7.2: uri-host and an optional port; an IPv6 address stands in brackets.
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?")
_ALWAYS = frozenset({"localhost", "127.0.0.1", "::1"})
# A node's addresses change rarely, and a stranger's wrong name must not cost a look each time.
_AGE = 60.0

_log = logging.getLogger(__name__)


class NodeNames:
    """The names by which this node may be called: the loopback's, the settings', and what the node itself has."""

    def __init__(self, host: Host, settings: Settings, clock: Clock) -> None:
        self._given = _ALWAYS | {settings.node_name.lower(), *settings.node_ips}
        self._found = Remembered(lambda: _names(host), clock, _AGE)

    def known(self, header: str) -> bool:
        """Does this Host header name the node? May ask the host; a node that cannot be read has only its given names."""
        match = _HOST.fullmatch(header)
        if match is None:
            return False
        name = (match["six"] or match["name"]).lower().removesuffix(".")
        if name in self._given:
            return True
        try:
            return name in self._found.get()
        except HostError as error:
            _log.warning("the node's names could not be read: %s", error)
            return False


class Gate:
    """ASGI middleware: refuses what does not belong here and marks every answer as not to be stored."""

    def __init__(self, app: ASGIApp, names: NodeNames) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes requests on, or answers 421 (RFC 9110 section 15.5.20) or 403."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        # A kubelet's liveness probe calls the node by any address, and must be answered when nothing can be read.
        if scope["path"] != "/livez" and not (len(hosts) == 1 and await run_in_threadpool(self.names.known, hosts[0])):
            detail = "The Host header does not name this node: ask 127.0.0.1, localhost, or the node's own name or address."
            refusal = problem(HTTPStatus.MISDIRECTED_REQUEST, "Wrong host", detail)
            await refusal(scope, receive, send)
        elif any(not _is_own(origin, hosts) for origin in headers.getlist("origin")):
            detail = "Scripts of other web pages are not answered: use curl, or open this node's own page."
            await problem(HTTPStatus.FORBIDDEN, "Not from a web page", detail)(scope, receive, send)
        else:
            await self.app(scope, receive, _not_stored(send))


def _is_own(origin: str, hosts: list[str]) -> bool:
    """Whether this Origin is the page that this node itself gave (RFC 6454): its Host, which is one of the node's names."""
    return [origin.lower().removeprefix("http://").removeprefix("https://")] == [host.lower() for host in hosts]


def _not_stored(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return marked


def _names(host: Host) -> frozenset[str]:
    node = host.node()
    addresses = {text.split("/")[0].lower() for interface in node.interfaces for text in interface.addresses}
    return frozenset(addresses | {node.hostname.lower()})
