"""What a cluster would be given: files as they stand, overlays by kubectl, the chart by Helm."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "daemonset"
OVERLAYS = ("read-only", "fix-enabled", "prometheus-operator", "openshift")
Object = dict[str, Any]


def objects(text: str) -> list[Object]:
    return [item for item in yaml.safe_load_all(text) if item]


def installed() -> list[Object]:
    return objects((MANIFESTS / "install.yaml").read_text())


def overlay(name: str) -> list[Object]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(MANIFESTS / "overlays" / name)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower(), done.stderr
    return objects(done.stdout)


def chart(values: Object | None = None, namespace: str = "kubereach") -> list[Object]:
    """The chart's objects without its CRD and NOTES, by the helm command or, where there is none, by its library."""
    if shutil.which("helm"):
        argv = ["helm", "template", "kubereach", str(MANIFESTS / "chart"), "--namespace", namespace, "--values", "-"]
        done = subprocess.run(argv, input=yaml.safe_dump(values or {}), capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise ValueError(done.stderr)
        return objects(done.stdout)
    import helm_python

    try:
        rendered = helm_python.Chart.load(MANIFESTS / "chart").render(values or {}, name="kubereach", namespace=namespace)
    except helm_python.HelmError as error:
        raise ValueError(str(error)) from error
    return [item for path, text in rendered.items() if path.endswith(".yaml") for item in objects(text)]


def one(found: list[Object], kind: str, name: str = "") -> Object:
    (item,) = [item for item in found if item["kind"] == kind and name in ("", item["metadata"]["name"])]
    return item


def container(found: list[Object]) -> Object:
    (item,) = one(found, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    return item


def everything() -> Iterator[tuple[str, list[Object]]]:
    yield "install.yaml", installed()
    for name in OVERLAYS:
        yield f"overlay {name}", overlay(name)
    yield "chart", chart()
    yield "chart with all", chart(ALL)


ALL: Object = {
    "fix": {"enabled": True},
    "openshift": {"enabled": True},
    "monitoring": {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}},
    "image": {"digest": "sha256:" + "0" * 64},
    "env": {"KUBEREACH_KUBELET_PORT": 10250},
    "podLabels": {"team": "sre"},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount": {"annotations": {"a": "b"}},
    "port": 10271,
}
