"""One cluster and one installation for all the tests of this folder, in the order of the file: the last one uninstalls."""

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import yaml

from tests.e2e import cluster as clusters
from tests.e2e.cluster import IMAGE, NAMESPACE, SCRIPTS, Cluster, eventually, run

OVERLAY = clusters.ROOT / "tests" / "e2e" / "overlay"
CLIENT = {
    "apiVersion": "v1",
    "kind": "Pod",
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "c", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "infinity"]}],
    },
}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """A failure is told with what the agents and the cluster say at that moment."""
    made = yield
    report = made.get_result()
    installed = getattr(item, "funcargs", {}).get("installed")
    if report.when == "call" and report.failed and installed is not None:
        for asked in (
            ("get", "pods", "-A", "-o", "wide"),
            ("get", "reaches", "-o", "yaml"),
            ("-n", NAMESPACE, "logs", "-l", "app.kubernetes.io/component=agent", "--prefix", "--timestamps", "--tail=60"),
        ):
            report.sections.append((f"kubectl {' '.join(asked)}", installed.kubectl(*asked, check=False)))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    found = clusters.start()
    yield found
    if found.own and not os.environ.get("KUBEREACH_KEEP"):
        run(str(SCRIPTS / "cluster.sh"), "down")


@pytest.fixture(scope="session")
def workers(cluster: Cluster) -> list[str]:
    return [node["metadata"]["name"] for node in cluster.nodes()][:2]


@pytest.fixture(scope="session")
def clients(cluster: Cluster, workers: list[str]) -> dict[str, str]:
    """An ordinary pod on each of two nodes, by node."""
    names = {}
    for node in workers:
        names[node] = f"client-{node}"
        pod = {
            **CLIENT,
            "metadata": {"name": names[node], "namespace": "default"},
            "spec": {**CLIENT["spec"], "nodeName": node},
        }  # type: ignore[dict-item]
        cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod))
    for name in names.values():
        eventually(f"{name} runs", lambda name=name: cluster.get("pod", name)["status"].get("phase") == "Running")
    return names


@pytest.fixture(scope="session")
def installed(cluster: Cluster, clients: dict[str, str]) -> Cluster:
    """kubereach, from the manifests as they are with what OVERLAY changes."""
    cluster.kubectl("apply", "-f", "-", stdin=run("kubectl", "kustomize", str(OVERLAY)))

    def ready() -> bool:
        status = cluster.get("-n", NAMESPACE, "daemonset", "kubereach")["status"]
        return 0 < status["desiredNumberScheduled"] == status.get("numberReady")

    eventually("every agent is ready", ready)
    return cluster
