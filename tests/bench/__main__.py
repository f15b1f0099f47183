"""How long a diagnosis takes, measured on a running server in the lab: `make bench`.

Each row: an incident is staged and its server asked for new diagnoses over HTTP, with a pause between, as people ask. A worker
does one job and ends; the pause lets the next one import its library (psutil, python-iptables, scapy). Medians and spread of
the whole request; the first ones are not counted. Cold: `kubereach lab run`, world and all, once.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

from agent.lab.commands import list_incidents

WARM_UP, RUNS, PAUSE = 2, 10, 1.2
KUBEREACH = [sys.executable, "-m", "agent.cli.app"]
# A diagnosis that waits for the connect's own deadline cannot be quicker than that.
NOTE = {"drop-policy": "waits for the 1 s connect deadline"}


def main() -> None:
    """Print the table; exits with 1 when a server could not be started."""
    machine = f"Python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} cores"
    print(f"kubereach bench: {machine}, load {os.getloadavg()[0]:.2f}")
    print(f"POST /v1/diagnoses, {RUNS} runs after {WARM_UP}, {PAUSE} s apart; milliseconds\n")
    print(f"{'incident':28} {'backend':8} {'median':>8} {'min':>8} {'max':>8}  cold run (s)  note")
    for incident in list_incidents():
        for backend in incident.backends:
            times = _serve_and_measure(incident.name, backend)
            cold = _cold(incident.name, backend)
            row = " ".join(f"{value:8.1f}" for value in (statistics.median(times), min(times), max(times)))
            line = f"{incident.name:28} {backend:8} {row}  {cold:12.2f}  {NOTE.get(incident.name, '')}"
            print(line.rstrip(), flush=True)


def _serve_and_measure(name: str, backend: str) -> list[float]:
    command = [*KUBEREACH, "lab", "serve", name, "--backend", backend, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            base = _address(server)
            with httpx.Client(base_url=base, timeout=30) as client:
                return [_one(client) for _ in range(WARM_UP + RUNS)][WARM_UP:]
        finally:
            server.terminate()


def _address(server: subprocess.Popen[str]) -> str:
    for line in server.stdout or ():
        found = re.search(r"127\.0\.0\.1:\d+", line)
        if found:
            return f"http://{found[0]}"
    raise SystemExit(f"the lab did not start: exit {server.wait()}")


def _one(client: httpx.Client) -> float:
    time.sleep(PAUSE)
    start = time.monotonic()
    response = client.post("/v1/diagnoses", json={})
    elapsed = (time.monotonic() - start) * 1000
    if response.status_code != 201:
        raise SystemExit(f"HTTP {response.status_code}: {response.text}")
    return elapsed


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
