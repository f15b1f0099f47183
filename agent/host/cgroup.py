"""The cgroup of the kubelet's socket and the BPF filters on it and on every cgroup above: systemd's IPAddressDeny= is one."""

import os
from collections.abc import Iterator
from pathlib import Path

from agent.host import bpf
from agent.model.evidence import Program, Unread

_HOOKS = ((bpf.INGRESS, "cgroup ingress"), (bpf.EGRESS, "cgroup egress"))
# Where the unified hierarchy is found: ours, else that of the machine's first process.
_MOUNTS = (Path("/proc/self/mountinfo"), Path("/proc/1/mountinfo"))


def place_of(pid: int, sockets: tuple[int, ...], unread: list[Unread]) -> tuple[Path, str] | None:
    """(the mount of the unified hierarchy, the path of the process's cgroup below it, from `/`), None where it is not found.

    `sockets` are the ids of the listeners' cgroups: a socket stays in the cgroup in which it was made.
    """
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        unread.append(Unread(what="the kubelet's cgroup", why=f"/proc/{pid}/cgroup: {error.strerror}"))
        return None
    path = next((line[3:] for line in text.splitlines() if line.startswith("0::/")), None)
    mounts = tuple(_mounts())
    if path is None or not mounts:
        unread.append(Unread(what="the kubelet's cgroup", why="no unified (version 2) cgroup hierarchy is mounted here"))
        return None
    while path.startswith("/.."):  # as seen from a cgroup namespace that it is not in (cgroup_namespaces(7))
        path = path[3:]
    path = path or "/"
    inodes = {mount: _inode(mount / path.lstrip("/")) for mount in mounts}
    found = next((mount for mount, inode in inodes.items() if inode and (inode in sockets or not any(sockets))), None)
    if found is not None:
        return found, path
    why = f"its socket was made in another cgroup than {path}" if any(inodes.values()) else f"{path} is not mounted here"
    unread.append(Unread(what="the kubelet's cgroup", why=why))
    return None


def _inode(place: Path) -> int | None:
    try:
        return place.stat().st_ino
    except OSError:  # another mount may have it; that none has is said
        return None


def programs(mount: Path, path: str, unread: list[Unread]) -> Iterator[Program]:
    """The filters that packets of this cgroup's sockets meet, the cgroup's own first, then those of its ancestors."""
    here = Path(path)
    for place in (here, *here.parents):
        try:
            handle = os.open(mount / str(place).lstrip("/"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            unread.append(Unread(what=f"BPF filters of cgroup {place}", why=error.strerror or str(error)))
            continue
        try:
            for kind, hook in _HOOKS:
                for number in bpf.query(handle, kind):
                    yield Program(hook=hook, where=str(place), number=number, name=_name(number))
        except OSError as error:
            unread.append(Unread(what="BPF filters of cgroups", why=refusal(error)))
            return
        finally:
            os.close(handle)


def refusal(error: OSError) -> str:
    """Why a query was refused, in a sentence."""
    if isinstance(error, PermissionError):
        return "the kernel shows BPF programs only to the machine's own root (CAP_NET_ADMIN outside any user namespace)"
    return f"bpf(2) did not answer: {error.strerror or error}"


def _name(number: int) -> str:
    try:
        return bpf.name(number)
    except OSError:  # it ended, or its name wants a capability more: the number still names it
        return ""


def _mounts() -> Iterator[Path]:
    """Every mount of the whole hierarchy. Its root is shown as `/../..` from within a cgroup namespace."""
    for table in _MOUNTS:
        try:
            lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            continue  # the other one is asked
        for line in lines:
            fields, _, rest = line.partition(" - ")
            words = fields.split()
            if rest.startswith("cgroup2 ") and set(words[3].split("/")) <= {"", ".."}:
                root = Path("/proc/1/root") if table.parts[2] == "1" else Path("/")
                yield root / words[4].lstrip("/")
