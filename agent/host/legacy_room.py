"""Room for large legacy tables, which the kernel gives whole or not at all, and a twin takes so.

With 5,000 services they have 55,000 lines, 13 MiB in the kernel and 4 MiB as text. iptables-legacy-save takes twice the
kernel's, the broker several copies of the text, the front two readings and where each rule begins; the twin's worker and its
iptables-legacy-restore as much again. Measured at 55,000 and 137,000 lines.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agent.host.fixing import snapshot
from agent.host.room import MIB, NoRoomError, Room

# What a look takes at its peak for each byte in the kernel; and what of it comes after its first reading, which is held then.
LOOK, AGAIN = 6, 4
# What a trial takes for each byte of text.
TRIAL = 16
# What any look takes is not asked for.
_SMALL = 8 * MIB


@contextmanager
def claimed(room: Room | None, size: int) -> Iterator[str]:
    """Claims so many bytes, where they are many; yields why they cannot be had, or nothing."""
    if room is None or size < _SMALL:
        yield ""
        return
    try:
        claim = room.claim(size)
    except NoRoomError as error:
        yield str(error)
        return
    try:
        yield ""
    finally:
        room.release(claim)


def size_of(legacy: Sequence[str], legacy6: Sequence[str]) -> int:
    """How many bytes the tables of those names have in the kernel, by IP version."""
    return sum(_size(version, table) for version, names in ((4, legacy), (6, legacy6)) for table in names)


def _size(version: int, table: str) -> int:
    try:
        return snapshot.legacy_size(version, table)
    except OSError:
        return 0  # it went meanwhile, or we may not ask: then the tool says so
