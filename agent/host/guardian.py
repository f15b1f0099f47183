"""A process that cleans up after us when we are gone, even where nobody could ask us to: after SIGKILL.

It hangs on no leash, waits on a pipe that only we hold, and ends when it has done its one thing. What outlives even that (a
machine that is reset, a container that is killed whole) is swept at the next start by whoever made it.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

# More descriptors than any of our processes ever has.
_MANY = 65536


class Guardian:
    """Runs `clean` in a process of its own once this process has ended or called `release`, whichever comes first.

    Made by a single-threaded process: the guardian is a fork of it. `clean` must bear that its work is done already.
    """

    def __init__(self, clean: Callable[[], None]) -> None:
        waiting, self._end = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            _wait_and_clean(waiting, clean)
        os.close(waiting)

    def release(self) -> None:
        """Has it clean up now, and waits until it has."""
        os.close(self._end)
        os.waitpid(self._pid, 0)


def _wait_and_clean(waiting: int, clean: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        os.setsid()  # a signal to our maker's group is not for us
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        silence = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(silence, standard)
        os.closerange(3, waiting)
        os.closerange(waiting + 1, min(os.sysconf("SC_OPEN_MAX"), _MANY))
        os.read(waiting, 1)
        clean()
        status = 0
    except BaseException:  # noqa: BLE001  it is nobody's child by now: there is nobody to tell, and no loop to fall back into
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)
