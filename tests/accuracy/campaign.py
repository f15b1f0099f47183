"""Stages each incident once on each backend and diagnoses it once, a few at the same time."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agent.lab.incidents import INCIDENTS, Incident
from agent.model.ruleset import Backend
from tests.accuracy.matrix import Trial

_KUBEREACH = (sys.executable, "-P", "-m", "agent.cli.app")
_PATIENCE = 90.0


def variants(names: Sequence[str] = ()) -> list[tuple[Incident, Backend]]:
    """Every incident on every backend that it has, or those of these names only."""
    return [
        (incident, backend) for incident in INCIDENTS if not names or incident.name in names for backend in incident.backends
    ]


def run(chosen: Sequence[tuple[Incident, Backend]], workers: int = 0) -> Iterator[Trial]:
    """The trials, in order, as they end; `workers` 0: one for each processor."""
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        yield from pool.map(lambda variant: attempt(*variant), chosen)


def attempt(incident: Incident, backend: Backend) -> Trial:
    """One `kubereach lab run`, as anybody can type it."""
    argv = [*_KUBEREACH, "lab", "run", incident.name, "--backend", backend, "-o", "json"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        return judged(json.loads(done.stdout), incident, backend)
    except subprocess.TimeoutExpired:
        return judged({}, incident, backend, f"no end within {_PATIENCE:g} s")
    except ValueError:
        return judged({}, incident, backend, " ".join(done.stderr.split()) or f"exit code {done.returncode}, no report")


def judged(report: Mapping[str, Any], incident: Incident, backend: Backend, problem: str = "") -> Trial:
    """The trial of a report, or of the problem that there is in its place."""
    return Trial(
        incident=incident.name,
        backend=backend.value,
        expected=incident.expect.code,
        expected_state=incident.expect.state.value,
        found=tuple((finding["code"], finding["severity"]) for finding in report.get("findings", ())),
        state=report.get("state", ""),
        problem=problem,
    )
