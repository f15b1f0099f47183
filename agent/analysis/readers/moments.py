"""A moment as iptables-save and our captures write it, as a number that can be compared. No clock is read."""

import re
from calendar import timegm

_MOMENT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})")
# The seconds since 1970 that struct xt_time_info has room for.
LAST = 0xFFFFFFFF


def read_moment(text: str) -> int | None:
    """`2026-11-23T17:00:00`, which is UTC, as seconds since 1970; None where it is not that, or beyond `LAST`."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    year, month, day, *clock = map(int, found.groups())
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= 31 and clock[0] < 24 and clock[1] < 60 and clock[2] < 60):
        return None
    seconds = timegm((year, month, day, *clock))
    return seconds if seconds <= LAST else None
