"""What the kubelet and the container runtime were told in files, as those processes see them: inside their own root.

So it works from inside a container that shares the node's processes, without one mount for each distribution's directory. Only
the values that are named here leave a file: such files hold registries' passwords.
"""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from agent.host.rooted import names_inside, read_inside, root_of
from agent.model.capture import Configured, Process, TextFile

# The kubelet's own keys (kubelet.config.k8s.io/v1beta1 KubeletConfiguration) that say something about the way to it, and about
# who may ask it.
_KUBELET_KEYS = (
    *("address", "port", "podCIDR", "readOnlyPort", "serverTLSBootstrap"),
    *("authentication.anonymous.enabled", "authentication.webhook.enabled", "authorization.mode"),
)
_DEFAULT_FILES = {"containerd": "/etc/containerd/config.toml", "crio": "/etc/crio/crio.conf"}
_FILE_FLAGS = {"kubelet": ("--config",), "containerd": ("--config", "-c"), "crio": ("--config", "-c")}
# Where runtimes look when nobody told them otherwise, and where distributions tell theirs to look.
_CNI_DIRECTORIES = {
    "": "/etc/cni/net.d",
    "k3s": "/var/lib/rancher/k3s/agent/etc/cni/net.d",
    "rke2": "/var/lib/rancher/rke2/agent/etc/cni/net.d",
    "kubelite": "/var/snap/microk8s/current/args/cni-network",
}
_RUNTIMES = ("containerd", "crio", "dockerd", "cri-dockerd", "k3s", "k3s-server", "k3s-agent", "rke2", "kubelite", "kubelet")
_CNI_SUFFIXES = (".conf", ".conflist", ".json")
# The largest such file seen in the field is 9 KB; beyond this it is something else.
_FILE_LIMIT = 256 * 1024


def read(processes: Iterable[Process], proc: Path = Path("/proc")) -> tuple[tuple[Configured, ...], tuple[TextFile, ...], str]:
    """The values, the CNI configuration files of the runtimes' directories, and what could not be read (a sentence)."""
    values: list[Configured] = []
    files: dict[str, TextFile] = {}
    problems: list[str] = []
    known = list(processes)
    for process in known:
        path = _configuration_file(process)
        if path:
            text = _text(proc, process, path, problems)
            try:
                found = list(_values(process, text))
            except ValueError as error:
                problems.append(f"{path} of {process.name} is not understood: {error}")
                continue
            values += [Configured(program=process.name, path=path, key=key, value=value) for key, value in found]
    for process in known:
        if process.name in _RUNTIMES:
            for directory in _cni_directories(process, values):
                for file in _cni_files(proc, process, directory, problems):
                    files.setdefault(file.path, file)
    return tuple(values), tuple(files.values()), "; ".join(dict.fromkeys(problems))


def _configuration_file(process: Process) -> str:
    for flag in _FILE_FLAGS.get(process.name, ()):
        for index, argument in enumerate(process.argv):
            if argument == flag and index + 1 < len(process.argv):
                return process.argv[index + 1]
            if argument.startswith(f"{flag}="):
                return argument.partition("=")[2]
    return _DEFAULT_FILES.get(process.name, "")


def _values(process: Process, text: str) -> Iterator[tuple[str, str]]:
    if process.name == "kubelet":
        yield from _kubelet_values(text)
    elif text:
        yield from _runtime_values(text)


def _kubelet_values(text: str) -> Iterator[tuple[str, str]]:
    """The keys that have one value, a switch as `true` or `false`. JSON is YAML, too. Raises `ValueError` for neither."""
    try:
        found: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        # The parser quotes the line that it stumbled over, which may be a secret's.
        raise ValueError("it is no YAML") from None
    for key in _KUBELET_KEYS:
        value = found
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, bool):
            yield key, str(value).lower()
        elif isinstance(value, (str, int)) and value != "":
            yield key, str(value)


def _runtime_values(text: str) -> Iterator[tuple[str, str]]:
    """containerd's `[plugins.<its CRI>.cni] conf_dir` and CRI-O's `[crio.network] network_dir`."""
    try:
        found = tomllib.loads(text)
    except ValueError:
        return
    plugins = found.get("plugins", {})
    for plugin in plugins.values() if isinstance(plugins, dict) else ():
        cni = plugin.get("cni", {}) if isinstance(plugin, dict) else {}
        if isinstance(cni, dict) and isinstance(directory := cni.get("conf_dir"), str) and directory:
            yield "conf_dir", directory
    network = found.get("crio", {}).get("network", {}) if isinstance(found.get("crio"), dict) else {}
    if isinstance(network, dict) and isinstance(directory := network.get("network_dir"), str) and directory:
        yield "network_dir", directory


def _cni_directories(process: Process, values: Iterable[Configured]) -> Iterator[str]:
    told = [item.value for item in values if item.program == process.name and item.key in ("conf_dir", "network_dir")]
    yield from told or [_CNI_DIRECTORIES.get(process.name.removesuffix("-server").removesuffix("-agent"), _CNI_DIRECTORIES[""])]


def _cni_files(proc: Path, process: Process, directory: str, problems: list[str]) -> Iterator[TextFile]:
    try:
        with root_of(proc / str(process.pid)) as root:
            names = [name for name in names_inside(root, directory) if name.endswith(_CNI_SUFFIXES)]
    except FileNotFoundError:
        return  # it ended while we look
    except OSError as error:
        problems.append(f"{directory} of {process.name} cannot be listed: {error.strerror}")
        return
    for name in names:
        path = f"{directory}/{name}"
        text = _text(proc, process, path, problems)
        if text:
            yield TextFile(path=path, text=text)


def _text(proc: Path, process: Process, path: str, problems: list[str]) -> str:
    try:
        with root_of(proc / str(process.pid)) as root:
            data = read_inside(root, path, _FILE_LIMIT + 1) or b""
    except FileNotFoundError:
        return ""
    except OSError as error:
        problems.append(f"{path} of {process.name} cannot be read: {error.strerror}")
        return ""
    if len(data) > _FILE_LIMIT:
        problems.append(f"{path} of {process.name} is larger than {_FILE_LIMIT} bytes")
        return ""
    return data.decode("utf-8", "surrogateescape")
