"""What this process is allowed, and how it gives everything up before it runs code that meets strangers.

Called between fork and exec in a process of its own (`agent.host.launch`), single-threaded: the order of the calls matters and
is the whole point. Numbers are those of include/uapi/linux/{prctl,capability}.h.
"""

import ctypes
import os
import signal
import stat
import sys
from pathlib import Path

import agent

# The unprivileged user of distroless images: no account on any node has it.
NOBODY = 65532
SETGID, SETUID, NET_ADMIN, NET_RAW, SYS_PTRACE, SYS_ADMIN = 6, 7, 12, 13, 19, 21

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


def capabilities(name: str = "CapEff") -> int:
    """One of this process's capability sets as a bit mask: `CapEff`, `CapPrm`, `CapInh`, `CapBnd` or `CapAmb`."""
    for line in Path("/proc/thread-self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value, 16)
    raise OSError(f"/proc/thread-self/status has no {name}")


def in_user_namespace() -> bool:
    """Whether root here is not the machine's root: the map of a process outside is the identity over all ids."""
    return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]


def front_user() -> tuple[int, str]:
    """The uid under which the front shall run, and, where that is not `NOBODY`, the sentence that says why."""
    if os.geteuid() != 0:
        return os.geteuid(), "only root can change the user"
    for kind in ("uid", "gid"):
        if not _is_mapped(Path(f"/proc/self/{kind}_map").read_text(), NOBODY):
            return os.geteuid(), f"{kind} {NOBODY} does not exist in this user namespace"
    needed = (sys.executable, sys.prefix, sys.base_prefix, str(Path(agent.__file__).parent))
    closed = next((path for path in needed if not _open_to_others(Path(path))), None)
    if closed is not None:
        return os.geteuid(), f"user {NOBODY} may not read {closed}"
    if not _may_change_users() and not way_down():
        return os.geteuid(), f"the capabilities SETUID and SETGID are missing, and no interpreter belongs to user {NOBODY}"
    return NOBODY, ""


def way_down(directory: Path | None = None) -> str:
    """An interpreter of this installation that becomes `NOBODY` by being started (set-user-ID, set-group-ID), or nothing.

    Whoever starts it has both ids as effective and saved ones (execve(2)) and needs no capability to make them the real ones
    (setresuid(2)). The image has one: a container's root with only the capabilities of a broker cannot change users.
    """
    path = (directory or Path(sys.prefix, "bin")) / f"python-{NOBODY}"
    try:
        status = path.stat()
    except OSError:
        return ""
    bits = stat.S_ISUID | stat.S_ISGID | stat.S_IXOTH
    fits = (status.st_uid, status.st_gid) == (NOBODY, NOBODY) and status.st_mode & bits == bits
    return str(path) if fits else ""


def launcher(user: int) -> str:
    """The interpreter to start `agent.host.launch` with, so that it can become `user`."""
    down = way_down() if user == NOBODY and os.geteuid() == 0 and not _may_change_users() else ""
    return down or sys.executable


def leash(parent: int) -> None:
    """Has the kernel kill this process when its parent dies; ends at once where that has happened already."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def forbid_dumps() -> None:
    """Keeps this process's memory, where callers' tokens pass, out of core dumps and from other processes of its user."""
    _prctl(_PR_SET_DUMPABLE, 0)


def give_up(user: int) -> None:
    """Drops every capability for good, for this process and all it starts, and becomes `user`. Raises `OSError`."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _drop_bounding_set()
    if {os.getuid(), os.geteuid()} != {user}:
        _leave_groups(user)
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _set_capabilities_to_none()
    left = capabilities("CapEff") | capabilities("CapPrm") | capabilities("CapInh") | capabilities("CapAmb")
    if left:
        raise OSError(f"capabilities {left:#x} are left after dropping them all")


def _may_change_users() -> bool:
    needed = 1 << SETUID | 1 << SETGID
    return capabilities() & needed == needed


def _leave_groups(user: int) -> None:
    """Leaves every supplementary group. Without the capability for it, there must be no other than the user's own."""
    try:
        os.setgroups([])
    except PermissionError:
        left = set(os.getgroups()) - {user}
        if left:
            raise OSError(f"groups {sorted(left)} could not be left, and user {user} must not be in them") from None


def _drop_bounding_set() -> None:
    """Empties the bounding set where we may; without SETPCAP, no_new_privs alone keeps an exec from gaining anything."""
    for number in range(capabilities("CapBnd").bit_length()):
        try:
            _prctl(_PR_CAPBSET_DROP, number)
        except PermissionError:
            return


def _set_capabilities_to_none() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option} failed: {os.strerror(number)}")


def _is_mapped(table: str, identity: int) -> bool:
    """Whether an id exists in a uid_map or gid_map (user_namespaces(7): inside, outside, length per line)."""
    ranges = (tuple(map(int, line.split())) for line in table.splitlines())
    return any(first <= identity < first + length for first, _, length in ranges)


def _open_to_others(path: Path) -> bool:
    """Whether a stranger may read `path` and traverse every directory above it, symbolic links included."""
    for form in (path.absolute(), path.resolve()):
        if not _has(form, stat.S_IROTH | (stat.S_IXOTH if form.is_dir() else 0)):
            return False
        if not all(_has(parent, stat.S_IXOTH) for parent in form.parents):
            return False
    return True


def _has(path: Path, bits: int) -> bool:
    return path.stat().st_mode & bits == bits
