"""What else happens to an agent in a cluster: no API server, a right that is taken away, a wish, another pod in its place."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.cluster import NAMESPACE, Cluster, eventually


@contextmanager
def stopped(program: str) -> Iterator[None]:
    """The process of our own cluster that runs `program`, stopped and continued: connections stay, answers do not come."""
    pids = Path(os.environ.get("CLUSTER_DIR", "/run/kube-lab"), "pids").read_text().split()
    (pid,) = [int(pid) for pid in pids if Path("/proc", pid, "comm").exists() and runs(pid, program)]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def runs(pid: str, program: str) -> bool:
    return Path("/proc", pid, "cmdline").read_bytes().split(b"\0")[0].endswith(program.encode())


def restarted(cluster: Cluster, node: str) -> None:
    """Another agent's pod on the node, ready."""
    old = cluster.agent(node)
    cluster.kubectl("-n", NAMESPACE, "delete", "pod", old)  # waits until it is gone

    def ready() -> bool:
        pods = cluster.get("-n", NAMESPACE, "pods", f"--field-selector=spec.nodeName={node}")["items"]
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for pod in pods
            for condition in pod["status"].get("conditions", ())
        )

    eventually("the new agent is ready", ready)


@contextmanager
def without(cluster: Cluster, resource: str) -> Iterator[None]:
    """The agent's role without the rule for one resource."""
    role = cluster.get("clusterrole", "kubereach-agent")
    kept = [item for item in role["rules"] if resource not in item["resources"]]
    (removed,) = [item for item in role["rules"] if resource in item["resources"]]
    name, _, part = resource.partition("/")
    group = removed["apiGroups"][0]
    asked = ["auth", "can-i", removed["verbs"][0], f"{name}.{group}" if group else name, f"--subresource={part}"]
    asked.append(f"--as=system:serviceaccount:{NAMESPACE}:kubereach")

    def grant(rules: list[dict[str, Any]], answer: str) -> None:
        """Who judges requests hears of a role's change a moment later."""
        cluster.kubectl("patch", "clusterrole", "kubereach-agent", "--type=merge", "-p", json.dumps({"rules": rules}))
        eventually(f"the role says {answer} to {resource}", lambda: cluster.kubectl(*asked, check=False).startswith(answer))

    try:
        grant(kept, "no")
        yield
    finally:
        grant(role["rules"], "yes")


def wish(cluster: Cluster, node: str, at: str) -> None:
    """Asks for a new look through the node's object; `at` is RFC 3339."""
    cluster.kubectl("patch", "reach", node, "--type=merge", "-p", json.dumps({"spec": {"runRequestTime": at}}))
