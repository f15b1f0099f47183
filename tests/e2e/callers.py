"""Service accounts that ask an agent over its TLS port."""

from typing import Any

from tests.e2e.cluster import Cluster
from tests.e2e.incident import address


def account(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}


def binding(name: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"e2e-{name}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "kubereach-viewer"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }


def token(cluster: Cluster, name: str, audience: str = "kubereach.dev") -> str:
    return cluster.kubectl("create", "token", name, "--audience", audience).strip()


def status(cluster: Cluster, node: str, bearer: str, path: str = "/v1/report") -> str:
    header = ("-H", f"Authorization: Bearer {bearer}") if bearer else ()
    url = f"https://{address(cluster, node)}:10270{path}"
    return cluster.inside(node, "curl", "-sSk", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", *header, url)
