"""Files of a pod, as the pod's own processes see them: a closed list of names, none of them secret.

A pod's file system is a stranger's. Its symbolic links are followed inside its own root only (openat2(2), RESOLVE_IN_ROOT): an
absolute link would otherwise lead into the host's files. What is no ordinary file is not read, nor more than a resolver
needs, and a file system that never answers (a pod can mount one in FUSE) costs one thread, not the broker.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock, Thread
from typing import TypeVar

from agent.host import namespaces
from agent.host.errors import HostError
from agent.model.scrape import PodFiles

T = TypeVar("T")

RESOLV_CONF = "etc/resolv.conf"
HOSTS = "etc/hosts"
# The CA that every pod gets with its service account; the token beside it is never opened. /var/run is a link to /run in most
# images, and a kernel that cannot follow links inside a root (below) finds it by its second name.
AUTHORITY = ("var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "run/secrets/kubernetes.io/serviceaccount/ca.crt")

_LIMIT = 256 * 1024  # a hosts file with thousands of lines
# Files of a page each, in memory; a disk in trouble may need longer, and then the answer is that it does.
_SECONDS = 2.0

_OPENAT2 = 437  # the same number on every architecture (arch/*/entry/syscalls)
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10  # include/uapi/linux/openat2.h
_libc = ctypes.CDLL(None, use_errno=True)


class PodFileReader:
    """Reads for one broker. Safe to use from several threads; one file system at a time."""

    def __init__(self) -> None:
        self._busy = Lock()

    def of_pod(self, namespace: int) -> PodFiles:
        """The files of the pod in the network namespace of that inode. Raises `HostError` where they cannot be had."""
        pid = _process_in(namespace)
        if pid is None:
            return PodFiles(namespace=namespace, problem="no process runs in this pod's network namespace")

        def read() -> PodFiles:
            root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if os.stat(f"/proc/{pid}/ns/net").st_ino != namespace:  # noqa: PTH116  the number was given to another process
                    return PodFiles(namespace=namespace, problem="its processes ended while it was looked at")
                resolv_conf, hosts = read_inside(root, RESOLV_CONF), read_inside(root, HOSTS)
                authority = next(filter(None, (read_inside(root, name) for name in AUTHORITY)), "")
            finally:
                os.close(root)
            return PodFiles(namespace=namespace, pid=pid, resolv_conf=resolv_conf, hosts=hosts, authority=authority)

        return self._patiently(read, f"the files of process {pid}")

    def _patiently(self, read: Callable[[], T], what: str) -> T:
        """What `read` returns, by a thread of its own. Raises `HostError` where it fails or does not come in time."""
        results: list[T] = []
        errors: list[OSError] = []

        def work() -> None:
            try:
                results.append(read())
            except OSError as error:
                errors.append(error)
            finally:
                self._busy.release()

        if not self._busy.acquire(timeout=_SECONDS):
            raise HostError(f"{what} cannot be read: a file system that was read before does not answer")
        thread = Thread(target=work, name="pod-files", daemon=True)
        thread.start()
        thread.join(_SECONDS)
        if errors:
            raise HostError(f"{what} cannot be read: {errors[0].strerror or errors[0]}")
        if not results:
            raise HostError(f"{what} cannot be read: the file system does not answer")
        return results[0]


def read_inside(root: int, name: str) -> str:
    """The text of an ordinary file below the directory `root`, or an empty text where there is none. Raises `OSError`."""
    try:
        descriptor = _open_inside(root, name)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link that may not be followed leads nowhere
            return ""
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return ""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_LIMIT).decode("utf-8", "replace")


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _open_inside(root: int, name: str) -> int:
    # O_NONBLOCK: a FIFO in the file's place must not hold us.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    how = _OpenHow(flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    descriptor = _libc.syscall(_OPENAT2, root, os.fsencode(name), ctypes.byref(how), ctypes.sizeof(how))
    if descriptor >= 0:
        return int(descriptor)
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        return _walk_inside(root, name, flags)
    raise OSError(number, os.strerror(number), name)


def _walk_inside(root: int, name: str, flags: int) -> int:
    """Without openat2 (before Linux 5.6): step by step, and no link is followed at all. Raises `OSError`."""
    *folders, last = name.split("/")
    here = os.dup(root)
    try:
        for folder in folders:
            below = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        return os.open(last, flags | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)


def _process_in(namespace: int) -> int | None:
    """A process of the pod: not its pause container, where there is another, whose hosts file is not the pod's."""
    own = namespaces.host_inode()
    if namespace == own:
        raise HostError("the host's own network namespace is no pod")
    found = sorted(_members(namespace), key=lambda item: (item[1] == "pause", item[0]))
    return found[0][0] if found else None


def _members(namespace: int) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if (entry / "ns/net").stat().st_ino == namespace:
                yield int(entry.name), (entry / "comm").read_text(errors="replace").strip()
        except OSError:
            continue  # it ended, or may not be seen: then another of the pod's may
