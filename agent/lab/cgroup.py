"""A cgroup for the stand-in kubelet: the one thing of the lab that no namespace holds. It is removed with the lab, and those of
labs that were killed are removed by the next.
"""

import contextlib
import os
from pathlib import Path

from agent.lab.errors import LabError

_PREFIX = "kubereach-lab-"


def name() -> str:
    """The name for the lab of this, the outer process."""
    return f"{_PREFIX}{os.getpid()}"


def make(name: str) -> Path:
    """Makes the cgroup in the unified hierarchy. Raises `LabError`."""
    mount = _mount()
    if mount is None:
        raise LabError("this incident needs the unified (version 2) cgroup hierarchy, which is not mounted here")
    try:
        (mount / name).mkdir(exist_ok=True)
    except OSError as error:
        raise LabError(f"the kubelet's cgroup could not be made in {mount}: {error.strerror}") from error
    return mount / name


def sweep() -> None:
    """Removes this process's cgroup, and those of processes that are gone. One in use is left to whoever uses it."""
    mount = _mount()
    for place in mount.glob(f"{_PREFIX}*") if mount else ():
        owner = place.name.removeprefix(_PREFIX)
        if owner == str(os.getpid()) or not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):  # its processes end a moment after their namespace; the next lab takes it away
                place.rmdir()


def _mount() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        words = fields.split()
        if rest.startswith("cgroup2 ") and words[3] == "/":
            return Path(words[4])
    return None
