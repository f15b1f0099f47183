"""The listening side of the front: several sockets, with TLS or without, and a bounded number of connections behind them.

Connections are accepted here, one by one, so that they are counted before TLS costs anything. When places are taken, the
one that has owed us its request the longest goes: a flood of half-open connections displaces itself, and not those who ask.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import traceback
from asyncio import sslproto
from collections.abc import Sequence
from ipaddress import ip_address
from types import FrameType
from typing import Any

import uvicorn

from agent.api.callers import LOOPBACK, PEER_UID
from agent.api.punctual import PATIENCE, PunctualProtocol

# A person, a scraper and a kubelet or two; more at once is not use but abuse.
CONNECTIONS = 256
# Of these, how many may owe us a request, TLS handshakes among them: each costs up to 90 KiB, and gives nothing.
WAITING = 64
# Accepted in one go, so that others get their turn in between.
_BATCH = 16
# The Date header has whole seconds.
_TICK = 1.0
# Pause after the process ran out of descriptors.
_PAUSE = 0.5
_FAREWELL = 1.0
_UCRED = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
# asyncio gives each TLS connection a buffer of 256 KiB; a TLS record has 16 KiB at most (RFC 8446 section 5.1).
sslproto.SSLProtocol.max_size = 16 * 1024


class Server(uvicorn.Server):
    """uvicorn's server behind our doors. Unix sockets speak plain HTTP; TCP sockets TLS where `tls` is given."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(config)
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    async def main_loop(self) -> None:
        """Until it is to end. uvicorn's own asks ten times a second, which is all that an idle service's processor would do."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):  # renews the Date header, too
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _TICK)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        super().handle_exit(sig, frame)
        self.leave()

    def leave(self) -> None:
        """Has the server end soon. From any thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._ending.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens every door."""
        guests = Guests(self)
        doors: Any = [Door(sock, guests, None if sock.family == socket.AF_UNIX else self._tls) for sock in sockets or ()]
        self.servers = doors
        self.started = True

    def protocol(self) -> PunctualProtocol:
        """A protocol for one connection."""
        return PunctualProtocol(config=self.config, server_state=self.server_state, app_state={})


class Guests:
    """The connections that are open, over all doors."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._inside: dict[PunctualProtocol, asyncio.Task[None]] = {}

    def admit(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Gives a place to a connection; closes it where there is none."""
        waiting = sum(not task.done() or protocol.waiting for protocol, task in self._inside.items())
        if (waiting >= WAITING or len(self._inside) >= CONNECTIONS) and not self._displace():
            sock.close()
            return
        protocol = self._server.protocol()
        protocol.marks = _marks(sock)
        protocol.gone = lambda: self._forget(protocol)
        self._inside[protocol] = asyncio.get_running_loop().create_task(self._connect(protocol, sock, tls))

    async def _connect(self, protocol: PunctualProtocol, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        more: dict[str, Any] = {"ssl_handshake_timeout": PATIENCE, "ssl_shutdown_timeout": _FAREWELL} if tls else {}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock, ssl=tls, **more)
        except (OSError, asyncio.CancelledError) as error:  # no TLS, too slow, gone, or displaced: the guest's own business
            self._forget(protocol)
            sock.close()
            # The error holds frames that hold the error, and with it the handshake's 90 KiB until somebody looks for rings.
            traceback.clear_frames(error.__traceback__)

    def _displace(self) -> bool:
        for protocol, task in self._inside.items():
            if not task.done():
                task.cancel()
            elif protocol.waiting:
                protocol.transport.abort()
            else:
                continue
            self._forget(protocol)
            return True
        return False

    def _forget(self, protocol: PunctualProtocol) -> None:
        self._inside.pop(protocol, None)
        protocol.gone = None


class Door:
    """One listening socket. Has what uvicorn asks of a server: `close` and `wait_closed`."""

    def __init__(self, listener: socket.socket, guests: Guests, tls: ssl.SSLContext | None) -> None:
        self._listener, self._guests, self._tls = listener, guests, tls
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._open()

    def close(self) -> None:
        """Accepts nobody any more."""
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _open(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError:  # out of descriptors or memory, which may pass
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(_PAUSE, self._open)
                return
            sock.setblocking(False)
            self._guests.admit(sock, self._tls)


def is_loopback(sock: socket.socket) -> bool:
    """Whether a socket is bound to a loopback address, so that only this machine's own processes reach it."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    return ip_address(sock.getsockname()[0].partition("%")[0]).is_loopback


def addresses(sockets: Sequence[socket.socket]) -> str:
    """Their addresses, for the log."""
    return ", ".join(str(sock.getsockname()) for sock in sockets)


def _marks(sock: socket.socket) -> dict[str, Any]:
    if sock.family == socket.AF_UNIX:
        _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return {PEER_UID: uid}
    return {LOOPBACK: is_loopback(sock)}
