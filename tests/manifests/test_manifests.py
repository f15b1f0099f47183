"""What is installed on a cluster: exactly the privileges that are documented, valid everywhere, and nothing that drifted."""

import json
import subprocess
import sys

import kubernetes_validate
import pytest

from tests.manifests import rendering
from tests.manifests.rendering import MANIFESTS, chart, container, everything, installed, one, overlay

EVERYTHING = pytest.mark.parametrize(
    ("name", "objects"), list(everything()), ids=lambda value: value if isinstance(value, str) else ""
)
# The oldest that the package has a schema for is 1.25; 1.20 is what the end-to-end test's own API server says yes or no to.
VERSIONS = [f"1.{minor}" for minor in range(25, 37)]
ELSEWHERE = {"CustomResourceDefinition", "PodMonitor", "PrometheusRule", "SecurityContextConstraints"}


def test_generated_files_are_what_make_manifests_would_write() -> None:
    argv = [sys.executable, str(MANIFESTS / "generate.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), "run `make manifests`"


def test_install_yaml_is_the_overlay_read_only() -> None:
    def by_name(found):
        return {(item["kind"], item["metadata"]["name"]): item for item in found}

    assert by_name(installed()) == by_name(overlay("read-only"))


def unordered(value):
    """Lists of named things (env, volumes) as mappings: a strategic merge puts its own first."""
    if isinstance(value, dict):
        return {key: unordered(item) for key, item in value.items()}
    if isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value):
        return {item["name"]: unordered(item) for item in value}
    return value


def without_the_chart(item):
    """The object without what only a chart's objects have: labels of the release."""
    item = json.loads(json.dumps(item))
    for labels in (item["metadata"].get("labels"), item.get("spec", {}).get("template", {}).get("metadata", {}).get("labels")):
        for name in (
            "app.kubernetes.io/instance",
            "app.kubernetes.io/managed-by",
            "app.kubernetes.io/version",
            "helm.sh/chart",
        ):
            (labels or {}).pop(name, None)
    return item


def test_the_chart_by_default_is_install_yaml() -> None:
    plain = {item["kind"] + item["metadata"]["name"]: without_the_chart(item) for item in installed()}
    made = {item["kind"] + item["metadata"]["name"]: without_the_chart(item) for item in chart()}
    assert made == {name: item for name, item in plain.items() if item["kind"] not in ("Namespace", "CustomResourceDefinition")}


@pytest.mark.parametrize(
    ("values", "name"), [({"fix": {"enabled": True}}, "fix-enabled"), ({"openshift": {"enabled": True}}, "openshift")]
)
def test_the_charts_choices_are_the_overlays(values, name) -> None:
    there, here = overlay(name), chart(values)
    assert unordered(one(here, "DaemonSet")["spec"]["template"]["spec"]) == unordered(
        one(there, "DaemonSet")["spec"]["template"]["spec"]
    )
    wanted = {
        item["kind"] + item["metadata"]["name"]
        for item in there
        if item["kind"] not in ("Namespace", "CustomResourceDefinition")
    }
    assert {item["kind"] + item["metadata"]["name"] for item in here} == wanted


@EVERYTHING
def test_the_agent_has_exactly_four_capabilities_and_no_more_privilege(name, objects) -> None:
    pod, found = one(objects, "DaemonSet")["spec"]["template"]["spec"], container(objects)
    context = found["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE"]}
    assert (context["privileged"], context["readOnlyRootFilesystem"]) == (False, True)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (context["runAsUser"], context["runAsGroup"]) == (0, 65532)
    assert (pod["hostNetwork"], pod["hostPID"], pod.get("hostIPC", False)) == (True, True, False)
    assert "allowPrivilegeEscalation" not in context  # the API refuses false beside SYS_ADMIN


