"""The end of a fix, in the kernel: a stop time in the rule, and where ipset is there a set whose only element times out.

The stop time (xt_time) goes by the wall clock, the set's timeout by the kernel's own: with both, a clock set back makes no
fix last longer. `--datestop` holds through its whole second (net/netfilter/xt_time.c), so that it is set a second early.
"""

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.host import command

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DEADLINE = 5.0


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on both clocks: seconds since 1970, and since boot with the time asleep."""

    wall: float
    boot: float


def now() -> Now:
    """This moment."""
    return Now(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


def boot_id() -> str:
    """Which boot of the machine this is."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def stop_after(moment: Now, seconds: int) -> int:
    """The last second, since 1970, in which the rule holds: access ends with it, at most one second late and never early."""
    return math.ceil(moment.wall + seconds) - 1


def stamp(seconds: float) -> str:
    """A second as iptables takes it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso(seconds: float) -> str:
    """A second as people and JSON read it."""
    return f"{stamp(seconds)}Z"


def create_set(name: str, source: str, version: int, seconds: int) -> bool:
    """Makes the set with its one element. False where there is no ipset here: then the stop time alone ends the lease."""
    family = "inet6" if version == 6 else "inet"
    made = command.run(("ipset", "create", name, "hash:net", "family", family, "timeout", str(seconds)))
    if made.status != 0:
        return False
    if extend_set(name, source, seconds):
        return True
    destroy_set(name)
    return False


def extend_set(name: str, source: str, seconds: int) -> bool:
    """Gives the element a new timeout."""
    done = command.run(("ipset", "add", "-exist", name, source, "timeout", str(seconds)), timeout=_DEADLINE)
    return done.status == 0


def destroy_set(name: str) -> None:
    """Removes the set, if it is there and no rule asks for it any more."""
    command.run(("ipset", "destroy", name), timeout=_DEADLINE)


def our_sets() -> tuple[str, ...]:
    """The names of the sets that are ours; none where there is no ipset."""
    done = command.run(("ipset", "list", "-n"), timeout=_DEADLINE)
    names = done.stdout.decode("utf-8", "replace").split() if done.status == 0 else ()
    return tuple(name for name in names if name.startswith("kubereach-") and len(name) == 22)
