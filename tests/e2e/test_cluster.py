"""The incident on a real cluster, from the image and the manifests as they are."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.callers import account, binding, status, token
from tests.e2e.cluster import NAMESPACE, ROOT, SCRIPTS, Cluster, eventually, run
from tests.e2e.incident import address, connects, incident
from tests.e2e.trouble import restarted, stopped, wish, without

pytestmark = pytest.mark.timeout(3600)
FOUR = 1 << 12 | 1 << 13 | 1 << 19 | 1 << 21  # NET_ADMIN, NET_RAW, SYS_PTRACE, SYS_ADMIN


def fact(report: dict[str, Any], name: str) -> dict[str, str]:
    return {item["source"]: item["value"] for item in report["facts"] if item["name"] == name}


def test_the_image_is_small_and_has_no_compiler(installed: Cluster, workers: list[str]) -> None:
    size = int(installed.inside(workers[0], "du", "-sxm", "/").split()[0])
    assert size < 250, f"{size} MiB"
    found = installed.inside(workers[0], "sh", "-c", "for p in gcc cc g++ ld make pip; do command -v $p; done; true")
    assert found == ""


def test_only_broker_and_supervisor_have_privilege_and_it_is_four_capabilities(installed: Cluster, workers: list[str]) -> None:
    # Those of this container: with hostPID it sees every process of the node.
    script = "for p in /proc/[0-9]*; do cmp -s $p/cgroup /proc/self/cgroup || continue; "
    for kind, module in (
        ("SUPERVISOR", "agent.host.supervisor"),
        ("BROKER", "agent.host.broker"),
        ("FRONT", "agent.api.front"),
    ):
        script += f"if grep -qxz {module} $p/cmdline; then echo {kind}; cat $p/status; fi; "
    script += "done"
    text = installed.inside(workers[0], "sh", "-c", f"{script} 2>/dev/null; true")
    kind, seen = "", set()
    for line in text.splitlines():
        word = line.strip()
        kind = word if word in ("SUPERVISOR", "BROKER", "FRONT") else kind
        name, _, value = word.partition(":")
        if name == "CapEff":
            seen.add((kind, int(value, 16)))
        if name == "Uid":
            seen.add((kind, f"uid {value.split()[0]}"))
    privileged = {(kind, has) for kind in ("SUPERVISOR", "BROKER") for has in (FOUR, "uid 0")}
    assert seen == privileged | {("FRONT", 0), ("FRONT", "uid 65532")}


def test_before_the_incident_pods_reach_their_kubelet(installed: Cluster, workers: list[str], clients: dict[str, str]) -> None:
    for node in workers:
        assert installed.report(node)["state"] == "reachable"
        assert connects(installed, clients[node], address(installed, node)).startswith("401")


def test_who_is_who_is_found_with_its_source(installed: Cluster, workers: list[str], clients: dict[str, str]) -> None:
    report = installed.report(workers[0])
    node = installed.get("node", workers[0])
    assert fact(report, "node IP")["Node object"] == address(installed, workers[0])
    assert fact(report, "pod CIDR")["Node object"] == node["spec"]["podCIDR"]
    pods = fact(report, "pod")
    assert any(clients[workers[0]] in source for source in pods), pods
    runtime = node["status"]["nodeInfo"]["containerRuntimeVersion"].partition(":")[0]
    assert runtime in fact(report, "container runtime").values()
    if installed.own:  # what a directory of the runtime's own and the kubelet's file say, seen from inside the container
        assert any(source.startswith("CNI configuration ") for source in fact(report, "pod CIDR"))
        assert any(source.startswith("podCIDR in ") for source in fact(report, "pod CIDR"))
        assert fact(report, "node IP")["kubelet --node-ip"] == address(installed, workers[0])


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_the_rule_is_named_on_the_one_node(
    installed: Cluster, workers: list[str], clients: dict[str, str], backend: str
) -> None:
    """With kube-proxy in one backend and the reject in the other, one of the two is the mixed case."""
    node, other = workers
    with incident(installed, node, backend) as number:
        assert "No route to host" in connects(installed, clients[node], address(installed, node))
        assert connects(installed, clients[node], address(installed, other)).startswith("401")
        report = installed.report(node)
        rule = report["explanation"]["decided_by"]
        assert (report["state"], rule["rule_number"], rule["chain"], rule["backend"]) == ("blocked", number, "INPUT", backend)
        words = report["findings"][0]["witnesses"]
        assert {words[witness] for witness in ("model", "probe", "counters", "icmp", "twin")} == {"agrees"}, words
        assert installed.report(other)["state"] == "reachable"
        status = installed.ask(node, "/v1/verdict", "-o", "/dev/null", "-w", "%{http_code}")
        assert status == "503"
    assert installed.report(node)["state"] == "reachable"


def test_the_command_that_the_report_gives_mends_it(installed: Cluster, workers: list[str], clients: dict[str, str]) -> None:
    node = workers[0]
    with incident(installed, node, "nft"):
        remedy = installed.report(node)["findings"][0]["remedy"]
        installed.inside(node, *remedy["command"].split())
        assert connects(installed, clients[node], address(installed, node)).startswith("401")
        assert installed.report(node)["state"] == "reachable"
        installed.inside(node, *remedy["undo"].split())
        assert "No route to host" in connects(installed, clients[node], address(installed, node))


def test_memory_stays_under_the_limit(installed: Cluster, workers: list[str]) -> None:
    for _ in range(10):
        installed.report(workers[0])
    places = "/sys/fs/cgroup/memory/memory.max_usage_in_bytes /sys/fs/cgroup/memory.peak"
    peak = installed.inside(workers[0], "sh", "-c", f"cat {places} 2>/dev/null; true").split()
    print(f"at most {' '.join(str(int(each) // 2**20) for each in peak)} MiB, what could be dropped at once included")
    pod = installed.get("-n", NAMESPACE, "pod", installed.agent(workers[0]))
    (status,) = pod["status"]["containerStatuses"]
    assert (status["restartCount"], status["lastState"]) == (0, {})


def test_without_the_api_server_the_node_is_diagnosed_all_the_same(installed: Cluster, workers: list[str]) -> None:
    if not installed.own:
        pytest.skip("the API server is not ours to stop")
    node = workers[0]
    with incident(installed, node, "nft") as number:
        with stopped("kube-apiserver"):
            root = ("curl", "-sS", "--unix-socket", f"/run/kubereach/{node}/kubereach.sock")
            run(*root, "-X", "POST", "http://localhost/v1/diagnoses")
            report = json.loads(run(*root, "http://localhost/v1/report"))
        assert report["explanation"]["decided_by"]["rule_number"] == number
        assert any("Kubernetes API" in problem for problem in report["problems"])
        assert "Node object" not in fact(report, "pod CIDR")
        assert fact(report, "pod CIDR")
    assert "Node object" in fact(eventually("the API answers", lambda: answers(installed, node)), "pod CIDR")


def answers(cluster: Cluster, node: str) -> dict[str, Any]:
    report = cluster.report(node)
    return report if not any("Kubernetes API" in problem for problem in report["problems"]) else {}


def test_the_agent_may_what_it_needs_and_no_more(installed: Cluster) -> None:
    def can(verb: str, what: str, *more: str) -> bool:
        account = f"--as=system:serviceaccount:{NAMESPACE}:kubereach"
        return installed.kubectl("auth", "can-i", verb, what, account, *more, check=False).startswith("yes")

    allowed = ["get nodes", "list pods -A", "create tokenreviews.authentication.k8s.io", "get reaches.kubereach.dev"]
    allowed += [
        "create subjectaccessreviews.authorization.k8s.io",
        "create reaches.kubereach.dev",
        "create events",
    ]
    assert [words for words in allowed if not can(*words.split())] == []
    assert can("patch", "reaches.kubereach.dev", "--subresource=status")
    refused = [
        "list nodes",
        "watch pods",
        "get pods",
        "get secrets",
        "list secrets",
        "create pods",
        "patch nodes",
        "delete reaches.kubereach.dev",
    ]
    refused += ["update reaches.kubereach.dev", "get configmaps"]
    assert [words for words in refused if can(*words.split())] == []
    assert not can("get", "nodes", "--subresource=proxy")
    assert not can("create", "pods", "--subresource=exec")


@pytest.mark.parametrize("rule", ["nodes", "pods"])
def test_each_right_that_is_used_is_needed(installed: Cluster, workers: list[str], rule: str) -> None:
    with without(installed, rule):

        def refused() -> list[str]:
            return [
                problem for problem in installed.report(workers[0])["problems"] if "HTTP 403" in problem and rule in problem
            ]

        eventually(f"the report says that {rule} were refused", refused)


@pytest.mark.parametrize(
    ("rule", "action"),
    [("reaches", "read"), ("reaches/status", "write"), ("events", "event")],
)
def test_each_right_of_the_publisher_is_needed(
    installed: Cluster, workers: list[str], clients: dict[str, str], rule: str, action: str
) -> None:
    """By the agent's own count: of logs that two nodes keep in one directory each kubelet clears away the other's."""
    node, wished = workers[0], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def failed() -> bool:
        counts = dict(line.rsplit(" ", 1) for line in installed.ask(node, "/metrics").splitlines() if line[:1] != "#")
        return float(counts[f'kubereach_cluster_failures_total{{action="{action}"}}']) > 0

    def honoured() -> bool:
        status = installed.get("reach", node)["status"]
        return (status.get("runRequestTime"), status["state"]) == (wished, "reachable")

    asked = ("get", "reach", node)
    eventually("the node has an object", lambda: "NotFound" not in installed.kubectl(*asked, check=False))
    with without(installed, rule):
        # A wish is answered by a write, whatever the object says already.
        wish(installed, node, wished)
        # One that was refused before is silent for up to five minutes; a new one asks within its first half minute.
        restarted(installed, node)
        if rule == "events":  # of a change from what the object says
            eventually("the object is true", honoured)
        # Not before: the one that ends would have told of it, and what it counted ends with it.
        with incident(installed, node, "nft"):
            assert installed.report(node)["state"] == "blocked"  # the answer itself needs none of them
            eventually(f"{rule} was refused", failed)
    installed.report(node)
    eventually("the object is true again", lambda: installed.get("reach", node)["status"]["state"] == "reachable")


def test_kubectl_get_reaches_names_node_and_rule(installed: Cluster, workers: list[str]) -> None:
    node, other = workers
    with incident(installed, node, "nft") as number:
        cause = installed.report(node)["findings"][0]["code"]

        def named() -> list[str]:
            lines = installed.kubectl("get", "reaches").splitlines()
            assert lines[0].split() == ["NAME", "STATE", "CAUSE", "RULE", "FIX", "SINCE", "AGE"]
            words = (node, " blocked ", f" {cause} ", f"rule {number} of filter INPUT (iptables-nft)")
            return [line for line in lines if all(word in line for word in words)]

        eventually("the object names the rule", named)
        assert installed.get("reach", other)["status"]["state"] == "reachable"
        wrong = {"state": "fine", "lookTime": "2026-01-01T00:00:00Z"}
        assert "status.state" in put(installed, node, wrong, check=False)
        assert installed.get("reach", node)["status"]["state"] == "blocked"  # the schema refused the other one
        told = installed.kubectl("get", "events", "-n", "default", "-o", "jsonpath={.items[*].reason}")
        assert "KubeletBlocked" in told
    installed.report(node)
    eventually("the object says that it is over", lambda: installed.get("reach", node)["status"]["state"] == "reachable")


def test_the_agents_answer_without_the_objects(installed: Cluster, workers: list[str]) -> None:
    node, other = workers

    def ask(*argv: str) -> str:
        return installed.command(sys.executable, "-P", "-m", "agent.cli.app", "cluster", *argv, "--from", "agents")

    with incident(installed, node, "nft") as number:
        found = ask("run", node, other, "nowhere")
        assert f"1 of 2 nodes is stopped ({node}), by rule {number} of filter INPUT (iptables-nft)" in found, found
        assert "nowhere  no agent runs there." in found
        assert f"{node}: BLOCKED" in ask("explain", node)
    assert "On all 2 nodes pods reach their kubelet" in ask("run", node, other)


def test_a_wish_in_the_object_is_a_new_look(installed: Cluster, workers: list[str]) -> None:
    wished = "2026-01-02T03:04:05Z"
    wish(installed, workers[0], wished)

    def honoured() -> bool:
        return bool(installed.get("reach", workers[0])["status"].get("runRequestTime") == wished)

    eventually("the wish is honoured", honoured)


def test_callers_are_judged_by_the_api_server(installed: Cluster, workers: list[str]) -> None:
    """TokenReview and SubjectAccessReview, over TLS on the node's address."""
    node = workers[0]
    people = {"apiVersion": "v1", "kind": "List", "items": [account("viewer"), account("stranger"), binding("viewer")]}
    installed.kubectl("apply", "-f", "-", stdin=json.dumps(people))
    try:
        assert {name: status(installed, node, token(installed, name)) for name in ("viewer", "stranger")} == {
            "viewer": "200",
            "stranger": "403",
        }
        assert status(installed, node, "") == "401"
        assert status(installed, node, "nonsense") == "401"
        assert status(installed, node, token(installed, "viewer", audience="elsewhere")) == "401"
        assert status(installed, node, token(installed, "viewer"), "/v1/capture") == "403"
        for rule in ("tokenreviews", "subjectaccessreviews"):  # each is needed
            with without(installed, rule):
                eventually(
                    f"nobody is let in without {rule}", lambda: status(installed, node, token(installed, "viewer")) == "503"
                )
    finally:
        installed.kubectl("delete", "-f", "-", stdin=json.dumps(people))


