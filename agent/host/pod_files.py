"""Files of a pod, as the pod's own processes see them: a closed list of names, none of them secret.

A pod's file system is a stranger's: it is read inside its own root only (`agent.host.rooted`), no more of it than a resolver
needs, and one that never answers (a pod can mount one in FUSE) costs one thread, not the broker.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock, Thread
from typing import TypeVar

from agent.host import namespaces
from agent.host.errors import HostError
from agent.host.rooted import read_inside, root_of
from agent.model.scrape import PodFiles

T = TypeVar("T")

RESOLV_CONF = "etc/resolv.conf"
HOSTS = "etc/hosts"
# The CA that every pod gets with its service account; the token beside it is never opened.
AUTHORITY = "var/run/secrets/kubernetes.io/serviceaccount/ca.crt"

_LIMIT = 256 * 1024  # a hosts file with thousands of lines
# Files of a page each, in memory; a disk in trouble may need longer, and then the answer is that it does.
_SECONDS = 2.0


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
            with root_of(Path(f"/proc/{pid}")) as root:
                if os.stat(f"/proc/{pid}/ns/net").st_ino != namespace:  # noqa: PTH116  the number was given to another process
                    return PodFiles(namespace=namespace, problem="its processes ended while it was looked at")
                resolv_conf, hosts, authority = (_text(root, name) for name in (RESOLV_CONF, HOSTS, AUTHORITY))
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


def _text(root: int, name: str) -> str:
    return (read_inside(root, name, _LIMIT) or b"").decode("utf-8", "replace")


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
