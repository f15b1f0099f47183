"""`-m time` where it asks for dates alone, as a lease does: a look knows when it was made, so that it can be decided.

Times of the day and weekdays stay with the kernel, and all of it where the kernel's own time zone counts (xt_time.c).
"""

from agent.analysis.readers.intervals import between
from agent.analysis.readers.kernel_state import Asked, Reader, unsure, why_unsure
from agent.analysis.readers.moments import LAST, read_moment
from agent.model.packet import Field
from agent.model.ruleset import Compare, Match

_DATES = ("--datestart", "--datestop")


def _time(asked: Asked) -> list[Match]:
    """The kernel takes both ends as included."""
    bounds = {each.name: read_moment(each.value) for each in asked.options if not each.negate}
    low, high = bounds.get("--datestart", 0), bounds.get("--datestop", LAST)
    if any(each.negate or each.name not in _DATES for each in asked.options) or low is None or high is None or low > high:
        return [unsure(each, why_unsure("time")) for each in asked.options]
    return [Compare(Field.TIME, between(low, high))]


READERS: dict[str, Reader] = {"time": _time}
