"""C6 and C11: `python -m tests.lab.fixing.restarts BACKEND KILLS ENDS`, on the lab's node, with a fix alive all the time.

The broker is killed, or told to end as by a rolling update, and started again as a container runtime does it. The fix must be
the same one, end when it would have ended, and be open meanwhile; whoever answers must hold no capability.
"""

import json
import signal
import sys
import time

from tests.lab.fixing import rig
from tests.lab.fixing.serving import Serving


def run(backend: str, kills: int, ends: int) -> dict[str, object]:
    """How it went, in numbers; seconds are from the moment that the old broker is gone to the new one's first answer."""
    pod, service = rig.Pod(), Serving()
    pristine = rig.rules_of(backend)
    try:
        plan = service.must("POST", "/v1/plans")
        fix = service.must("POST", "/v1/fixes", {"plan": plan["id"]})
        fix = service.must("POST", f"/v1/fixes/{fix['id']}/confirm", {"lease": 3600})
        (rule,) = rig.ours(backend)
        found = {"kills": 0, "ends": 0, "fix lost": 0, "pod stopped": 0, "front with a capability": 0}
        back: list[float] = []
        took: list[float] = []
        for number in range(kills + ends):
            killed = number < kills
            seconds = service.end(signal.SIGKILL if killed else signal.SIGTERM)
            began = time.monotonic()
            found["kills" if killed else "ends"] += 1
            if not killed:
                took.append(seconds)
            found["pod stopped"] += not pod.gets_through()
            service.start()
            service.must("GET", "/livez")
            back.append(time.monotonic() - began)
            status, now = service.ask("GET", f"/v1/fixes/{fix['id']}")
            kept = status == 200 and (now["state"], now["ends_at"], now["rule"]) == ("confirmed", fix["ends_at"], fix["rule"])
            found["fix lost"] += not kept or rig.ours(backend) != [rule]
            found["front with a capability"] += service.capabilities() != 0
        service.must("DELETE", f"/v1/fixes/{fix['id']}")
        left = rig.rules_of(backend) != pristine
    finally:
        service.close()
    back.sort()
    return {
        **found,
        "residue": int(left),
        "back, median s": round(back[len(back) // 2], 2),
        "back, slowest s": round(back[-1], 2),
        "slowest end s": round(max(took, default=0.0), 2),
    }


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
