"""W1 and W2: `python -m tests.lab.fixing.operators BACKEND ROUNDS ORDERS`, on the lab's node: many operators at once.

First 100 of them apply the same in each round, then eight apply and revert different fixes. What the kernel holds must be what
they were told, and the audit log must tell of each.
"""

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from agent.host import operations
from agent.host.errors import FixRefused
from agent.host.fixing.filter_table import OURS
from agent.lab.topology import STATE_DIR
from agent.model.fix import Fix
from agent.model.plan import Order
from tests.lab.fixing import rig
from tests.lab.fixing.cases.setting import by

CROWD, WRITERS = 100, 8


def same(backend: str, rounds: int) -> dict[str, int]:
    """W1: in each round one rule, one id, one `applied` and the rest `deduplicated`."""
    fixer = rig.fixer(twin=rig.said)
    found = {"rounds": 0, "more than one rule": 0, "more than one id": 0, "audit differs": 0, "told to wait": 0}

    def insist(order: Order) -> Fix:
        while True:
            try:
                return fixer.apply(order)
            except FixRefused as refusal:  # a hundred queue for seconds, on a busy machine for longer than we wait
                if refusal.kind != operations.BUSY:
                    raise
                found["told to wait"] += 1

    for _ in range(rounds):
        orders = [rig.order(fixer, backend, caller="one of many")] * CROWD
        seen = len(_audit())
        with ThreadPoolExecutor(CROWD) as pool:
            fixes = list(pool.map(insist, orders))
        found["rounds"] += 1
        found["more than one rule"] += len(rig.ours(backend)) != 1
        found["more than one id"] += len({fix.id for fix in fixes}) != 1
        told = [record["what"] for record in _audit()[seen:]]
        wanted = (sum(not fix.known for fix in fixes), sum(fix.known for fix in fixes))
        found["audit differs"] += (told.count("applied"), told.count("deduplicated")) != wanted or wanted[0] != 1
        fixer.revert(by(fixes[0].id))
    return found


def different(backend: str, orders: int) -> dict[str, int]:
    """W2: each is applied or refused because four are alive; the rules are those whose operators were not told otherwise."""
    fixer, chance = rig.fixer(twin=rig.said), random.Random(2)
    foreign = rig.rules_of(backend)
    first = rig.order(fixer, backend)
    flows = [replace(rig.FLOW, source=rig.pod_address(number + 1)) for number in range(orders)]
    made = [replace(first, id=f"{chance.getrandbits(48):012x}", flow=flow) for flow in flows]
    ends = [chance.random() < 0.8 for _ in made]

    def write(number: int) -> str:
        try:
            fixer.apply(made[number])
        except FixRefused as refusal:
            if "alive" not in str(refusal):
                raise
            return "refused"
        if ends[number]:
            fixer.revert(by(made[number].id))
            return "reverted"
        return "open"

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(write, range(orders)))
    told = {made[number].id for number, outcome in enumerate(outcomes) if outcome == "open"}
    here = [each["id"] for line in rig.ours(backend) if (each := OURS.fullmatch(line))]
    others = [line for line in rig.rules_of(backend) if line not in rig.ours(backend)]
    return {
        "orders": orders,
        **{outcome: outcomes.count(outcome) for outcome in ("open", "reverted", "refused")},
        "lost": len(told ^ set(here)) + len(here) - len(set(here)),
        "foreign rules changed": int(others != foreign),
    }


def _audit() -> list[dict[str, str]]:
    path = Path(STATE_DIR, "audit.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    print(json.dumps({**same(sys.argv[1], int(sys.argv[2])), **different(sys.argv[1], int(sys.argv[3]))}))
