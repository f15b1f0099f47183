"""The broker's side of a phantom pod: one at a time, made when it is asked for, ended when the look is over."""

import contextlib
import json
import socket
import sys
from threading import Lock, Thread
from typing import TypeVar

from agent.host import command
from agent.host.errors import HostError
from agent.host.phantom import records
from agent.model.codec import CodecError, from_plain, to_plain
from agent.model.phantom import Phantom, PhantomEnd, PhantomRequest
from agent.model.settings import Settings

T = TypeVar("T")

# Three plugins of eight seconds each, less than a client waits for its broker.
_PATIENCE = 26.0
_ANSWER_LIMIT = 64 * 1024


class Keeper:
    """Makes and ends phantoms. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._under_way: tuple[command.Child, socket.socket] | None = None
        Thread(target=records.sweep, args=(settings.state_dir,), name="phantoms", daemon=True).start()

    def make(self, request: PhantomRequest) -> Phantom:
        """A phantom, or why there is none. One that somebody else has not ended yet is ended first."""
        with self._lock:
            self._end()
            problems = records.sweep(self._settings.state_dir)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            given = json.dumps({"request": to_plain(request), "settings": to_plain(self._settings)})
            with theirs:
                argv = [sys.executable, "-P", "-m", "agent.host.phantom.worker", given, str(theirs.fileno())]
                try:
                    child = command.spawn(argv, pass_fds=(theirs.fileno(),), piped=False)
                except OSError as error:
                    ours.close()
                    raise HostError(f"a phantom pod could not be started: {error.strerror}") from error
            self._under_way = (child, ours)
            found = _hear(ours, Phantom)
            if found is None:
                self._end()
                raise HostError("the phantom pod's process ended before it had one")
            if not found.address:
                self._end()
            return found if not problems else from_plain(Phantom, {**to_plain(found), "notes": [*found.notes, *problems]})

    def end(self) -> PhantomEnd:
        """Ends the phantom, where there is one, and waits until all of it is taken back."""
        with self._lock:
            return self._end()

    def _end(self) -> PhantomEnd:
        if self._under_way is None:
            return PhantomEnd()
        child, channel = self._under_way
        self._under_way = None
        with channel:
            with contextlib.suppress(OSError):  # it has ended by itself
                channel.shutdown(socket.SHUT_WR)
            ended = _hear(channel, PhantomEnd)
        child.end(1.0)
        return ended or PhantomEnd(
            problem="the phantom pod's process ended without a word; its guardian takes back what it had"
        )


def _hear(channel: socket.socket, kind: type[T]) -> T | None:
    """One line, understood; None where none comes."""
    channel.settimeout(_PATIENCE)
    data = b""
    try:
        while not data.endswith(b"\n") and len(data) < _ANSWER_LIMIT:
            part = channel.recv(4096)
            if not part:
                return None
            data += part
        return from_plain(kind, json.loads(data))
    except (OSError, ValueError, CodecError):
        return None
