"""Which container runtime, network plugin and distribution this node has, as facts with what each was told by.

By what is there to see: processes, the plugin types and names of CNI files, where those files lie, interfaces' names. It
decides nothing of the diagnosis; it tells whose node this is. More than one answer is an answer, too: all are named.
"""

from collections.abc import Iterator, Sequence

from agent.analysis.diagnosis import cni
from agent.model.capture import Node, Processes, TextFile
from agent.model.report import Fact

_RUNTIME_PROCESSES = {"containerd": "containerd", "crio": "CRI-O", "dockerd": "Docker", "cri-dockerd": "Docker"}
_RUNTIME_ENDPOINTS = {
    "crio.sock": "CRI-O",
    "containerd.sock": "containerd",
    "dockershim.sock": "Docker",
    "cri-dockerd.sock": "Docker",
}
_PLUGIN_PROCESSES = {
    "flanneld": "flannel",
    "calico-node": "Calico",
    "calico-felix": "Calico",
    "cilium-agent": "Cilium",
    "weaver": "Weave",
    "kube-router": "kube-router",
    "antrea-agent": "Antrea",
    "kindnetd": "kindnet",
    "ovnkube": "OVN-Kubernetes",
}
# CNI plugin types (the executable's name in a configuration).
_PLUGIN_TYPES = {
    "flannel": "flannel",
    "calico": "Calico",
    "cilium-cni": "Cilium",
    "weave-net": "Weave",
    "antrea": "Antrea",
    "ovn-k8s-cni-overlay": "OVN-Kubernetes",
    "aws-cni": "Amazon VPC CNI",
    "azure-vnet": "Azure CNI",
}
_PLUGIN_FILES = {"kuberouter": "kube-router", "kindnet": "kindnet"}
# Beginnings of interface names.
_PLUGIN_INTERFACES = {
    "flannel": "flannel",
    "cali": "Calico",
    "cilium_": "Cilium",
    "weave": "Weave",
    "kube-bridge": "kube-router",
    "antrea-gw": "Antrea",
}
_DISTRIBUTION_PROCESSES = {
    "k3s": "k3s",
    "k3s-server": "k3s",
    "k3s-agent": "k3s",
    "rke2": "RKE2",
    "kubelite": "MicroK8s",
    "k0s": "k0s",
    "openshift": "OpenShift",
}
_DISTRIBUTION_PATHS = {"/var/lib/rancher/k3s/": "k3s", "/var/lib/rancher/rke2/": "RKE2", "/var/snap/microk8s/": "MicroK8s"}


def recognise(node: Node, processes: Processes, cni_files: Sequence[TextFile]) -> tuple[Fact, ...]:
    """One fact for each thing recognised and each place it was seen in."""
    plugins = list(dict.fromkeys(_plugins(node, processes, cni_files)))
    names = {name for name, _ in plugins}
    if {"flannel", "Calico"} <= names:  # flannel's network with Calico's policies: the two together have a name
        plugins.insert(0, ("Canal", "flannel and Calico together"))
    return (
        *_facts("container runtime", _runtimes(processes)),
        *_facts("network plugin", plugins),
        *_facts("distribution", _distributions(processes, cni_files)),
    )


def _facts(name: str, found: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Iterator[Fact]:
    for value, source in dict.fromkeys(found):
        yield Fact(name=name, value=value, source=source)


def _runtimes(processes: Processes) -> Iterator[tuple[str, str]]:
    for process in processes.processes:
        for argument in process.argv if process.name in ("kubelet", "kubelite") else ():
            name, _, value = argument.partition("=")
            if name == "--container-runtime-endpoint" and (found := _RUNTIME_ENDPOINTS.get(value.rpartition("/")[2])):
                yield found, f"{process.name} {name}"
    names = {process.name for process in processes.processes}
    for name, found in _RUNTIME_PROCESSES.items():
        if name in names and not (name == "containerd" and "dockerd" in names):  # dockerd has a containerd of its own
            yield found, f"process {name}"


def _plugins(node: Node, processes: Processes, cni_files: Sequence[TextFile]) -> Iterator[tuple[str, str]]:
    for file in cni_files:
        for kind in cni.plugin_types(file.text):
            if kind in _PLUGIN_TYPES:
                yield _PLUGIN_TYPES[kind], f"CNI configuration {file.path}"
        for part, name in _PLUGIN_FILES.items():
            if part in file.path.rpartition("/")[2]:
                yield name, f"CNI configuration {file.path}"
    for process in processes.processes:
        if process.name in _PLUGIN_PROCESSES:
            yield _PLUGIN_PROCESSES[process.name], f"process {process.name}"
    for interface in node.interfaces:
        for beginning, name in _PLUGIN_INTERFACES.items():
            if interface.name.startswith(beginning):
                shown = beginning + "..." if name == "Calico" else interface.name  # one for each pod
                yield name, f"interface {shown}"


def _distributions(processes: Processes, cni_files: Sequence[TextFile]) -> Iterator[tuple[str, str]]:
    for process in processes.processes:
        if process.name in _DISTRIBUTION_PROCESSES:
            yield _DISTRIBUTION_PROCESSES[process.name], f"process {process.name}"
        for beginning, name in _DISTRIBUTION_PATHS.items():
            if any(beginning in argument for argument in process.argv):
                yield name, f"paths in the arguments of {process.name}"
    for file in cni_files:
        for beginning, name in _DISTRIBUTION_PATHS.items():
            if file.path.startswith(beginning):
                yield name, f"CNI configuration {file.path}"
