"""The broker's side of one template: a worker's process that has imported its library and forks a child for each job."""

import array
import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from threading import Event, Thread

from agent.host import command, job

# After SIGKILL only a process inside the kernel goes on; it is not waited for any longer.
_GRACE = 1.0
_CHUNK = 64 * 1024


class NotStarted(Exception):  # noqa: N818  says what happened
    """The template did not take the job, most likely because it has ended; another one may be asked."""


class Template:
    """One template's process. Safe to use from several threads; `gone` is called, from another thread, once it has ended."""

    def __init__(self, module: str, idle: float, gone: Callable[["Template"], None]) -> None:
        """Starts it; it ends by itself after `idle` seconds without a job. Raises `OSError`."""
        self.module = module
        self._gone = gone
        self._closing = False
        self._jobs: list[object] = []
        self._ended = Event()
        self._last: command.Completed | None = None
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(idle)]
            try:
                self._child = command.spawn(argv, pass_fds=(theirs.fileno(),))
            except OSError:
                self._control.close()
                raise
        Thread(target=self._watch, name="template", daemon=True).start()

    @property
    def pid(self) -> int:
        """The template's own process, valid until it has ended."""
        return self._child.pid

    @property
    def busy(self) -> bool:
        """Whether somebody waits for a job of it."""
        return bool(self._jobs)

    def run(self, data: bytes, timeout: float, limit: int) -> command.Completed:
        """Has a child made for the job `data`, and collects what it answers until it has ended.

        After `timeout` seconds, or over `limit` bytes, the child is killed and `problem` says so. Raises `NotStarted`.
        """
        ours, theirs = socket.socketpair()
        end, their_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        errors, their_errors = os.pipe2(os.O_CLOEXEC)
        self._jobs.append(ours)
        try:
            with ours, end:
                sent = self._send(theirs.fileno(), their_errors, their_end.fileno())
                for each in (theirs, their_end):
                    each.close()
                os.close(their_errors)
                their_errors = -1
                if not sent:
                    raise NotStarted
                return _Conversation(self, ours, errors, end).hold(data, timeout, limit)
        finally:
            self._jobs.remove(ours)
            theirs.close()
            their_end.close()
            for fd in (errors, their_errors):
                if fd >= 0:
                    os.close(fd)

    def last_words(self) -> command.Completed | None:
        """How it ended, None where it goes on."""
        return self._last if self._ended.wait(2 * _GRACE) else None

    def stop(self) -> None:
        """Has it killed, at once; `last_words` waits for it."""
        self._closing = True
        try:
            self._control.shutdown(socket.SHUT_RDWR)
        except OSError:  # it ended by itself
            return

    def _send(self, *fds: int) -> bool:
        try:
            # Not socket.send_fds, which ignores its flags (Python 3.11) and would wait for a template that is stuck.
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
            self._control.sendmsg([b"!"], [rights], socket.MSG_DONTWAIT)
        except OSError:  # it is gone, or so stuck that its socket is full of jobs
            return False
        return True

    def _watch(self) -> None:
        """Waits until either side lets go of the control socket, on which no template ever speaks; reaps it."""
        with contextlib.suppress(ConnectionResetError):  # that is an end with a job unread
            self._control.recv(1)
        self._last = self._child.converse(b"", 0.0 if self._closing else _GRACE)
        self._gone(self)  # first: who hears of the end asks for another one, and must not be given this one again
        self._ended.set()
        self._control.close()


class _Conversation:
    """One job under way."""

    def __init__(self, template: Template, sock: socket.socket, errors: int, end: socket.socket) -> None:
        self._template, self._sock, self._errors, self._end = template, sock, errors, end
        self._handle = -1  # a pidfd of the child
        self._status: int | None = None
        self._output: dict[int, bytearray] = {sock.fileno(): bytearray(), errors: bytearray()}

    def hold(self, data: bytes, timeout: float, limit: int) -> command.Completed:
        started = time.monotonic()
        try:
            problem = self._pump(memoryview(data), started + timeout, limit)
            if problem:
                self._kill()
            elif self._status is None and self._handle < 0:
                raise NotStarted
        finally:
            if self._handle >= 0:
                os.close(self._handle)
        if not problem and self._status is None:
            problem = "ended with its template"
        return command.Completed(
            argv=(self._template.module,),
            status=None if problem else self._status,
            stdout=bytes(self._output[self._sock.fileno()]),
            stderr=bytes(self._output[self._errors]),
            seconds=time.monotonic() - started,
            problem=problem,
        )

    def _pump(self, rest: memoryview, deadline: float, limit: int) -> str:
        """Moves bytes until the end was told and all was read; the reason why it stopped early, or nothing."""
        self._sock.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            selector.register(self._errors, selectors.EVENT_READ)
            selector.register(self._end, selectors.EVENT_READ)
            while selector.get_map():
                # Whatever a child wrote is there once its end is known; what it started may still hold its descriptors.
                over = self._end not in selector.get_map()
                ready = selector.select(0 if over else max(0.0, deadline - time.monotonic()))
                if not ready:
                    if over:
                        return ""
                    if time.monotonic() >= deadline:
                        return "did not end in time"
                for key, events in ready:
                    if key.fileobj is self._end:
                        if not self._hear():
                            selector.unregister(self._end)
                        continue
                    if events & selectors.EVENT_WRITE:
                        rest = self._write(rest)
                        if not rest:
                            selector.modify(self._sock, selectors.EVENT_READ)
                    if events & selectors.EVENT_READ and not self._read(key.fd):
                        selector.unregister(key.fileobj)
                if sum(map(len, self._output.values())) > limit:
                    return f"answered more than {limit} bytes"
        return ""

    def _hear(self) -> bool:
        """What the template says of the child; False once it has said all, or is dead."""
        message, fds, _, _ = socket.recv_fds(self._end, job.STATUS.size, 1)
        if fds:
            self._handle = fds[0]
        elif len(message) == job.STATUS.size:
            (self._status,) = job.STATUS.unpack(message)
        return bool(message)

    def _read(self, fd: int) -> bool:
        try:
            part = os.read(fd, _CHUNK)
        except ConnectionResetError:  # the child died with some of its job unread
            return False
        self._output[fd] += part
        return bool(part)

    def _write(self, rest: memoryview) -> memoryview:
        try:
            rest = rest[self._sock.send(rest[:_CHUNK]) :]
            if not rest:
                self._sock.shutdown(socket.SHUT_WR)
        except OSError:  # the child does not want the rest; its status tells why
            return rest[:0]
        return rest

    def _kill(self) -> None:
        """Ends the child; the template with it where that cannot be told, for then it is stuck itself."""
        if self._handle >= 0:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            self._end.settimeout(_GRACE)
            try:
                while self._hear():
                    if self._status is not None:
                        return
            except TimeoutError:
                pass
        self._template.stop()
        self._template.last_words()
