"""SIGKILL at random moments: `python -m tests.lab.fixing.kill_matrix BACKEND RUNS SEED`, on the lab's node.

Each run puts a fix in, in a process of its own that is killed between its journal entry and its verification; then nothing
of ours is left alive. Access must be gone by the end of the lease and one second; after a restart nothing may be left.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agent.host import operations
from agent.host.fixing import lease
from agent.lab.topology import STATE_DIR
from tests.lab.fixing import rig

LEASE = 1


def run(backend: str, runs: int, seed: int) -> dict[str, object]:
    """How it went, in numbers; `late`, `early` and `residue` have to be empty."""
    chance, pod, fixer = random.Random(seed), rig.Pod(), rig.fixer(twin=rig.said)
    pristine = rig.rules_of(backend)
    span = min(_span(fixer, backend) for _ in range(3))
    found = {"runs": 0, "rule was in": 0, "pod got through": 0, "finished before the kill": 0}
    late, residue = [], []
    for number in range(runs):
        made = rig.order(fixer, backend, LEASE)
        child = rig.forked(lambda made=made: _apply(fixer, made))
        journal = Path(STATE_DIR, f"{made.id}.fix")
        _await(journal.exists)
        began = time.time()
        time.sleep(chance.uniform(0, span))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        found["runs"] += 1
        found["finished before the kill"] += not os.WIFSIGNALED(status)
        found["rule was in"] += bool(rig.ours(backend))
        found["pod got through"] += pod.gets_through()
        rig.until(began + LEASE + 1)
        if pod.gets_through():
            late.append(number)
        rig.fixer(twin=rig.said).sweep()  # the restart
        if rig.rules_of(backend) != pristine or lease.our_sets():
            residue.append(number)
    return {**found, "late": late, "residue": residue, "moments": f"0-{span * 1000:.0f} ms after the entry"}


def _apply(fixer: rig.Fixer, made: rig.Order) -> None:
    fix = fixer.apply(made)
    fixer.verified(operations.FixArguments(fix.id, "test", "open"))


def _span(fixer: rig.Fixer, backend: str) -> float:
    """How long it takes from the journal's entry to the end, where nobody kills it."""
    made = rig.order(fixer, backend, LEASE)
    child = rig.forked(lambda: _apply(fixer, made))
    _await(Path(STATE_DIR, f"{made.id}.fix").exists)
    began = time.monotonic()
    os.waitpid(child, 0)
    took = time.monotonic() - began
    fixer.revert(operations.FixArguments(made.id, "test", "measured"))
    return took


def _await(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "no journal entry was written"
        time.sleep(0.0005)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
