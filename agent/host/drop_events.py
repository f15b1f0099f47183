"""Why the kernel threw a packet away: skb:kfree_skb with its reason, in a tracefs instance of our own.

An instance (Documentation/trace/ftrace.rst) has buffers, filters and switches of its own: nobody else's tracing is touched. The
event knows no addresses, so two more go with it that lead from our socket to its packet: sock:inet_sock_set_state has the
ports, net:net_dev_start_xmit the packet that the same task sends next. Where tracefs is not mounted, nobody else sees ours.
"""

import ctypes
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.host.guardian import Guardian

_PLACE = Path("/sys/kernel/tracing")
_PREFIX = "kubereach-"
_CLONE_NEWNS = 0x20000  # include/uapi/linux/sched.h
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000  # include/uapi/linux/mount.h
_SYN_SENT = 2  # include/net/tcp_states.h
# A SYN with every option is 94 bytes over Ethernet with IPv6; larger packets are not ours.
_SHORT = 128
# Kilobytes for each processor. When they are full the newest events are lost, not ours, which are among the first.
_BUFFER = 512
_TEXT_LIMIT = 4 * 1024 * 1024
_PROTOCOLS = {4: 0x0800, 6: 0x86DD}  # include/uapi/linux/if_ether.h
# A task's number, and a packet's.
_TASK = re.compile(r"-(\d+)\s+\[\d+\]")
_PACKET = re.compile(r" skbaddr=(\S+)")
# A SYN, its retransmissions and what answers them are a handful.
_PACKETS, _LINES = 8, 200
_libc = ctypes.CDLL(None, use_errno=True)


class TraceError(Exception):
    """This part of a trace cannot be had; the message is a sentence."""


class DropEvents:
    """An instance that records; `text` is what it has recorded so far."""

    def __init__(self, instance: Path, sport: int) -> None:
        self._instance, self._sport = instance, sport

    def text(self) -> str:
        """The events so far that may be about our packet, one a line. Raises `OSError`."""
        with (self._instance / "trace").open("rb") as file:
            return select_ours(file.read(_TEXT_LIMIT).decode("utf-8", "replace"), self._sport)


def select_ours(text: str, sport: int) -> str:
    """The lines from our socket's connect on that are the same task's, and those of the packets that these speak of.

    Everybody's small packets pass by here; nobody else's business is kept.
    """
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if f" sport={sport} " in line and "newstate=" in line), None)
    found = _TASK.search(lines[start]) if start is not None else None
    if start is None or found is None:
        return ""
    task, packets, kept = found[1], set[str](), [lines[start]]
    for line in lines[start + 1 :]:
        here, packet = _TASK.search(line), _PACKET.search(line)
        if here is None or packet is None:
            continue
        if here[1] == task and len(packets) < _PACKETS:
            packets.add(packet[1])
        if packet[1] in packets:
            kept.append(line)
    return "\n".join((*kept[:_LINES], ""))


@contextmanager
def drop_events(version: int, sport: int) -> Iterator[DropEvents]:
    """Records while it is open. The calling process must be single-threaded and done with its mount namespace.

    The instance is removed at the end, whoever ends us. Raises `TraceError`.
    """
    _mount()
    _sweep()
    instance = _PLACE / "instances" / f"{_PREFIX}{secrets.token_hex(6)}"
    guardian = Guardian(lambda: _remove(instance))
    try:
        try:
            instance.mkdir()
            held = os.open(instance, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise TraceError(f"no tracefs instance could be made: {error.strerror}") from error
        try:
            fcntl.flock(held, fcntl.LOCK_EX)  # a sweep leaves it alone as long as we live
            _record(instance, version, sport)
            yield DropEvents(instance, sport)
        finally:
            os.close(held)
    finally:
        guardian.release()


def _mount() -> None:
    """tracefs, where it is not mounted anyway in a mount namespace of this process alone."""
    if (_PLACE / "instances").is_dir():
        return
    if not _PLACE.is_dir():
        raise TraceError("this kernel has no tracefs")
    _must(_libc.unshare(_CLONE_NEWNS))
    _must(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
    _must(_libc.mount(b"tracefs", bytes(_PLACE), b"tracefs", 0, None))


def _must(status: int) -> None:
    if status != 0:
        reason = os.strerror(ctypes.get_errno())
        raise TraceError(f"tracefs could not be mounted: {reason}; this needs SYS_ADMIN in the machine's own user namespace")


def _record(instance: Path, version: int, sport: int) -> None:
    protocol = _PROTOCOLS[version]
    filters = {
        "sock/inet_sock_set_state": f"sport == {sport} && newstate == {_SYN_SENT}",
        "net/net_dev_start_xmit": f"protocol == {protocol} && len < {_SHORT}",
        "skb/kfree_skb": f"protocol == {protocol}",
    }
    try:
        (instance / "buffer_size_kb").write_text(str(_BUFFER))
        (instance / "options" / "overwrite").write_text("0")
        for event, condition in filters.items():
            (instance / "events" / event / "filter").write_text(condition)
        for event in filters:
            (instance / "events" / event / "enable").write_text("1")
    except OSError as error:
        raise TraceError(f"the kernel does not offer these events: {error.strerror} ({error.filename})") from error


def _sweep() -> None:
    """Removes instances whose makers are gone and whose guardians did not live to do it."""
    for instance in (_PLACE / "instances").glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):
            held = os.open(instance, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            finally:
                os.close(held)
            _remove(instance)


def _remove(instance: Path) -> None:
    with suppress(FileNotFoundError):
        instance.rmdir()
