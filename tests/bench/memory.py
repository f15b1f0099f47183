"""P6: memory of all of kubereach's processes, idle, after many diagnoses, and at its peak with many rules."""

import time
from contextlib import ExitStack

from agent.model.ruleset import Backend
from tests.bench import references
from tests.bench.results import Claim, Effort, NotMeasured, Row, rules_of
from tests.bench.sampling import Measure
from tests.bench.tree import Peak, pss
from tests.bench.world import World, staged

# Reports are kept up to fifty, and libraries fill their own caches: what grows beyond is a leak.
_SETTLED = 60
_LOOKS = 3
# Workers' templates end when nobody has asked for a minute; then supervisor, broker and front are alone.
_QUIET, _PATIENCE = 3, 120.0


def measure(effort: Effort) -> Row:
    """Proportional set sizes in MiB."""
    with ExitStack() as stack:
        world = stack.enter_context(staged("healthy", Backend.NFT, front="tests.bench.patient_front"))
        started = pss(world.processes())
        others = [_measure(name, pss([pid])) for name, pid in _others(stack, world)]
        peaks = [_peak(backend, effort) for backend in (Backend.NFT, Backend.LEGACY)]
        idle = _idle(world)
        client = world.client()
        for _ in range(_SETTLED):
            client.diagnose()
        settled = pss(world.processes())
        for _ in range(effort.diagnoses):
            client.diagnose()
        later = pss(world.processes())
    size = rules_of(effort.services[-1])
    return Row(
        id="P6",
        what="memory of all processes, PSS",
        measures=(
            _measure("kubereach, idle", idle),
            _measure("just started, with the workers' templates", started),
            _measure(f"after {_SETTLED} diagnoses, templates warm", settled),
            _measure(f"after {effort.diagnoses} more", later),
            *(_measure(f"peak with {size}, {backend}", peak) for backend, peak in zip(("nft", "legacy"), peaks, strict=True)),
            *others,
        ),
        claims=(
            Claim(words="idle", value=idle, limit=64.0, unit="MiB"),
            Claim(words=f"growth over {effort.diagnoses} diagnoses", value=later - settled, limit=5.0, unit="MiB"),
            Claim(words=f"peak with {size}", value=max(peaks), limit=80.0, unit="MiB"),
        ),
        note=f"{effort.diagnoses} diagnoses without the limit on callers, which alone makes 10,000 last 3 hours",
    )


def _idle(world: World) -> float:
    deadline = time.monotonic() + _PATIENCE
    while len(world.processes()) > _QUIET:
        if time.monotonic() > deadline:
            raise NotMeasured(f"{len(world.processes())} processes are left where nobody has asked for {_PATIENCE:g} s")
        time.sleep(0.5)
    return pss(world.processes())


def _others(stack: ExitStack, world: World) -> list[tuple[str, int]]:
    found = []
    for name, start in (
        ("node_exporter, idle", references.node_exporter),
        ("blackbox_exporter, idle", references.blackbox),
        ("stock uvicorn and FastAPI, idle", references.uvicorn),
    ):
        found.append((name, stack.enter_context(start(world))[1]))
    return found


def _peak(backend: Backend, effort: Effort) -> float:
    with staged("healthy", backend, rules=effort.services[-1]) as world:
        client = world.client()
        with Peak(world.processes) as peak:
            for _ in range(_LOOKS):
                client.diagnose()
    return peak.mib


def _measure(subject: str, mib: float) -> Measure:
    return Measure(subject=subject, unit="MiB", values=(mib,))
