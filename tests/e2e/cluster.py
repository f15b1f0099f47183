"""The cluster under test: the one that KUBECONFIG names, or the two real nodes that ../shared/cluster makes on this machine."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(os.environ.get("KUBEREACH_CLUSTER", ROOT.parent / "shared" / "cluster"))
IMAGE = os.environ.get("KUBEREACH_IMAGE", "docker.io/kubereach/kubereach:0.1.0")
NAMESPACE = "kubereach"
PREPARE = Path(__file__).parent / "prepare"
os.environ.setdefault("K8S_BIN", "/var/cache/kubereach-e2e/bin")  # as PREPARE has it
# Two cores carry the whole cluster here: what takes a second on a server may take ten.
PATIENCE = 120.0


def run(*argv: str, stdin: str = "", check: bool = True) -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=2400)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout if check else done.stdout + done.stderr


def eventually(what: str, happens: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What `happens` returns once that is true. A cluster converges; how long that takes is not what is tested."""
    end = time.monotonic() + patience
    while True:
        found = happens()
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(f"did not come about: {what}")
        time.sleep(1)


@dataclass(frozen=True)
class Cluster:
    """kubectl against it, and what only a cluster of our own lets us do to a node (`own`)."""

    own: bool

    def kubectl(self, *argv: str, stdin: str = "", check: bool = True) -> str:
        first = (str(SCRIPTS / "cluster.sh"), "kubectl") if self.own else ("kubectl",)
        return run(*first, *argv, stdin=stdin, check=check)

    def command(self, *argv: str) -> str:
        """What a command prints that finds the API server as kubectl does; its end is in what it prints."""
        first = (str(SCRIPTS / "cluster.sh"), "node", "m") if self.own else ()
        return run(*first, *argv, check=False)

    def get(self, *argv: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *argv, "-o", "json"))
        return found

    def nodes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("nodes")["items"]
        return [node for node in found if not any(taint["effect"] == "NoSchedule" for taint in node["spec"].get("taints", []))]

    def agent(self, node: str) -> str:
        pods = self.get(
            "-n", NAMESPACE, "pods", "-l", "app.kubernetes.io/component=agent", f"--field-selector=spec.nodeName={node}"
        )
        (name,) = [pod["metadata"]["name"] for pod in pods["items"] if "deletionTimestamp" not in pod["metadata"]]
        return str(name)

    def inside(self, node: str, *argv: str) -> str:
        """A command in the agent's container, whose network is the node's."""
        return self.kubectl("-n", NAMESPACE, "exec", self.agent(node), "--", *argv)

    def ask(self, node: str, path: str = "/", *options: str) -> str:
        return self.inside(
            node, "curl", "-sS", "--unix-socket", "/run/kubereach/kubereach.sock", *options, f"http://localhost{path}"
        )

    def post(self, node: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A POST with a JSON body."""
        options = ("-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(body))
        found: dict[str, Any] = json.loads(self.ask(node, path, *options))
        return found

    def report(self, node: str) -> dict[str, Any]:
        """A fresh one."""
        self.ask(node, "/v1/diagnoses", "-X", "POST")
        found: dict[str, Any] = json.loads(self.ask(node, "/v1/report"))
        return found

    def iptables(self, node: str, backend: str, *rule: str) -> str:
        return self.inside(node, f"iptables-{backend}", "-w", *rule)


def start() -> Cluster:
    if os.environ.get("KUBECONFIG"):
        return Cluster(own=False)
    if not (SCRIPTS / "cluster.sh").exists():
        pytest.skip("no cluster: set KUBECONFIG (kind will do) and load the image there")
    if os.environ.get("KUBEREACH_KEEP") and Path("/var/run/netns/c-m").exists():
        return Cluster(own=True)  # the one that an earlier run kept, with the image that it has
    run(str(PREPARE))
    run(str(SCRIPTS / "cluster.sh"), "down")
    run(str(SCRIPTS / "cluster.sh"), "up")
    run(str(SCRIPTS / "image.sh"), str(ROOT), str(ROOT / "daemonset/image/Dockerfile"), IMAGE)
    return Cluster(own=True)
