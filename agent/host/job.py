"""The worker's side: a template that has imported its library once, and a child of it for each job.

`python -m agent.host.SOME_worker CONTROL IDLE`. The template is single-threaded and never does a job: it waits for descriptors
on the socket CONTROL, forks, and says on a socket of the job's who does it and how that ended. It ends with its parent, with
CONTROL, or after IDLE seconds without a job; its children end with it.
"""

import gc
import json
import os
import select
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from agent.host import privilege
from agent.model.codec import to_plain

# What a job brings along: where its work is read and answered, where its last words go, where its end is told.
DESCRIPTORS = 3
STATUS = struct.Struct("=i")
# One message on CONTROL carries descriptors; its bytes mean nothing.
_CALL = 16
_CHUNK = 64 * 1024

Work = Callable[[dict[str, Any]], Any]


def serve(work: Work) -> NoReturn:
    """Forks a child for each job that comes, which writes what `work` makes of it. Never returns."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    # Prints of the library are last words at best; what is printed to a pipe that nobody empties would block in the end.
    os.dup2(2, 1)
    # The library's objects live until the end: a child's collector shall not touch, and so copy, their pages.
    gc.collect()
    gc.freeze()
    _Template(work, control, float(sys.argv[2])).run()
    # The interpreter's own way out takes longer than a job; there is nothing left to lose here.
    os._exit(0)


class _Template:
    def __init__(self, work: Work, control: socket.socket, idle: float) -> None:
        self._work, self._control, self._idle = work, control, idle
        self._running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd: the child, and where its end is told
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def run(self) -> None:
        while True:
            ready = self._poll.poll(None if self._running else self._idle * 1000)
            if not ready:
                return
            for fd, _ in ready:
                if fd in self._running:
                    self._tell_end(fd)
                elif not self._take_job():
                    return

    def _take_job(self) -> bool:
        """Starts one job; False where nobody is left who could bring another."""
        message, fds, _, _ = socket.recv_fds(self._control, _CALL, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not message or len(fds) != DESCRIPTORS:
            return False
        job, errors, told = fds
        end = socket.socket(fileno=told)
        template = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # out of processes or memory, which may pass: this job alone is lost
            os.write(errors, f"no child could be made: {error.strerror}\n".encode())
            _send(end, STATUS.pack(1))
            end.close()
        else:
            if pid == 0:
                self._become_child(template, job, errors, end)
            handle = os.pidfd_open(pid)
            _send(end, b"!", handle)
            self._running[handle] = pid, end
            self._poll.register(handle, select.POLLIN)
        os.close(job)
        os.close(errors)
        return True

    def _tell_end(self, handle: int) -> None:
        pid, end = self._running.pop(handle)
        self._poll.unregister(handle)
        os.close(handle)
        _, status = os.waitpid(pid, 0)
        _send(end, STATUS.pack(os.waitstatus_to_exitcode(status)))
        end.close()

    def _become_child(self, template: int, job: int, errors: int, end: socket.socket) -> NoReturn:
        status = 1
        try:
            privilege.leash(template)
            self._control.close()
            for handle, (_, other) in self._running.items():
                os.close(handle)
                other.close()
            end.close()
            os.dup2(errors, 1)
            os.dup2(errors, 2)
            os.close(errors)
            _answer(self._work, job)
            status = 0
        except BaseException:  # noqa: BLE001  whatever it is, the child says it and ends here, never in the template's loop
            traceback.print_exc()
        finally:
            os._exit(status)


def _answer(work: Work, job: int) -> None:
    with socket.socket(fileno=job) as sock:
        asked = bytearray()
        while part := sock.recv(_CHUNK):
            asked += part
        sock.sendall(json.dumps(to_plain(work(json.loads(asked)))).encode())


def _send(end: socket.socket, message: bytes, *fds: int) -> None:
    """Tells whoever asked for the job, who may have lost patience and gone."""
    try:
        socket.send_fds(end, [message], fds, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return
