"""The same kills for iptables-apply: `python -m tests.lab.fixing.iptables_apply BACKEND RUNS SEED`, on the lab's node.

It loads a whole file of rules and takes it back after a timeout, by itself, unless somebody confirms: so it has to live.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.fixing import rig

TIMEOUT = 1
BIN = Path("/run/lab/bin")
_OPEN = f"-A INPUT -s {rig.FLOW.source} -d {rig.FLOW.destination}/32 -p tcp -m tcp --dport 10250 -j ACCEPT"


def run(backend: str, runs: int, seed: int) -> dict[str, object]:
    """How it went: in how many runs the pod still got through after the timeout and one second."""
    chance, pod = random.Random(seed), rig.Pod()
    program = _install(backend)
    pristine = rig.saved(backend)
    block = rig.rules_of(backend)[-1]
    wanted = Path("/run/lab/wanted")
    wanted.write_text(pristine.replace(f"{block}\n", f"{_OPEN}\n{block}\n"))
    found, late = {"runs": 0, "pod got through": 0}, []
    for number in range(runs):
        began = time.time()
        argv = [program, "-t", str(TIMEOUT), str(wanted)]
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin:/sbin"}
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, process_group=0
        ) as child:
            time.sleep(chance.uniform(0, 0.3))
            os.killpg(child.pid, signal.SIGKILL)
        found["runs"] += 1
        found["pod got through"] += pod.gets_through()
        rig.until(began + 0.3 + TIMEOUT + 1)
        if pod.gets_through():
            late.append(number)
        subprocess.run([f"iptables-{backend}-restore", "-w"], input=pristine, text=True, check=True)
    return {**found, "late": late}


def _install(backend: str) -> str:
    """Names for the backend's tools as iptables-apply calls them."""
    BIN.mkdir(exist_ok=True)
    for verb in ("-save", "-restore", ""):
        target = shutil.which(f"iptables-{backend}{verb}", path="/usr/sbin:/sbin")
        assert target, f"iptables-{backend}{verb} is not installed"
        link = BIN / f"iptables{verb}"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    program = shutil.which("iptables-apply", path="/usr/sbin:/sbin")
    assert program, "iptables-apply is not installed"
    return program


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
