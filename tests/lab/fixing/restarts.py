"""C6 and C11: `python -m tests.lab.fixing.restarts BACKEND KILLS ENDS CRASHES`, on the lab's node, with a fix alive throughout.

The broker is killed and started again by its supervisor (C11); all are told to end as by a rolling update (C6), or are killed,
and started again as a container runtime does it. The fix must be the same one, end when it would have ended, and be open
meanwhile; whoever answers must hold no capability, and be the same process where the broker alone was killed.
"""

import json
import signal
import sys
import time
from collections.abc import Callable

from tests.lab.fixing import rig
from tests.lab.fixing.serving import Serving
from tests.lab.staged import await_that


def run(backend: str, kills: int, ends: int, crashes: int) -> dict[str, object]:
    """How it went, in numbers. Seconds of a kill: from the signal until the front, which lives on, tells of the fix again."""
    pod, service = rig.Pod(), Serving()
    pristine = rig.rules_of(backend)
    try:
        plan = service.must("POST", "/v1/plans")
        fix = service.must("POST", "/v1/fixes", {"plan": plan["id"]})
        fix = service.must("POST", f"/v1/fixes/{fix['id']}/confirm", {"lease": 3600})
        (rule,) = rig.ours(backend)
        found = {"kills": 0, "ends": 0, "crashes": 0, "fix lost": 0, "pod stopped": 0}
        found |= {"front with a capability": 0, "front not kept": 0}
        seconds: dict[str, list[float]] = {"kills": [], "ends": []}

        def check() -> None:
            status, now = service.ask("GET", f"/v1/fixes/{fix['id']}")
            kept = status == 200 and (now["state"], now["ends_at"], now["rule"]) == ("confirmed", fix["ends_at"], fix["rule"])
            found["fix lost"] += not kept or rig.ours(backend) != [rule]
            found["front with a capability"] += service.capabilities() != 0

        for _ in range(kills):
            time.sleep(1.1)  # one that lived for a second is back at once
            front = service.front()
            seconds["kills"].append(_recovery(service, lambda: service.ask("GET", f"/v1/fixes/{fix['id']}")[0] == 200))
            found["kills"] += 1
            found["pod stopped"] += not pod.gets_through()
            found["front not kept"] += service.front() != front
            check()
        for name, number, count in (("ends", signal.SIGTERM, ends), ("crashes", signal.SIGKILL, crashes)):
            for _ in range(count):
                took = service.end(number)
                found[name] += 1
                if name in seconds:
                    seconds[name].append(took)
                found["pod stopped"] += not pod.gets_through()
                service.start()
                service.must("GET", "/livez")
                await_that(lambda: service.ask("GET", "/readyz")[0] == 200, "it does not become ready")
                check()
        service.must("DELETE", f"/v1/fixes/{fix['id']}")
        left = rig.rules_of(backend) != pristine
    finally:
        service.close()
    back = sorted(seconds["kills"]) or [0.0]
    return {
        **found,
        "residue": int(left),
        "back, median s": round(back[len(back) // 2], 2),
        "back, p99 s": round(back[len(back) * 99 // 100], 2),
        "slowest end s": round(max(seconds["ends"], default=0.0), 2),
    }


def _recovery(service: Serving, answers: Callable[[], bool]) -> float:
    """Kills the broker; the seconds until it `answers` again. The front is asked without pause, and never hangs up."""
    killed, began = service.broker(), time.monotonic()
    service.kill_broker()
    await_that(lambda: service.broker() != killed and answers(), "the broker does not come back")
    return time.monotonic() - began


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], *map(int, sys.argv[2:5]))))
