"""Starts the front without privileges, starts it again when it dies, and ends it when the broker is told to end."""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType

from agent.host import command, privilege

# A front that dies at once must not eat the node; one that has lived this long was well, and is back at once.
_FIRST_DELAY, _LONGEST_DELAY, _WELL = 0.1, 5.0, 30.0
# Enough for the front to answer what it has begun (its own deadlines are below it).
_GRACE = 3.0


class Bell:
    """Rings once SIGTERM or SIGINT has come: a descriptor to wait on. Use in the main thread; a context manager."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ring)

    def __enter__(self) -> "Bell":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """Readable from the first signal on."""
        return self._reader.fileno()

    def rang_within(self, seconds: float) -> bool:
        """Waits at most `seconds` for a signal."""
        return bool(select.select([self._reader], [], [], seconds)[0])

    def _ring(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        try:
            self._writer.send(b"!")
        except BlockingIOError:  # it has rung often enough to be heard
            return


def supervise(
    argv: Sequence[str], listen_fd: int, converse: Callable[[socket.socket], None], bell: Bell, kept: Sequence[int] = ()
) -> None:
    """Runs the front `argv` until the bell rings, with `--broker-fd N --listen-fd N` added; it inherits `kept`, too.

    `converse` is handed our end of each front's first channel and must not block. The listening socket stays open here, so
    that clients wait instead of being refused while the front starts again.
    """
    user, _ = privilege.front_user()
    delay = _FIRST_DELAY
    while True:
        started = time.monotonic()
        try:
            child = _start(argv, (listen_fd, *kept), user, converse)
        except OSError as error:  # out of processes or memory, which may pass
            ended = f"could not be started: {error.strerror}"
        else:
            if command.wait_for(child, bell.fileno()):
                child.terminate()
                child.end(_GRACE)
                return
            child.end(0)
            ended = f"ended with status {child.status}"
        delay = _FIRST_DELAY if time.monotonic() - started >= _WELL else delay
        sys.stderr.write(f"kubereach: the front {ended}; starting it again in {delay:g} s\n")
        if bell.rang_within(delay):
            return
        delay = min(2 * delay, _LONGEST_DELAY)


def _start(argv: Sequence[str], kept: tuple[int, ...], user: int, converse: Callable[[socket.socket], None]) -> command.Child:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        whole = [
            *(privilege.launcher(user), "-P", "-m", "agent.host.launch", str(os.getpid()), str(user)),
            *(*argv, "--broker-fd", str(theirs.fileno()), "--listen-fd", str(kept[0])),
        ]
        try:
            child = command.spawn(whole, pass_fds=(theirs.fileno(), *kept), piped=False)
        except OSError:
            ours.close()
            raise
    converse(ours)
    return child
