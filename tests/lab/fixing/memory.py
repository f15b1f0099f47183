"""C10: `python -m tests.lab.fixing.memory BACKEND LOOKS`, on the lab's node, a pod of which has 100,000 rules of its own.

Looks at the node again and again. What a pod puts into its own namespace must cost the node nothing: the memory of all that
runs, shared pages counted once for each process, has to stay under what the DaemonSet is given.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from agent.lab.topology import WEB
from tests.lab.fixing.serving import Serving

RULES = 100_000
# The container that has both halves, of daemonset/base/daemonset.yaml.
LIMIT = max(int(each) for each in re.findall(r"memory: (\d+)Mi", Path("daemonset/base/daemonset.yaml").read_text()))


def run(backend: str, looks: int) -> dict[str, object]:
    """The most memory that was held at once, in MiB, and what became of the looks."""
    rules = "".join(
        f"-A BIG -s 10.{n // 65536}.{n // 256 % 256}.{n % 256}/32 -p tcp --dport 80 -j DROP\n" for n in range(RULES)
    )
    subprocess.run(
        ["nsenter", f"--net={WEB.namespace}", f"iptables-{backend}-restore"],
        input=f"*filter\n:INPUT ACCEPT [0:0]\n:BIG - [0:0]\n-A INPUT -j BIG\n{rules}COMMIT\n",
        text=True,
        check=True,
    )
    service = Serving()
    try:
        service.must("GET", "/livez")
        front, answers, most = service.front(), dict[str, int](), 0
        while sum(answers.values()) < looks:
            status, answer = service.ask("POST", "/v1/diagnoses")
            if status == 429:  # a caller who never pauses is slowed down
                time.sleep(1)
                continue
            state = answer["report"]["state"] if status < 300 else str(status)
            answers[state] = answers.get(state, 0) + 1
            most = max(most, sum(map(_peak, service.family())))
        return {
            "rules in the pod": RULES,
            "looks": answers,
            "most MiB": most // 1024,
            "limit MiB": LIMIT,
            "same front": int(service.front() == front),
        }
    finally:
        service.close()


def _peak(pid: int) -> int:
    """The most that a process ever held, in KiB; 0 where it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
