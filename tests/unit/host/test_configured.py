"""agent.host.configured: files as the processes see them, and nothing but the values that are wanted."""

import json
import os
from pathlib import Path

import pytest

from agent.host.configured import read
from agent.model.capture import Configured, Process, TextFile

CONTAINERD = """
version = 2
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "/opt/cni"
[plugins."io.containerd.grpc.v1.cri".registry.configs."r".auth]
password = "hunter2"
"""
KUBELET = "kind: KubeletConfiguration\naddress: 0.0.0.0\nport: 10260\nauthentication:\n  port: 1\npodCIDR: 10.9.1.0/24 # ours\n"
WHO_MAY_ASK = """kind: KubeletConfiguration
authentication:
  anonymous: 7
  webhook: {enabled: false}
authorization:
  mode: Webhook
serverTLSBootstrap: true
readOnlyPort: 0
staticPodURLHeader:
  Authorization: [Bearer secret]
"""


def seen(proc: Path, pid: int, path: str, text: str) -> None:
    file = proc / str(pid) / "root" / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_kubelets_file_in_yaml(tmp_path: Path) -> None:
    seen(tmp_path, 7, "/var/lib/kubelet/config.yaml", KUBELET)
    values, _, problem = read(
        [Process(pid=7, name="kubelet", argv=("kubelet", "--config=/var/lib/kubelet/config.yaml"))], tmp_path
    )
    assert [(item.key, item.value) for item in values] == [
        ("address", "0.0.0.0"),
        ("port", "10260"),
        ("podCIDR", "10.9.1.0/24"),
    ]
    assert not problem


def test_who_may_ask_the_kubelet_is_kept_and_its_secrets_are_not(tmp_path: Path) -> None:
    seen(tmp_path, 7, "/k.yaml", WHO_MAY_ASK)
    values, _, _ = read([Process(pid=7, name="kubelet", argv=("kubelet", "--config=/k.yaml"))], tmp_path)
    assert [(item.key, item.value) for item in values] == [
        ("readOnlyPort", "0"),
        ("serverTLSBootstrap", "true"),
        ("authentication.webhook.enabled", "false"),
        ("authorization.mode", "Webhook"),
    ]


def test_a_kubelets_file_that_is_no_yaml_is_a_problem_that_quotes_nothing(tmp_path: Path) -> None:
    seen(tmp_path, 7, "/k.yaml", "staticPodURLHeader: [secret\n")
    values, _, problem = read([Process(pid=7, name="kubelet", argv=("kubelet", "--config=/k.yaml"))], tmp_path)
    assert (values, problem) == ((), "/k.yaml of kubelet is not understood: it is no YAML")


@pytest.mark.parametrize("text", [json.dumps({"port": 10260, "staticPodURLHeader": {"t": ["s"]}}), '{"port": "10260"}'])
def test_the_kubelets_file_in_json(tmp_path: Path, text: str) -> None:
    seen(tmp_path, 7, "/k.json", text)
    values, _, _ = read([Process(pid=7, name="kubelet", argv=("kubelet", "--config", "/k.json"))], tmp_path)
    assert values == (Configured(program="kubelet", path="/k.json", key="port", value="10260"),)


def test_the_runtime_tells_where_its_cni_files_are_and_keeps_its_secrets(tmp_path: Path) -> None:
    seen(tmp_path, 8, "/etc/c.toml", CONTAINERD)
    seen(tmp_path, 8, "/opt/cni/10-x.conflist", "{}")
    seen(tmp_path, 8, "/etc/cni/net.d/10-not-read.conf", "{}")
    values, files, _ = read([Process(pid=8, name="containerd", argv=("containerd", "-c", "/etc/c.toml"))], tmp_path)
    assert values == (Configured(program="containerd", path="/etc/c.toml", key="conf_dir", value="/opt/cni"),)
    assert files == (TextFile(path="/opt/cni/10-x.conflist", text="{}"),)


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("crio", "/etc/cni/net.d"),
        ("k3s-agent", "/var/lib/rancher/k3s/agent/etc/cni/net.d"),
        ("kubelite", "/var/snap/microk8s/current/args/cni-network"),
    ],
)
def test_where_nobody_told_a_runtime_it_is_the_usual_place(tmp_path: Path, name: str, directory: str) -> None:
    seen(tmp_path, 9, f"{directory}/10-x.conf", "{}")
    _, files, _ = read([Process(pid=9, name=name)], tmp_path)
    assert [file.path for file in files] == [f"{directory}/10-x.conf"]


def test_cri_os_own_key(tmp_path: Path) -> None:
    seen(tmp_path, 9, "/etc/crio/crio.conf", '[crio.network]\nnetwork_dir = "/etc/kubernetes/cni/net.d"\n')
    seen(tmp_path, 9, "/etc/kubernetes/cni/net.d/00-multus.conf", "{}")
    values, files, _ = read([Process(pid=9, name="crio")], tmp_path)
    assert (values[0].value, files[0].path) == ("/etc/kubernetes/cni/net.d", "/etc/kubernetes/cni/net.d/00-multus.conf")


@pytest.mark.parametrize("text", ["not toml [", "[plugins]\nx = 1", "crio = 1", "x" * 300_000, ""])
def test_a_file_that_is_something_else_tells_nothing(tmp_path: Path, text: str) -> None:
    seen(tmp_path, 8, "/etc/containerd/config.toml", text)
    values, _, problem = read([Process(pid=8, name="containerd")], tmp_path)
    assert values == ()
    assert ("larger" in problem) is (len(text) > 1000)


def test_a_process_that_ended_is_no_problem(tmp_path: Path) -> None:
    assert read([Process(pid=1, name="containerd"), Process(pid=2, name="kubelet", argv=("--config=/x",))], tmp_path) == (
        (),
        (),
        "",
    )


def test_a_link_leads_where_it_leads_the_process(tmp_path: Path) -> None:
    """As on distributions whose /etc is made of absolute links: seen from a container these led past the node's files."""
    seen(tmp_path, 8, "/store/config.toml", CONTAINERD)
    seen(tmp_path, 8, "/store/net.d/10-x.conflist", "{}")
    for name, target in (("etc/containerd/config.toml", "/store/config.toml"), ("opt/cni", "/store/net.d")):
        link = tmp_path / "8/root" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    values, files, problem = read([Process(pid=8, name="containerd")], tmp_path)
    assert ([item.value for item in values], [file.path for file in files]) == (["/opt/cni"], ["/opt/cni/10-x.conflist"])
    assert not problem


def test_what_pretends_to_be_a_kubelet_reads_nothing_of_ours_and_holds_nobody(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(KUBELET)
    (tmp_path / "7/root").mkdir(parents=True)
    (tmp_path / "7/root/linked.yaml").symlink_to(tmp_path / "ours.yaml")
    os.mkfifo(tmp_path / "7/root/fifo")
    for path in ("/linked.yaml", "/fifo", "/../../ours.yaml"):
        assert read([Process(pid=7, name="kubelet", argv=("kubelet", f"--config={path}"))], tmp_path) == ((), (), "")