@EVERYTHING
def test_it_sees_these_places_of_the_node_and_no_others(name, objects) -> None:
    pod = one(objects, "DaemonSet")["spec"]["template"]["spec"]
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    expected = {"xtables-lock": "/run/xtables.lock", "netns": "/run/netns", "cni": "/etc/cni/net.d", "run": "/run/kubereach"}
    fix = any(item["name"] == "KUBEREACH_ALLOW_FIX" for item in container(objects)["env"])
    assert paths == expected | ({"state": "/var/lib/kubereach"} if fix else {})
    mounts = {mount["name"]: mount for mount in container(objects)["volumeMounts"]}
    assert mounts["netns"]["mountPropagation"] == "HostToContainer"
    assert {mount for mount, settings in mounts.items() if settings.get("readOnly")} == {"netns", "cni"}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}


@EVERYTHING
def test_it_runs_on_every_node_and_is_small(name, objects) -> None:
    pod = one(objects, "DaemonSet")["spec"]["template"]["spec"]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["priorityClassName"] == "system-node-critical"
    assert container(objects)["resources"] == {"requests": {"cpu": "10m", "memory": "80Mi"}, "limits": {"memory": "256Mi"}}


@EVERYTHING
def test_every_object_has_the_recommended_labels(name, objects) -> None:
    for item in objects:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "kubereach", item["metadata"]["name"]
        assert labels["app.kubernetes.io/part-of"] == "kubereach"
    template = one(objects, "DaemonSet")["spec"]
    assert template["selector"]["matchLabels"].items() <= template["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_would_take_it(version) -> None:
    for _, objects in everything_once():
        for item in objects:
            if item["kind"] not in ELSEWHERE:
                kubernetes_validate.validate(item, version, strict=True)


def test_the_schemas_would_refuse_a_mistake() -> None:
    item = one(installed(), "DaemonSet")
    item["spec"]["template"]["spec"]["hostNetworks"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(item, "1.36", strict=True)


def everything_once():
    return EVERYTHING.args[1]


def test_a_pod_like_this_needs_the_level_privileged_and_the_namespace_has_it() -> None:
    for name in ("read-only", "fix-enabled", "prometheus-operator", "openshift"):
        labels = one(overlay(name), "Namespace")["metadata"]["labels"]
        assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"privileged"}


def test_the_agent_may_do_this_and_nothing_else() -> None:
    rules = one(installed(), "ClusterRole", "kubereach-agent")["rules"]
    allowed = {
        (group, kind, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == {
        ("", "nodes", "get"),
        ("", "pods", "list"),
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
        ("kubereach.dev", "reaches", "get"),
        ("kubereach.dev", "reaches", "create"),
        ("kubereach.dev", "reaches/status", "patch"),
        ("", "events", "create"),
    }


def test_nobody_may_fix_unless_that_was_installed() -> None:
    roles = {item["metadata"]["name"] for item in installed() if item["kind"] == "ClusterRole"}
    assert roles == {"kubereach-agent", "kubereach-viewer"}
    assert one(overlay("fix-enabled"), "ClusterRole", "kubereach-fixer")
    assert [item["metadata"]["name"] for item in overlay("fix-enabled") if item["kind"] == "ClusterRoleBinding"] == [
        "kubereach-agent"
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"fix": {"enabled": "yes"}},
        {"image": {"repository": ""}},
        {"image": {"repository": "r", "tag": "a b"}},
        {"image": {"repository": "r", "digest": "sha256:12"}},
        {"port": 0},
        {"env": {"PATH": "/tmp"}},
        {"hostNetwork": False},
        {"monitoring": {"podMonitor": {"interval": "often"}}},
    ],
)
def test_the_charts_schema_refuses(values) -> None:
    with pytest.raises(ValueError, match=r"(?i)schema|values|valid"):
        chart(values)


def test_the_chart_goes_where_it_is_told() -> None:
    found = chart(rendering.ALL, namespace="elsewhere")
    assert {item["metadata"]["namespace"] for item in found if "namespace" in item["metadata"]} == {"elsewhere"}
    assert one(found, "ClusterRoleBinding")["subjects"][0]["namespace"] == "elsewhere"
    assert container(found)["image"] == "docker.io/kubereach/kubereach@sha256:" + "0" * 64
    assert container(found)["ports"][0]["containerPort"] == 10271
    assert "elsewhere" in one(found, "SecurityContextConstraints")["users"][0]
