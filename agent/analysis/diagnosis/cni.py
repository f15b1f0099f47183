"""CNI configurations: which files there are, which plugins they name, which subnets host-local IPAM hands out."""

import json
from collections.abc import Iterator
from typing import Any

from agent.model.capture import Node, Processes, TextFile


def files(node: Node, processes: Processes) -> tuple[TextFile, ...]:
    """What the runtime reads, and what is in the directories that were named, each file once."""
    return tuple({file.path: file for file in (*node.cni_files, *processes.cni_files)}.values())


def subnets(text: str) -> list[str]:
    """Subnets of host-local IPAM in a CNI configuration (plugins/ipam/host-local: `subnet` or `ranges[][].subnet`)."""
    try:
        config = json.loads(text)
    except ValueError:
        return []
    return [subnet for ipam in _ipams(config) for subnet in _subnets(ipam)]


def _ipams(config: Any) -> Iterator[dict[str, Any]]:
    plugins = config.get("plugins", [config]) if isinstance(config, dict) else []
    for plugin in plugins if isinstance(plugins, list) else []:
        if isinstance(plugin, dict) and isinstance(ipam := plugin.get("ipam"), dict):
            yield ipam


def _subnets(ipam: dict[str, Any]) -> Iterator[str]:
    ranges = ipam.get("ranges", [])
    groups = [[ipam], *(ranges if isinstance(ranges, list) else [])]
    for group in groups:
        for entry in group if isinstance(group, list) else []:
            if isinstance(entry, dict) and isinstance(subnet := entry.get("subnet"), str):
                yield subnet


def plugin_types(text: str) -> Iterator[str]:
    """The plugin types of a CNI configuration, delegates of a meta-plugin (multus) included."""
    try:
        config: Any = json.loads(text)
    except ValueError:
        return
    pending = [config]
    while pending:
        item = pending.pop()
        if not isinstance(item, dict):
            continue
        if isinstance(kind := item.get("type"), str):
            yield kind
        for key in ("plugins", "delegates"):
            pending += nested if isinstance(nested := item.get(key), list) else []
