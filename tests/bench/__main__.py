"""How long a diagnosis takes, measured on a running server in the lab: `make bench`.

Each row: an incident is staged and its server asked for new diagnoses over HTTP, first back to back, as scripts ask, then with
a pause between, as people do. Medians and spread (the quartiles) of the whole request; the first ones are not counted. Cold:
`kubereach lab run`, world and all, once. The load is that of the machine at the row's end: what else runs slows all of it.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import httpx

from agent.lab.incidents import INCIDENTS, firewall

WARM_UP, RUNS, PAUSE = 2, 10, 1.2
KUBEREACH = [sys.executable, "-m", "agent.cli.app"]
# A diagnosis that waits for the connect's own deadline cannot be quicker than that.
DEADLINE = "waits for the 1 s connect deadline"
NOTE = {"drop-policy": DEADLINE, "reply-drop-output": DEADLINE}


def main() -> None:
    """Print the table; exits with 1 when a server could not be started."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument("incidents", nargs="*", help="these instead of the basic ones")
    parser.add_argument("--stages", action="store_true", help="also the median of each stage, back to back")
    asked = parser.parse_args()
    machine = f"Python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} cores"
    print(f"kubereach bench: {machine}, load {os.getloadavg()[0]:.2f}")
    print(
        f"POST /v1/diagnoses, {RUNS} runs after {WARM_UP}, back to back and {PAUSE} s apart; milliseconds, median [quartiles]\n"
    )
    print(f"{'incident':28} {'backend':8} {'back to back':^18} {'spaced':^18} {'cold (s)':>8} {'load':>5}  note")
    # The others differ in their rules, not in what it costs to read them.
    named = [incident for incident in INCIDENTS if incident.name in asked.incidents]
    for incident in named if asked.incidents else firewall.INCIDENTS:
        for backend in incident.backends:
            together, spaced, stages = _serve_and_measure(incident.name, backend)
            row = f"{_spread(together)} {_spread(spaced)} {_cold(incident.name, backend):8.2f} {os.getloadavg()[0]:5.1f}"
            print(f"{incident.name:28} {backend:8} {row}  {NOTE.get(incident.name, '')}".rstrip(), flush=True)
            if asked.stages:
                print("    " + ", ".join(f"{name} {value:.0f}" for name, value in stages.items()), flush=True)


def _spread(times: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(times, n=4)
    return f"{middle:6.0f} [{low:.0f}-{high:.0f}]".ljust(18)


def _serve_and_measure(name: str, backend: str) -> tuple[list[float], list[float], dict[str, float]]:
    """Times back to back, times with pauses, and the stages' medians of the first."""
    command = [*KUBEREACH, "lab", "serve", name, "--backend", backend, "--port", "0"]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        try:
            base = _address(server, log)
            with httpx.Client(base_url=base, timeout=30) as client:
                together = [_one(client, 0) for _ in range(WARM_UP + RUNS)][WARM_UP:]
                spaced = [_one(client, PAUSE) for _ in range(RUNS)]
        finally:
            server.terminate()
    stages: dict[str, list[float]] = {}
    for _, seconds in together:
        for stage, value in seconds.items():
            stages.setdefault(stage, []).append(value * 1000)
    medians = {stage: statistics.median(values) for stage, values in stages.items()}
    return [each for each, _ in together], [each for each, _ in spaced], medians


def _address(server: subprocess.Popen[str], log: IO[str]) -> str:
    for line in server.stdout or ():
        found = re.search(r"127\.0\.0\.1:\d+", line)
        if found:
            return f"http://{found[0]}"
    status = server.wait()
    log.seek(0)
    raise SystemExit(f"the lab did not start: exit {status}\n{log.read()}")


def _one(client: httpx.Client, pause: float) -> tuple[float, dict[str, float]]:
    """One diagnosis: the request's milliseconds, and what the report says of its stages."""
    time.sleep(pause)
    start = time.monotonic()
    response = client.post("/v1/diagnoses", json={})
    elapsed = (time.monotonic() - start) * 1000
    if response.status_code != 201:
        raise SystemExit(f"HTTP {response.status_code}: {response.text}")
    answer = response.json()
    return elapsed, answer.get("report", answer)["seconds"]


def _cold(name: str, backend: str) -> float:
    start = time.monotonic()
    done = subprocess.run(
        [*KUBEREACH, "lab", "run", name, "--backend", backend, "-o", "json"], capture_output=True, text=True, check=False
    )
    json.loads(done.stdout)
    return time.monotonic() - start


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    main()
