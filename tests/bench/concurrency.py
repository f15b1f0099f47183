"""P9: ten thousand at once where packets are dropped, and whether the service is alive meanwhile and tidy afterwards.

kubereach has no request that makes ten thousand probes: whoever asks while a look is under way gets that look. So ten thousand
ask at once, and raw asyncio makes ten thousand connects from the same pod beside it.
"""

import json
import sys
import time
from collections.abc import Callable
from http.client import HTTPException
from threading import Event, Thread

from agent.lab.topology import NODE
from agent.model.ruleset import Backend
from tests.bench import references
from tests.bench.client import Client
from tests.bench.results import Claim, Effort, Row
from tests.bench.sampling import Measure, interleave, milliseconds
from tests.bench.tree import descriptors, threads
from tests.bench.world import World, perform, staged
from tests.lab.staged import command_line, runs

_CROWD = (sys.executable, "-P", "-m", "tests.bench.crowd")
_LASTING = ("agent.host.supervisor", "agent.host.broker", "agent.api.front")
_PAUSE = 0.01
# A kubelet's own patience for a probe is one second; what takes longer is counted as ten.
_GIVEN_UP = 10_000.0
_SETTLING = 10.0


def measure(effort: Effort) -> Row:
    """Wall time, /livez meanwhile, and what is left open."""
    alive: dict[str, list[float]] = {"kubereach": [], "uvicorn": []}
    ended: dict[str, int] = {}
    with staged("drop-policy", Backend.NFT) as world, references.uvicorn(world):
        world.client().diagnose()
        files, tasks = _open(world)

        def connects() -> float:
            argv = [*world.entering(pod=True), *_CROWD, "connect", NODE.address, str(effort.askers)]
            return _crowd(argv, {})

        def asks() -> float:
            return _watched(world.client, alive["kubereach"], [*_CROWD, "ask", str(world.port), str(effort.askers)], ended)

        def asks_stock() -> float:
            argv = [*world.entering(), *_CROWD, "ask", str(references.UVICORN_PORT), str(effort.askers)]
            return _watched(lambda: world.node_client(references.UVICORN_PORT), alive["uvicorn"], argv, {})

        subjects = {"asking kubereach": asks, "raw asyncio connects": connects, "asking stock uvicorn": asks_stock}
        measures = interleave(subjects, effort.rounds)
        files_left, tasks_left = _left(world, files, tasks)
    lives = [Measure(subject=f"/livez of {name} meanwhile", unit="ms", values=tuple(found)) for name, found in alive.items()]
    return Row(
        id="P9",
        what=f"{effort.askers} at once where packets are dropped",
        measures=(*measures, *lives),
        claims=(
            Claim(
                words="until the last has ended / raw asyncio",
                value=measures[0].median / measures[1].median,
                limit=1.3,
                ratio=True,
            ),
            Claim(words="/livez, 99th percentile", value=lives[0].worst, limit=100.0, unit="ms"),
            Claim(words="descriptors left", value=files_left, limit=0.0),
            Claim(words="threads left", value=tasks_left, limit=0.0),
        ),
        note="what became of those who asked kubereach: "
        + ", ".join(f"{name} {count}" for name, count in sorted(ended.items())),
    )


def _watched(client: Callable[[], Client], times: list[float], argv: list[str], ended: dict[str, int]) -> float:
    over = Event()
    knocking = Thread(target=_knock, args=(client, times, over), name="kubelet")
    knocking.start()
    try:
        return _crowd(argv, ended)
    finally:
        over.set()
        knocking.join()


def _knock(client: Callable[[], Client], times: list[float], over: Event) -> None:
    """Asks /livez all the time, on a connection of its own each time, as a kubelet does."""
    while not over.is_set():
        try:
            times.append(milliseconds(lambda: client().ask("GET", "/livez")))
        except (OSError, HTTPException):
            times.append(_GIVEN_UP)
        over.wait(_PAUSE)


def _crowd(argv: list[str], ended: dict[str, int]) -> float:
    said = json.loads(perform(argv))
    for name, count in said["ended"].items():
        ended[name] = ended.get(name, 0) + count
    return float(said["ms"])


def _open(world: World) -> tuple[int, int]:
    """Descriptors and threads of the three processes that stay; workers' templates come and go."""
    pids = _lasting(world)
    return descriptors(pids), threads(pids)


def _lasting(world: World) -> list[int]:
    return [pid for pid in world.processes() if any(runs(command_line(pid).strip(), each) for each in _LASTING)]


def _left(world: World, files: int, tasks: int) -> tuple[int, int]:
    """How many more there are than there were, once there are no more or there was time enough to clean up."""
    deadline = time.monotonic() + _SETTLING
    while True:
        now = _open(world)
        left = max(0, now[0] - files), max(0, now[1] - tasks)
        if left == (0, 0) or time.monotonic() > deadline:
            return left
        time.sleep(0.1)
