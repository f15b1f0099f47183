"""The Node object, asked of a stand-in API server on loopback."""

import os
import threading

import pytest

from agent.cluster import node as cluster
from agent.cluster.node import read_node
from agent.model.capture import NodeObject, PodObject
from tests.process.stand_in import Handler, standing_in

NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "k8s-worker1"},
    "spec": {"podCIDR": "10.244.4.0/24", "podCIDRs": ["10.244.4.0/24", "fd00:4::/64"]},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "172.31.16.124"}, {"type": "Hostname", "address": "k8s-worker1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    },
}


def pod_list(*pods):
    return {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": list(pods)}


def pod(name, *addresses, **spec):
    status = {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]}
    spec = {"containers": [{"name": "c"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "d"}, "spec": spec, "status": status}


class StandIn(Handler):
    """Answers with the server's `node`: (status, body)."""

    def do_GET(self):  # noqa: N802 - the name that http.server calls
        self.server.asked.append(self.path)
        status, body = self.server.pods if self.path.startswith("/api/v1/pods") else self.server.node
        self.answer(status, body)


@pytest.fixture(autouse=True)
def outside_any_cluster(monkeypatch):
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "NODE_NAME", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def api(tmp_path, monkeypatch):
    with standing_in(StandIn, tmp_path, monkeypatch, asked=[], node=(200, NODE), pods=(200, pod_list())) as server:
        yield server


def status(code, message):
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}


def test_outside_a_cluster_there_is_nothing_to_ask():
    assert read_node("k8s-worker1") is None


def test_the_node_object(api):
    assert read_node("k8s-worker1") == NodeObject(
        name="k8s-worker1",
        addresses=(("InternalIP", "172.31.16.124"), ("Hostname", "k8s-worker1")),
        pod_cidrs=("10.244.4.0/24", "fd00:4::/64"),
        kubelet_port=10250,
    )
    fields = "fieldSelector=spec.nodeName%3Dk8s-worker1%2Cstatus.phase%3DRunning"
    assert api.asked == ["/api/v1/nodes/k8s-worker1", f"/api/v1/pods?limit=250&{fields}"]


def test_the_pods_of_the_node_that_have_addresses_of_their_own(api):
    api.pods = (200, pod_list(pod("a", "10.244.4.7", "fd00:4::7"), pod("host", "172.31.16.124", hostNetwork=True), pod("new")))
    assert read_node("k8s-worker1").pods == (PodObject(namespace="d", name="a", addresses=("10.244.4.7", "fd00:4::7")),)


@pytest.mark.parametrize(
    ("answer", "said"), [((403, {"kind": "Status"}), "allow `list` on pods"), ((500, b"<html>"), "could not be listed")]
)
def test_without_the_pods_the_node_is_known_all_the_same(api, answer, said):
    api.pods = answer
    found = read_node("k8s-worker1")
    assert found.pod_cidrs
    assert said in found.problem


def test_a_bare_node_object(api):
    api.node = (200, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    assert read_node("n") == NodeObject(name="n")


def test_the_name_comes_from_the_environment_or_is_the_hosts(api, monkeypatch):
    read_node()
    monkeypatch.setenv("NODE_NAME", "from-env")
    read_node()
    nodes = [path for path in api.asked if path.startswith("/api/v1/nodes/")]
    assert nodes == [f"/api/v1/nodes/{os.uname().nodename.lower()}", "/api/v1/nodes/from-env"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(404, "not found"), "no node w: give the node's name"),
        (status(403, "forbidden"), "HTTP 403: allow `get` on nodes"),
        (status(401, "who"), "HTTP 401"),
        (status(500, "etcd is down"), "etcd is down"),
        ((502, b"<html>bad gateway</html>"), "could not be read"),
        ((200, b"not json"), "could not be read"),
    ],
    ids=["404", "403", "401", "500", "proxy's page", "garbage"],
)
def test_errors_are_sentences(api, answer, said):
    api.node = answer
    found = read_node("w")
    assert said in found.problem
    assert found.problem.endswith(".")
    assert "\n" not in found.problem


def test_a_server_that_does_not_answer_is_a_problem(api, monkeypatch):
    monkeypatch.setattr(cluster, "TIMEOUT", 0.2)
    release = threading.Event()
    monkeypatch.setattr(StandIn, "do_GET", lambda _: release.wait(5))
    problem = read_node("w").problem
    release.set()
    assert "Timeout" in problem


@pytest.mark.parametrize("content", [None, "clusters: [", "{}"], ids=["missing", "broken", "empty"])
def test_a_bad_kubeconfig_is_a_problem(tmp_path, monkeypatch, content):
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(file))
    assert read_node("w").problem
