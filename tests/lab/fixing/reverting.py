"""C6 with `--on-stop revert`: `python -m tests.lab.fixing.reverting BACKEND ENDS`, on the lab's node.

Told to end with a confirmed fix, all of kubereach is gone within five seconds, and the rule with it; its successor tells why.
"""

import json
import sys

from agent.model.settings import OnStop
from tests.lab.fixing import rig
from tests.lab.fixing.serving import Serving

LONGEST = 5.0


def run(backend: str, ends: int) -> dict[str, object]:
    """How it went, in numbers."""
    pod, service = rig.Pod(), Serving(OnStop.REVERT)
    pristine = rig.rules_of(backend)
    found = {"ends": 0, "still open": 0, "residue": 0, "not told": 0, "later than 5 s": 0}
    took: list[float] = []
    try:
        for _ in range(ends):
            plan = service.must("POST", "/v1/plans")
            fix = service.must("POST", "/v1/fixes", {"plan": plan["id"]})
            service.must("POST", f"/v1/fixes/{fix['id']}/confirm", {"lease": 3600})
            assert pod.gets_through()
            took.append(service.end())
            found["ends"] += 1
            found["later than 5 s"] += took[-1] > LONGEST
            found["still open"] += pod.gets_through()
            found["residue"] += rig.rules_of(backend) != pristine
            service.start()
            now = service.must("GET", f"/v1/fixes/{fix['id']}")
            found["not told"] += (now["state"], now["why"]) != ("reverted", "kubereach was told to end")
    finally:
        service.close()
    return {**found, "slowest end s": round(max(took), 2)}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