def test_the_fix_by_curl_and_its_end(installed: Cluster, workers: list[str], clients: dict[str, str]) -> None:
    node = workers[0]
    with incident(installed, node, "nft"):
        plan = installed.post(node, "/v1/plans", {})
        fix = installed.post(node, "/v1/fixes", {"plan": plan["id"]})
        assert "id" in fix, fix
        assert connects(installed, clients[node], address(installed, node)).startswith("401")
        assert installed.post(node, f"/v1/fixes/{fix['id']}/confirm", {"lease": 20})["state"] == "confirmed"

        def over() -> bool:
            return "No route to host" in connects(installed, clients[node], address(installed, node))

        eventually("the lease ends", over)
        eventually("its rule is gone", lambda: "kubereach:" not in installed.iptables(node, "nft", "-S", "INPUT"))


def put(cluster: Cluster, name: str, status: dict[str, Any], *, check: bool = True) -> str:
    found = cluster.get("reach", name) | {"status": status}
    return cluster.kubectl(
        "replace",
        "--raw",
        f"/apis/kubereach.dev/v1alpha1/reaches/{name}/status",
        "-f",
        "-",
        stdin=json.dumps(found),
        check=check,
    )


@pytest.mark.parametrize("overlay", ["read-only", "fix-enabled"])
def test_the_api_server_takes_the_overlays(installed: Cluster, overlay: str) -> None:
    text = run("kubectl", "kustomize", str(ROOT / "daemonset" / "overlays" / overlay))
    assert "daemonset.apps/kubereach" in installed.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)


