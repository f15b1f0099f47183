"""This node's latest answer in the form that the cluster keeps, made once for each diagnosis."""

import logging
from collections.abc import Callable

from agent.analysis.diagnosis.identify import identify
from agent.analysis.diagnosis.reach import fingerprint, reach_of
from agent.analysis.readers.read import read_firewall
from agent.model.capture import Capture
from agent.model.fix import Fix, FixState
from agent.model.reach import Reach, ReachFix
from agent.model.report import Report
from agent.service.clock import Clock
from agent.service.diagnoses import Diagnoses, Diagnosis
from agent.service.fixes import Fixing
from agent.service.host import HostError

_log = logging.getLogger(__name__)
# A node that could not be looked at is not asked again and again: its asker comes every second.
PAUSE = 60.0
# The object's words for a fix (daemonset/base/crd.yaml); one that is not tried yet is on trial to a reader.
_STATES = {
    FixState.INTENT: "trial",
    FixState.APPLIED: "trial",
    FixState.TRIAL: "trial",
    FixState.CONFIRMED: "confirmed",
    FixState.EXPIRED: "expired",
    FixState.REVERTED: "reverted",
    FixState.LOST_ON_REBOOT: "expired",
    FixState.CLOBBERED: "clobbered",
    FixState.FAILED: "failed",
}


class Answering:
    """Looks for a publisher: `Publisher`'s `look`. `newest` is the fix that was made last, None where there was none."""

    def __init__(self, node: str, diagnoses: Diagnoses, newest: Callable[[], Fix | None], clock: Clock) -> None:
        self._diagnoses, self._clock = diagnoses, clock
        self._shortened = Shortened(node, newest)
        self._not_before = 0.0

    def __call__(self, fresh: bool) -> Reach | None:
        """The latest answer, a fresh one where asked for or where none holds. None where the look failed, and a while after."""
        diagnosis = None if fresh else self._diagnoses.latest()
        if diagnosis is None:
            if self._clock.monotonic() < self._not_before:
                return None
            diagnosis = self._diagnoses.run()
        found = self._shortened(diagnosis, diagnosis.report, self._diagnoses.capture) if diagnosis.report else None
        if found is None:
            self._not_before = self._clock.monotonic() + PAUSE
        return found


class Shortened:
    """The form of the last diagnosis it was asked for: its fingerprint reads every rule on the way in."""

    def __init__(self, node: str, newest: Callable[[], Fix | None]) -> None:
        self._node, self._newest = node, newest
        self._made: tuple[str, Reach] | None = None

    def __call__(self, diagnosis: Diagnosis, report: Report, capture: Callable[[], Capture | None]) -> Reach | None:
        """What a diagnosis' report is in the cluster; `capture`, asked once, has what it was made of. None without one."""
        if self._made is None or self._made[0] != diagnosis.id:
            found = capture()
            if found is None:
                return None
            self._made = diagnosis.id, shorten(self._node, found, report, self._newest())
        return self._made[1]


def newest_fix(fixing: Fixing) -> Fix | None:
    """The fix that was made last; None also where they cannot be read, which is logged: the answer stands without it."""
    try:
        return next(iter(fixing.all().fixes), None)
    except HostError as error:
        _log.warning("the node's fixes could not be read: %s", error)
        return None


def shorten(node: str, capture: Capture, report: Report, fix: Fix | None) -> Reach:
    """The report as the object of `node` holds it."""
    identity = identify(capture.node, capture.processes, capture.node_object, capture.settings)
    own = (*identity.node_ips, *identity.pod_cidrs)
    return reach_of(node, report, identity, fingerprint(read_firewall(capture.before), own), fix=_fix(fix) if fix else None)


def _fix(fix: Fix) -> ReachFix:
    return ReachFix(id=fix.id, state=_STATES[fix.state], rule=fix.rule, applied_time=fix.applied_at, expiry_time=fix.ends_at)
