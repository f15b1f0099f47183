"""The incident of the field on a node of the cluster, and what a pod meets there."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.cluster import Cluster


def address(cluster: Cluster, node: str) -> str:
    addresses = cluster.get("node", node)["status"]["addresses"]
    return next(str(item["address"]) for item in addresses if item["type"] == "InternalIP")


@contextmanager
def incident(cluster: Cluster, node: str, backend: str) -> Iterator[int]:
    """Nodes may come in, pods may not: the rules of the real incident behind what is there. Gives the last rule's number."""
    sources = ["172.31.16.0/20"] if cluster.own else [address(cluster, item["metadata"]["name"]) for item in cluster.nodes()]
    rules = [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-p icmp -j ACCEPT",
        "-i lo -j ACCEPT",
        "-p tcp -m conntrack --ctstate NEW -m tcp --dport 22 -j ACCEPT",
        *(f"-s {source} -j ACCEPT" for source in sources),
        "-j REJECT --reject-with icmp-host-prohibited",
    ]
    placed: list[str] = []
    try:
        for rule in rules:
            cluster.iptables(node, backend, "-A", "INPUT", *rule.split())
            placed.append(rule)
        yield cluster.iptables(node, backend, "-S", "INPUT").count("-A INPUT")
    finally:
        for rule in reversed(placed):  # the reject first
            cluster.iptables(node, backend, "-D", "INPUT", *rule.split())


def connects(cluster: Cluster, pod: str, target: str) -> str:
    """What curl in an ordinary pod says of the kubelet's port: the HTTP status, then what it met on the way."""
    argv = (
        "curl",
        "-skv",
        "--max-time",
        "5",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        f"https://{target}:10250/metrics/resource",
    )
    return cluster.kubectl("exec", pod, "--", *argv, check=False)
