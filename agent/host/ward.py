"""A child of the supervisor: started, waited for, started again with patience, told to end.

Made with posix_spawn(3), without `agent.host.command`: that keeps a thread and a hundred modules, and its commands' output.
"""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

from agent.host import link

# A child that dies at once must not eat the node.
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0
# After SIGKILL only a process inside the kernel goes on; it is not waited for any longer. Milliseconds.
_LAST_WAIT = 200
# As much as is needed, and back at once what is not: glibc keeps a heap for each thread, and of what is freed, as a ruleset's
# text a dozen times in a look, up to 64 MiB (mallopt(3)). Measured beside 40,000 legacy rules: 229 MiB at most and not 276.
_THRIFT = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}
# What Python ignores and a new program does not expect to be ignored (as subprocess does).
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)


class Ward:
    """One child. For one thread.

    `argv` gives its command line without `--link-fd N`, which is added; it inherits `kept`. One that has lived `well` seconds
    is back at once when it ends.
    """

    def __init__(self, name: str, argv: Callable[[], Sequence[str]], kept: Sequence[int], well: float) -> None:
        self._name, self._argv, self._kept, self._well = name, argv, tuple(kept), well
        self._pid = 0
        self._handle = -1  # a pidfd, which is readable once the child has ended (pidfd_open(2))
        self._link: socket.socket | None = None
        self._started = self.due = time.monotonic()
        self._delay = _FIRST_DELAY

    @property
    def lives(self) -> bool:
        """Whether it was started and not yet seen to have ended. While it is so, there is a `fileno`."""
        return self._handle >= 0

    def fileno(self) -> int:
        """Readable once it has ended."""
        return self._handle

    def start(self) -> bool:
        """Starts it; False, and a sentence, where there are no processes or memory left, which may pass."""
        self._started = time.monotonic()
        try:
            self._spawn()
        except OSError as error:
            self._retry(f"could not be started: {error.strerror}")
            return False
        return True

    def introduce(self, conversation: socket.socket) -> None:
        """Hands it a conversation. One that takes none is stuck, and killed; one that is dead is noticed anyway."""
        if self._link is None:
            return
        try:
            link.give(self._link, conversation)
        except OSError:
            self.kill()

    def bury(self) -> None:
        """Reaps it, which has ended; says how, and when it is due again."""
        self._retry(f"ended with status {self._reap()}")

    def terminate(self) -> None:
        """Tells it to end (SIGTERM)."""
        if self.lives:
            signal.pidfd_send_signal(self._handle, signal.SIGTERM)

    def hang_up(self) -> None:
        """Tells it to end by its link. That reaches another user's process, too, where we have no right to signal it."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def kill(self) -> None:
        """Ends it at once. Where we have no right to (another user's, without CAP_KILL), its link's end has to do."""
        if not self.lives:
            return
        self.hang_up()
        try:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        except PermissionError:
            return

    def await_end(self, seconds: float) -> None:
        """Waits for it so long, then kills it."""
        if not self.lives:
            return
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        if not poll.poll(max(0.0, seconds) * 1000):
            sys.stderr.write(f"kubereach: the {self._name} did not end in time and is killed\n")
            self.kill()
            if not poll.poll(_LAST_WAIT):
                return
        self._reap()

    def _spawn(self) -> None:
        ours, theirs = link.make()
        with theirs:
            given = (theirs.fileno(), *self._kept)
            argv = [*self._argv(), "--link-fd", str(theirs.fileno())]
            try:
                for descriptor in given:
                    os.set_inheritable(descriptor, True)
                self._pid = os.posix_spawn(
                    argv[0],
                    argv,
                    {**_THRIFT, **os.environ},
                    file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
                    setpgroup=0,  # a terminal's Ctrl-C is for us, who end it in order
                    setsigdef=_RESTORED,
                )
                self._handle = os.pidfd_open(self._pid)
            except OSError:
                ours.close()
                raise
            finally:
                for descriptor in self._kept:
                    os.set_inheritable(descriptor, False)
        self._link = ours

    def _reap(self) -> int:
        self.hang_up()
        os.close(self._handle)
        self._handle = -1
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _retry(self, ended: str) -> None:
        now = time.monotonic()
        delay = _FIRST_DELAY if now - self._started >= self._well else self._delay
        sys.stderr.write(f"kubereach: the {self._name} {ended}; starting it again in {delay:g} s\n")
        self.due, self._delay = now + delay, min(2 * delay, _LONGEST_DELAY)
