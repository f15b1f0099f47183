"""`kubereach cluster report` over five thousand objects, asked of a server that speaks the API's list with its chunks."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from agent.cluster.reaches import to_status
from agent.model.reach import Reach, ReachFinding, ReachRule, ReachVantage

NODES = 5_000
RULE = ReachRule(place="rule 6 of filter INPUT (iptables-nft)", text="-A INPUT -j REJECT --reject-with icmp-host-prohibited")


def reach(number: int) -> Reach:
    blocked = number == 17
    return Reach(
        node=f"worker{number}",
        state="blocked" if blocked else "reachable",
        cause="input-reject" if blocked else "",
        summary="A sentence of the length that a sentence has, about a kubelet at an address and what becomes of its pods.",
        rule=RULE if blocked else None,
        findings=(ReachFinding(code="facts-conflict", severity="info", message="m" * 120),),
        vantages=tuple(
            ReachVantage(vantage="peer", to=f"10.0.{each}.1:10250", outcome="open", source="10.1.0.2") for each in range(10)
        ),
        node_addresses=(f"10.0.{number % 250}.{number // 250}",),
        fingerprint="other" if blocked else "same",
        look_time="2026-01-31T12:00:00Z",
        transition_time="2026-01-31T12:00:00Z",
    )


OBJECTS = [
    {
        "apiVersion": "kubereach.dev/v1alpha1",
        "kind": "Reach",
        "metadata": {"name": f"worker{number}", "uid": f"{number:032x}", "resourceVersion": "1"},
        "spec": {},
        "status": to_status(reach(number)),
    }
    for number in range(NODES)
]


class Lists(BaseHTTPRequestHandler):
    """GET of the list, `limit` and `continue` as the API has them."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        start, limit = int(query.get("continue", 0)), int(query.get("limit", NODES))
        after = start + limit
        metadata = {"resourceVersion": "1", **({"continue": str(after)} if after < NODES else {})}
        body = json.dumps(
            {"apiVersion": "kubereach.dev/v1alpha1", "kind": "ReachList", "metadata": metadata, "items": OBJECTS[start:after]}
        ).encode()
        self.send_response(200 if url.path.endswith("/reaches") else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lists)
    Thread(target=server.serve_forever, daemon=True).start()
    path = tmp_path / "config"
    url = f"http://127.0.0.1:{server.server_port}"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    yield path
    server.shutdown()
    server.server_close()


def test_five_thousand_nodes_are_one_sentence_and_little_memory(kubeconfig: Path) -> None:
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    environment.pop("KUBERNETES_SERVICE_HOST", None)
    command = [sys.executable, "-P", "-m", "agent.cli.app", "cluster", "report"]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"{NODES} objects in {seconds:.2f} s, largest child of this run {peak / 1024:.0f} MiB")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "1 of 5000 nodes is stopped (worker17), by rule 6 of filter INPUT (iptables-nft): "
        "-A INPUT -j REJECT --reject-with icmp-host-prohibited; only worker17 differs in its rules."
    )
    assert lines[-1] == "4999 reachable, 1 blocked"
