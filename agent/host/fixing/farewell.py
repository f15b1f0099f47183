"""What becomes of live fixes when the broker is told to end: by default they stay, because the kernel ends them at their time.

An operator may want them out (`--on-stop revert`). One that only a live kubereach would end is taken out in any case: nobody
knows whether another comes. None of this may hold up the end: what was not taken out in time is said, and ends by its lease.
"""

import sys
from threading import Thread

from agent.host.errors import HostError
from agent.host.fixing.fixer import Fixer
from agent.host.operations import FixArguments
from agent.model.fix import Fix
from agent.model.settings import OnStop

_WHO, _WHY = "kubereach", "kubereach was told to end"


def part(fixer: Fixer, wish: OnStop, seconds: float) -> None:
    """Takes out what is not to stay, for at most so long, and says of each what became of it. No fix is put in any more."""
    fixer.refuse_more()
    live: dict[str, Fix] = {}
    worker = Thread(target=_take_out, args=(fixer, wish, live), name="farewell", daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive() and not live:
        _say("the fixes could not be looked after in time: those that are alive end by their leases")
    for fix in tuple(live.values()):
        _say(f"fix {fix.id} could not be taken out in time: {_end_of(fix)}")


def _take_out(fixer: Fixer, wish: OnStop, live: dict[str, Fix]) -> None:
    try:
        fixes = fixer.fixes().fixes
    except HostError as error:
        _say(f"the fixes could not be looked after, and those that are alive end by their leases: {error}")
        return
    live.update({fix.id: fix for fix in fixes if fix.live and (wish is OnStop.REVERT or not _ends_by_itself(fix))})
    for fix in tuple(live.values()):
        try:
            fixer.revert(FixArguments(fix.id, _WHO, _WHY))
        except HostError as error:
            _say(f"fix {fix.id} could not be taken out, {_end_of(fix)}: {error}")
        else:
            _say(f"fix {fix.id} was taken out: {_WHY}")
        del live[fix.id]


def _ends_by_itself(fix: Fix) -> bool:
    """Whether the kernel ends it: by a stop time in its rule, or by a set whose element times out."""
    return "--datestop" in fix.rule or bool(fix.set_name)


def _end_of(fix: Fix) -> str:
    return f"it ends by itself at {fix.ends_at}" if _ends_by_itself(fix) else "the next kubereach here ends it"


def _say(sentence: str) -> None:
    sys.stderr.write(f"kubereach: {sentence}\n")
