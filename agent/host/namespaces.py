"""Network namespaces: which there are, and how to do something inside one.

Only a thread that is made for it, and ends with it, ever changes its namespace: no other thread can be left in a pod's.
"""

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock, Thread
from typing import TypeVar

from agent.host.errors import HostError, NamespaceGone
from agent.model.capture import Problem

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
_SELF = Path("/proc/thread-self/ns/net")
_libc = ctypes.CDLL(None, use_errno=True)


def host_inode() -> int:
    """The inode of this process's own namespace, which is the host's."""
    return _SELF.stat().st_ino


def scan(netns_dirs: Sequence[str]) -> tuple[dict[int, str], tuple[Problem, ...]]:
    """Every namespace but our own, as inode to a path that opens it, and what could not be looked at.

    Names in `netns_dirs` win over processes: they outlive them.
    """
    own = _SELF.stat()
    found: dict[int, str] = {}
    problems: list[Problem] = []
    hidden = 0
    for path in _named(netns_dirs, problems):
        _note(path, own, found, problems)
    for path in _of_processes():
        try:
            _note(path, own, found, None)
        except PermissionError:
            hidden += 1
    if hidden:
        problems.append(
            Problem(
                what="network namespaces",
                why=f"the namespaces of {hidden} processes may not be seen",
                remedy="run with the capability SYS_PTRACE and in the host's PID namespace",
            )
        )
    return found, tuple(problems)


def inside(path: str, inode: int, work: Callable[[], T]) -> T:
    """What `work` returns or raises in the namespace that `path` names, run by a thread of its own.

    Raises `NamespaceGone` where `path` does not lead to namespace `inode` any more, `HostError` where it may not be entered.
    """
    handle = _open(path, inode)
    results: list[T] = []
    errors: list[BaseException] = []

    def visit() -> None:
        try:
            _enter(handle, inode)
            results.append(work())
            if _SELF.stat().st_ino != inode:
                raise HostError(f"work meant for namespace {inode} left it")  # noqa: TRY301  handed to the caller
        except BaseException as error:  # noqa: BLE001  whatever it is, it is raised again in the caller's thread
            errors.append(error)

    try:
        thread = Thread(target=visit, name=f"namespace-{inode}")
        thread.start()
        thread.join()
    finally:
        os.close(handle)
    if errors:
        raise errors[0]
    return results[0]


class Directory:
    """Remembers by which path each namespace was last reached, and looks again when that path leads elsewhere."""

    def __init__(self, netns_dirs: Sequence[str]) -> None:
        self._netns_dirs = tuple(netns_dirs)
        self._paths: dict[int, str] = {}
        self._lock = Lock()

    def scan(self) -> tuple[dict[int, str], tuple[Problem, ...]]:
        """`scan`, remembered."""
        found, problems = scan(self._netns_dirs)
        with self._lock:
            self._paths = dict(found)
        return found, problems

    def inside(self, inode: int, work: Callable[[], T]) -> T:
        """`inside` by inode alone. Raises `NamespaceGone` where no path leads to it."""
        with self._lock:
            path = self._paths.get(inode)
        if path is not None:
            try:
                return inside(path, inode, work)
            except NamespaceGone:
                pass  # its process ended; another may still hold the namespace
        path = self.scan()[0].get(inode)
        if path is None:
            raise NamespaceGone(f"network namespace {inode} does not exist any more")
        return inside(path, inode, work)


def _named(netns_dirs: Sequence[str], problems: list[Problem]) -> Iterator[str]:
    for directory in netns_dirs:
        try:
            paths = sorted(Path(directory).iterdir())
        except FileNotFoundError:
            continue  # nobody made a named namespace here
        except OSError as error:
            problems.append(Problem(what=directory, why=f"cannot be listed: {error.strerror}", remedy="run as root"))
            continue
        yield from map(str, paths)


def _of_processes() -> Iterator[str]:
    for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()):
        yield f"/proc/{pid}/ns/net"


def _note(path: str, own: os.stat_result, found: dict[int, str], problems: list[Problem] | None) -> None:
    """Adds the namespace at `path`. What cannot be seen is a problem; without a list for it, `PermissionError` is raised."""
    try:
        status = Path(path).stat()
    except (FileNotFoundError, ProcessLookupError):
        return  # it ended while we looked
    except OSError as error:
        if problems is None:
            raise
        problems.append(Problem(what=path, why=f"cannot be seen: {error.strerror}", remedy="run as root"))
        return
    # A file that is not on nsfs is what `ip netns` leaves behind when its mount is gone.
    if status.st_dev == own.st_dev and status.st_ino != own.st_ino:
        found.setdefault(status.st_ino, path)


def _open(path: str, inode: int) -> int:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NamespaceGone(f"network namespace {inode} does not exist any more") from error
    except OSError as error:
        raise HostError(f"network namespace {inode} cannot be opened at {path}: {error.strerror}") from error
    if os.fstat(handle).st_ino != inode:
        os.close(handle)
        raise NamespaceGone(f"network namespace {inode} does not exist any more")
    return handle


def _enter(handle: int, inode: int) -> None:
    if _libc.setns(handle, _CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise HostError(f"network namespace {inode} cannot be entered: {reason}; this needs the capability SYS_ADMIN")
    if _SELF.stat().st_ino != inode:
        raise HostError(f"entering network namespace {inode} led to another one")
