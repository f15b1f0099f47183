"""The node's own CNI: its first network configuration, and its plugins run as a container runtime runs them.

CNI specification 1.0, sections 1 (configuration), 2 (the plugins' protocol: environment, stdin, stdout) and 3 (ADD in order
with the result so far, DEL in reverse order).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.host import command

_SUFFIXES = (".conf", ".conflist", ".json")
_FILE_LIMIT = 256 * 1024
# A plugin that asks the API server takes a second; one that takes longer than this is stuck.
_SECONDS = 8.0
INTERFACE = "eth0"


class CniError(Exception):
    """A plugin did not do its work, or there is none; the message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network configuration: its plugins in order, and where their programs are."""

    path: str
    name: str
    version: str
    plugins: tuple[dict[str, Any], ...]
    bins: tuple[str, ...]

    @property
    def words(self) -> str:
        """For people: `CNI network cbr0 (bridge, portmap)`."""
        return f"CNI network {self.name} ({', '.join(str(plugin['type']) for plugin in self.plugins)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """A container's attachment to a network; `netns` is a path, empty where the namespace is gone."""

    network: Network
    container: str
    netns: str


def find_network(directories: Sequence[str], bins: Sequence[str]) -> Network:
    """The configuration that a container runtime takes: the first by name that is one. Raises `CniError`."""
    for directory in directories:
        try:
            paths = sorted(path for path in Path(directory).iterdir() if path.suffix in _SUFFIXES)
        except OSError:
            continue  # a directory that nobody made holds no configuration
        for path in paths:
            network = _network(path, bins)
            if network is not None:
                _must_have(network)
                return network
    raise CniError(f"no CNI configuration in {', '.join(directories) or 'any directory'}")


def add(joint: Joint, note: Callable[[dict[str, Any]], None]) -> None:
    """Runs every plugin's ADD; `note` hears of each result. Raises `CniError`, after which DEL is due as after a success."""
    result: dict[str, Any] = {}
    for plugin in joint.network.plugins:
        said = _run(joint, plugin, "ADD", result)
        try:
            result = json.loads(said) if said.strip() else result
        except ValueError as error:
            raise CniError(f"the CNI plugin {plugin['type']} answered what is no JSON: {error}") from error
        note(result)


def delete(joint: Joint, result: dict[str, Any]) -> None:
    """Runs every plugin's DEL, the last one's first, each in any case. Raises `CniError` with all that failed."""
    failed = []
    for plugin in reversed(joint.network.plugins):
        try:
            _run(joint, plugin, "DEL", result)
        except CniError as error:
            failed.append(str(error))
    if failed:
        raise CniError("; ".join(failed))


def _network(path: Path, bins: Sequence[str]) -> Network | None:
    try:
        with path.open("rb") as file:
            config = json.loads(file.read(_FILE_LIMIT))
    except (OSError, ValueError):
        return None  # a runtime skips it, too
    plugins = config.get("plugins", [config]) if isinstance(config, dict) else []
    if not isinstance(plugins, list) or not plugins or not all(_is_plugin(plugin) for plugin in plugins):
        return None
    version = config.get("cniVersion", "0.2.0")
    return Network(
        path=str(path), name=str(config.get("name", "")), version=str(version), plugins=tuple(plugins), bins=tuple(bins)
    )


def _is_plugin(plugin: Any) -> bool:
    name = plugin.get("type") if isinstance(plugin, dict) else None
    return isinstance(name, str) and bool(name) and "/" not in name and name not in (".", "..")


def _must_have(network: Network) -> None:
    missing = [plugin["type"] for plugin in network.plugins if _program(network, plugin["type"]) is None]
    if missing:
        raise CniError(f"the CNI plugin {', '.join(missing)} of {network.path} is not in {', '.join(network.bins)}")


def _program(network: Network, name: str) -> str | None:
    return next((str(path) for place in network.bins if (path := Path(place) / name).is_file()), None)


def _run(joint: Joint, plugin: dict[str, Any], operation: str, result: dict[str, Any]) -> bytes:
    network = joint.network
    program = _program(network, plugin["type"])
    if program is None:
        raise CniError(f"the CNI plugin {plugin['type']} is not installed any more")
    # `capabilities` says what a runtime may pass on (ports, bandwidth): we pass nothing on.
    config = {key: value for key, value in plugin.items() if key != "capabilities"}
    config |= {"cniVersion": network.version, "name": network.name}
    if result:
        config["prevResult"] = result
    pod = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": "kubereach",
        "K8S_POD_NAME": joint.container,
        "K8S_POD_INFRA_CONTAINER_ID": joint.container,
    }
    environment = {
        "CNI_COMMAND": operation,
        "CNI_CONTAINERID": joint.container,
        "CNI_NETNS": joint.netns,
        "CNI_IFNAME": INTERFACE,
        "CNI_PATH": ":".join(network.bins),
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in pod.items()),
    }
    done = command.run((program,), json.dumps(config).encode(), _SECONDS, environment)
    if done.status != 0:
        raise CniError(f"the CNI plugin {plugin['type']} failed at {operation}: {done.problem or _words(done)}")
    return done.stdout


def _words(done: command.Completed) -> str:
    """An error's `msg` and `details` (specification, section 5), else what the plugin printed."""
    try:
        said = json.loads(done.stdout)
        text = " ".join(str(said[key]) for key in ("msg", "details") if said.get(key))
    except (ValueError, AttributeError):
        text = ""
    plain = text or (done.stderr or done.stdout).decode("utf-8", "replace")
    return " ".join(plain.split())[:300] or f"exit code {done.status}"
