"""`-m time` where it asks for dates alone, as a lease does: a look knows when it was made, so that it can be decided.

Times of the day and weekdays stay with the kernel, and all of it where the kernel's own time zone counts (xt_time.c).
"""

from datetime import UTC, datetime

from agent.analysis.readers.intervals import between
from agent.analysis.readers.kernel_state import Asked, Reader, unsure, why_unsure
from agent.model.packet import Field
from agent.model.ruleset import Compare, Match

_DATES = ("--datestart", "--datestop")
# struct xt_time_info has seconds since 1970 in 32 bits; the kernel compares both ends as included.
_LAST = 0xFFFFFFFF


def _time(asked: Asked) -> list[Match]:
    bounds = {each.name: _seconds(each.value) for each in asked.options if not each.negate}
    low, high = bounds.get("--datestart", 0), bounds.get("--datestop", _LAST)
    if any(each.negate or each.name not in _DATES for each in asked.options) or low is None or high is None or low > high:
        return [unsure(each, why_unsure("time")) for each in asked.options]
    return [Compare(Field.TIME, between(low, high))]


def _seconds(text: str) -> int | None:
    """`2026-11-23T17:00:00`, as iptables-save prints it (UTC), as seconds since 1970; None where it is not that."""
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    seconds = int(moment.timestamp())
    return seconds if 0 <= seconds <= _LAST else None


READERS: dict[str, Reader] = {"time": _time}
