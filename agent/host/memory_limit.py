"""How much memory the cgroups that we live in still let us have, of either version.

Version 2: memory.max, memory.current and memory.stat (the kernel's Documentation/admin-guide/cgroup-v2); version 1: the files
of the controller `memory` (cgroup-v1/memory). A limit of any ancestor counts: a pod is one of its container's ancestors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Version 1 says "none" as the largest multiple of a page below 2^63.
_NONE = 1 << 60


@dataclass(frozen=True, slots=True)
class Left:
    """What may still be taken of a limit, in bytes. Cached files are as good as free: the kernel takes them back first."""

    bytes: int
    limit: int


@dataclass(frozen=True, slots=True)
class _Version:
    limit: str
    usage: str
    caches: frozenset[str]


_OLD = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", frozenset(("total_inactive_file", "total_active_file")))
_NEW = _Version("memory.max", "memory.current", frozenset(("inactive_file", "active_file", "slab_reclaimable")))


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The cgroups of one process that may have a limit, the innermost first. Empty where none is found."""

    places: tuple[tuple[Path, bool], ...]

    def left(self) -> Left | None:
        """Of the limit that leaves the least; None where there is none, or it cannot be read."""
        found = [left for place, old in self.places if (left := _left(place, _OLD if old else _NEW)) is not None]
        return min(found, key=lambda left: left.bytes, default=None)


def find(process: Path = Path("/proc/self")) -> MemoryLimit:
    """Those of a process, by its /proc/PID/cgroup and the mounts that it sees."""
    try:
        groups = (process / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        mounts = (process / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return MemoryLimit(())  # no /proc: then nobody knows of any limit
    paths = {}
    for line in groups:
        number, controllers, path = line.split(":", 2)
        if number == "0" or "memory" in controllers.split(","):
            paths[number != "0"] = path
    return MemoryLimit(tuple(place for line in mounts for place in _places(line, paths)))


def _places(line: str, paths: dict[bool, str]) -> Iterator[tuple[Path, bool]]:
    """What a line of mountinfo (proc(5)) shows of the cgroup `paths`, by whether they are of version 1."""
    fields, _, rest = line.partition(" - ")
    (root, mount), (kind, _, options) = fields.split()[3:5], rest.split(" ", 2)
    old = kind == "cgroup"
    if kind not in ("cgroup", "cgroup2") or (old and "memory" not in options.split(",")) or old not in paths:
        return
    # A container sees only the part of the tree that is its own, whatever its path is called outside.
    path = paths[old]
    shown = root in ("/", path) or path.startswith(f"{root}/")
    place = Path(mount, path.removeprefix(root).lstrip("/")) if shown else Path(mount)
    for each in (place, *place.parents):
        yield each, old
        if each == Path(mount):
            return


def _left(place: Path, version: _Version) -> Left | None:
    try:
        limit = (place / version.limit).read_text(encoding="ascii").strip()
        if limit == "max" or int(limit) >= _NONE:
            return None
        usage = int((place / version.usage).read_text(encoding="ascii"))
        stat = dict(line.split(" ", 1) for line in (place / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None  # the root of a hierarchy has none of these files
    return Left(int(limit) - usage + sum(int(stat.get(name, 0)) for name in version.caches), int(limit))
