"""Files as a process with a root of its own sees them, opened from outside of it.

A path that leads through `/proc/<pid>/root` starts there, but an absolute symbolic link on its way is the reader's: it leads
into the reader's files, as a stranger may have meant it to, or, from a container, past what a distribution has linked. Here
links stay inside (openat2(2), RESOLVE_IN_ROOT), and neither a FIFO in a file's place holds the reader nor a device is read.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPENAT2 = 437  # the same number on every architecture (arch/*/entry/syscalls)
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10  # include/uapi/linux/openat2.h
# Before Linux 5.6; and what seccomp profiles older than the system call answer, runc's of before 1.0 among them.
_UNKNOWN = (errno.ENOSYS, errno.EPERM)
_MOST_LINKS = 40  # MAXSYMLINKS (linux/namei.h)
# A link in a circle or into a process, a socket: nothing that could be read.
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@contextmanager
def root_of(process: Path) -> Iterator[int]:
    """A descriptor of the root of the process with that directory in /proc. Raises `OSError`."""
    root = os.open(process / "root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield root
    finally:
        os.close(root)


def read_inside(root: int, name: str, limit: int) -> bytes | None:
    """At most `limit` bytes of an ordinary file below the directory `root`; None where there is none. Raises `OSError`."""
    with _opened(root, name, 0) as descriptor:
        if descriptor is None or not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit)


def names_inside(root: int, directory: str) -> tuple[str, ...]:
    """What a directory below `root` has, in order; nothing where there is none. Raises `OSError`."""
    with _opened(root, directory, os.O_DIRECTORY) as descriptor:
        return () if descriptor is None else tuple(sorted(os.listdir(descriptor)))  # noqa: PTH208 - a Path takes no descriptor


@contextmanager
def _opened(root: int, name: str, more: int) -> Iterator[int | None]:
    """None where the name leads nowhere that can be read."""
    try:
        descriptor = _open(root, name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | more)
    except OSError as error:
        if error.errno not in _NOWHERE:
            raise
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(root: int, name: str, flags: int) -> int:
    how = _OpenHow(flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    descriptor = _libc.syscall(_OPENAT2, root, os.fsencode(name), ctypes.byref(how), ctypes.sizeof(how))
    if descriptor >= 0:
        return int(descriptor)
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return _walk(root, name, flags)
    raise OSError(number, os.strerror(number), name)


def _walk(root: int, name: str, flags: int) -> int:
    """The same without openat2: name by name, a link by what it says. Raises `OSError`."""
    met, links = [os.dup(root)], 0
    ahead = name.split("/")[::-1]
    try:
        while ahead:
            step = ahead.pop()
            if step in ("", "."):
                continue
            if step == "..":  # the root's is the root
                if len(met) > 1:
                    os.close(met.pop())
                continue
            met.append(os.open(step, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=met[-1]))
            if not stat.S_ISLNK(os.fstat(met[-1]).st_mode):
                continue
            says = os.readlink("", dir_fd=met[-1])
            os.close(met.pop())
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
            while says.startswith("/") and len(met) > 1:
                os.close(met.pop())
            ahead += says.split("/")[::-1]
        return os.open(f"/proc/self/fd/{met[-1]}", flags)
    finally:
        for each in met:
            os.close(each)