def test_uninstalling_leaves_nothing(installed: Cluster, workers: list[str], clients: dict[str, str]) -> None:
    rules = {backend: installed.iptables(workers[0], backend, "-S") for backend in ("nft", "legacy")}
    assert not [text for text in rules.values() if "kubereach" in text]
    overlay = run("kubectl", "kustomize", str(ROOT / "daemonset" / "overlays" / "fix-enabled"))
    installed.kubectl("delete", "--wait", "-f", "-", stdin=overlay)
    kinds = "namespaces,clusterroles,clusterrolebindings,customresourcedefinitions,daemonsets,pods,serviceaccounts"
    assert "kubereach" not in installed.kubectl("get", kinds, "-A", "-o", "name")
    cleanup = str(ROOT / "daemonset" / "uninstall" / "cleanup.yaml")
    installed.kubectl("apply", "-f", cleanup)

    def clean() -> bool:
        status = installed.get("-n", "kubereach-cleanup", "daemonset", "cleanup")["status"]
        return 0 < status["desiredNumberScheduled"] == status.get("numberReady")

    eventually("the nodes are clean", clean)
    installed.kubectl("delete", "--wait", "-f", cleanup)
    for pod in clients.values():
        installed.kubectl("delete", "pod", pod)
    if installed.own:
        assert not Path("/run/kubereach").exists()
        assert ":10270" not in run(str(SCRIPTS / "cluster.sh"), "node", "n1", "ss", "-Hltn")
