"""agent.analysis.diagnosis.recognise: whose node this is, told by what is there to see."""

import json

import pytest

from agent.analysis.diagnosis.recognise import recognise
from agent.model.capture import Interface, Node, Process, Processes, TextFile

NODE = Node(hostname="n")


def names(found, kind):
    return [fact.value for fact in found if fact.name == kind]


def running(*processes: str) -> Processes:
    words = (text.split() for text in processes)
    return Processes(processes=tuple(Process(pid=n, name=argv[0], argv=tuple(argv)) for n, argv in enumerate(words, 1)))


def conf(name: str, *types: str, directory: str = "/etc/cni/net.d") -> TextFile:
    return TextFile(path=f"{directory}/{name}", text=json.dumps({"plugins": [{"type": kind} for kind in types]}))


@pytest.mark.parametrize(
    ("processes", "runtime"),
    [
        (running("containerd"), ["containerd"]),
        (running("crio"), ["CRI-O"]),
        (running("dockerd", "containerd"), ["Docker"]),
        (running("kubelet --container-runtime-endpoint=unix:///run/containerd/containerd.sock"), ["containerd"]),
        (running("kubelet --container-runtime-endpoint=unix:///var/run/crio/crio.sock"), ["CRI-O"]),
        (running("kubelet"), []),
    ],
)
def test_container_runtimes(processes, runtime) -> None:
    assert names(recognise(NODE, processes, ()), "container runtime") == runtime


@pytest.mark.parametrize(
    ("file", "plugin"),
    [
        (conf("10-flannel.conflist", "flannel", "portmap"), ["flannel"]),
        (conf("10-calico.conflist", "calico", "bandwidth"), ["Calico"]),
        (conf("05-cilium.conflist", "cilium-cni"), ["Cilium"]),
        (conf("10-weave.conflist", "weave-net"), ["Weave"]),
        (conf("10-kuberouter.conflist", "bridge"), ["kube-router"]),
        (conf("10-bridge.conflist", "bridge"), []),
        (TextFile(path="/etc/cni/net.d/x.conf", text="{"), []),
        (TextFile(path="/etc/cni/net.d/x.conf", text='[{"type": "calico"}]'), []),
        (TextFile(path="/etc/cni/net.d/00-multus.conf", text='{"type":"multus","delegates":[{"type":"calico"}]}'), ["Calico"]),
    ],
)
def test_plugins_by_their_cni_file(file, plugin) -> None:
    assert names(recognise(NODE, Processes(), (file,)), "network plugin") == plugin


@pytest.mark.parametrize(
    ("processes", "plugin"),
    [
        ("flanneld", "flannel"),
        ("calico-node", "Calico"),
        ("cilium-agent", "Cilium"),
        ("weaver", "Weave"),
        ("kube-router", "kube-router"),
    ],
)
def test_plugins_by_their_process(processes, plugin) -> None:
    assert names(recognise(NODE, running(processes), ()), "network plugin") == [plugin]


def test_flannel_with_calico_is_canal() -> None:
    found = recognise(NODE, running("flanneld", "calico-node"), (conf("10-canal.conflist", "calico"),))
    assert names(found, "network plugin")[0] == "Canal"
    assert {"flannel", "Calico"} <= set(names(found, "network plugin"))


@pytest.mark.parametrize(
    ("processes", "files", "distribution"),
    [
        (running("k3s-server"), (), "k3s"),
        (running("containerd -c /var/lib/rancher/k3s/agent/etc/containerd/config.toml"), (), "k3s"),
        (running("kubelet --config-dir=/var/lib/rancher/rke2/agent/etc"), (), "RKE2"),
        (running("kubelite"), (), "MicroK8s"),
        (running(), (conf("cni.conf", "calico", directory="/var/snap/microk8s/current/args/cni-network"),), "MicroK8s"),
    ],
)
def test_distributions(processes, files, distribution) -> None:
    assert set(names(recognise(NODE, processes, files), "distribution")) == {distribution}


def test_an_interface_tells_too_and_says_so_once() -> None:
    node = Node(hostname="n", interfaces=(Interface(index=3, name="cali12"), Interface(index=4, name="cali34")))
    assert [(fact.value, fact.source) for fact in recognise(node, Processes(), ())] == [("Calico", "interface cali...")]
