"""This node's latest answer in the form that the cluster keeps, made once for each diagnosis."""

from collections.abc import Callable
from dataclasses import replace

from agent.analysis.diagnosis.identify import identify
from agent.analysis.diagnosis.reach import fingerprint, reach_of
from agent.analysis.readers.read import read_firewall
from agent.model.capture import Capture
from agent.model.reach import Reach, ReachFix
from agent.model.report import Report
from agent.service.diagnoses import Diagnoses


class Answering:
    """Looks for a publisher: `Publisher`'s `look`. `fix` tells of the fix in force, None where there is none."""

    def __init__(self, node: str, diagnoses: Diagnoses, fix: Callable[[], ReachFix | None] = lambda: None) -> None:
        self._node, self._diagnoses, self._fix = node, diagnoses, fix
        self._made: tuple[str, Reach] | None = None

    def __call__(self, fresh: bool) -> Reach | None:
        """The latest answer, a fresh one where asked for or where there is none yet. None where the look failed."""
        diagnosis = self._diagnoses.run() if fresh else self._diagnoses.latest() or self._diagnoses.run()
        if diagnosis.report is None:
            return None
        if self._made is None or self._made[0] != diagnosis.id:
            capture = self._diagnoses.capture()
            if capture is None:
                return None
            self._made = diagnosis.id, _reach(self._node, capture, diagnosis.report)
        return replace(self._made[1], fix=self._fix())


def _reach(node: str, capture: Capture, report: Report) -> Reach:
    identity = identify(capture.node, capture.processes, capture.node_object, capture.settings)
    own = (*identity.node_ips, *identity.pod_cidrs)
    return replace(reach_of(report, identity, fingerprint(read_firewall(capture.before), own)), node=node)
