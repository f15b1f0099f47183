"""Two locks: iptables' own, which every writer of legacy tables shares, and that of our state directory.

The first is held for one comparison and one commit: other programs on a node wait for it (kube-proxy, CNI plugins), and a probe
of theirs fails where we are slow. iptables-nft has no use for it (xtables-nft(8)).
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from agent.host import operations
from agent.host.errors import FixRefused

XTABLES = "/run/xtables.lock"  # iptables/xshared.h; the same file for all network namespaces of a mount namespace
# Between two attempts. iptables' lock is free for moments between others' commits, which take milliseconds; ours is held for a
# tenth of a second, and a hundred who asked for it every few milliseconds would take the processor from the one who has it.
_XTABLES_PAUSE, _STATE_PAUSE = 0.005, 0.03


@contextlib.contextmanager
def xtables(wait: float, path: str = XTABLES) -> Iterator[None]:
    """Holds iptables' lock. Raises `FixRefused` (BUSY) where another program held it for `wait` seconds."""
    # As iptables opens it: made where it is missing. Not through a link that somebody else may have put there.
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _take(descriptor, wait, f"another program holds iptables' lock ({path}) for {wait:g} s", _XTABLES_PAUSE)
        yield
    finally:
        os.close(descriptor)  # which gives the lock back (flock(2))


@contextlib.contextmanager
def state(directory: int, wait: float) -> Iterator[None]:
    """Holds the lock of a state directory, given open. Raises `FixRefused` (BUSY)."""
    descriptor = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    try:
        _take(descriptor, wait, "another kubereach is changing something on this node", _STATE_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, wait: float, who: str, pause: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                sentence = f"{who}: nothing was changed. Try again when it is done."
                raise FixRefused(operations.BUSY, sentence) from None
            time.sleep(pause)
        else:
            return
