"""The twin on stage: it agrees with the model in every basic incident, and leaves nothing behind however it ends.

In no incident at all may it disagree: `test_incidents` holds every report to that.
"""

import json
import shlex

import pytest

from agent.analysis.diagnosis.scene import read_scene
from agent.analysis.diagnosis.witnesses import hear
from agent.lab.incidents import INCIDENTS, Incident, firewall
from agent.model.capture import Capture
from agent.model.codec import from_plain
from agent.model.report import Word
from agent.model.ruleset import Backend
from tests.lab.staged import KUBEREACH, PRIVILEGES, run

VARIANTS = [
    pytest.param(incident, backend, id=f"{incident.name}-{backend}")
    for incident in firewall.INCIDENTS
    for backend in incident.backends
]
BUNDLE = shlex.join([*KUBEREACH, "bundle", "-O", "-"])


def captured(privilege: str, incident: Incident, backend: Backend, *options: str) -> Capture:
    done = run(privilege, "lab", "run", incident.name, "--backend", backend, "--", "sh", "-c", f"{BUNDLE} {' '.join(options)}")
    assert done.returncode == 0, done.stderr
    return from_plain(Capture, json.loads(done.stdout))


@pytest.mark.parametrize("privilege", PRIVILEGES)
@pytest.mark.parametrize(("incident", "backend"), VARIANTS)
def test_the_twin_agrees_with_the_model_in_every_basic_incident(incident: Incident, backend: Backend, privilege: str) -> None:
    capture = captured(privilege, incident, backend)
    (said,) = [item for item in hear(read_scene(capture)) if item.witness == "twin"]
    assert said.word is Word.AGREES, (said, capture.twin)
    assert capture.twin is not None
    assert (capture.twin.problem, capture.twin.not_modelled) == ("", ())
    assert capture.twin.verdict == incident.expect.verdict


def test_a_look_without_the_twin_says_so() -> None:
    capture = captured(PRIVILEGES[0], INCIDENTS[0], INCIDENTS[0].default_backend, "--no-twin")
    (said,) = [item for item in hear(read_scene(capture)) if item.witness == "twin"]
    assert (capture.twin, said.word) == (None, Word.ABSENT)
