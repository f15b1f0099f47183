"""This node, as the Kubernetes API knows it: one object is asked for.

Outside a cluster there is nothing to ask, and that is no problem: everything else is found out on the node.
"""

from pathlib import Path
from typing import Any

from agent.cluster.connection import SERVICE_ACCOUNT, configuration, node_name
from agent.model.capture import NodeObject

# Somebody waits; an API server that needs longer for one object is itself in trouble.
TIMEOUT = 2.0


def read_node(name: str = "") -> NodeObject | None:
    """The Node object, or None where no cluster is configured (neither a service account nor KUBECONFIG).

    Whatever goes wrong becomes a sentence in `problem`; nothing is raised.
    """
    source = configuration()
    if source is None:
        return None
    wanted = node_name(name)
    try:
        return _ask(source, wanted)
    except Exception as error:  # noqa: BLE001 - the client raises its transport's errors too, whichever httpx that is; none is lost
        return NodeObject(name=name, problem=_sentence(wanted, error))


def _ask(source: Path, name: str) -> NodeObject:
    # Imported here: a quarter of a second and 15 MiB that a node outside any cluster need not pay.
    from lightkube import Client  # noqa: PLC0415
    from lightkube.resources.core_v1 import Node  # noqa: PLC0415

    timeout: Any = TIMEOUT  # a number is as good as the transport's own type, which differs between versions
    return _node_object(Client(load(source), timeout=timeout).get(Node, name))


def load(source: Path) -> Any:
    """The client's configuration from what `configuration` found. Raises what reading it raises."""
    from lightkube import KubeConfig  # noqa: PLC0415

    return KubeConfig.from_service_account(source) if source == SERVICE_ACCOUNT else KubeConfig.from_file(source)


def _node_object(node: Any) -> NodeObject:
    spec, status = node.spec, node.status
    cidrs = (spec.podCIDRs or ([spec.podCIDR] if spec.podCIDR else [])) if spec else []
    endpoint = status.daemonEndpoints.kubeletEndpoint if status and status.daemonEndpoints else None
    return NodeObject(
        name=node.metadata.name,
        addresses=tuple((address.type, address.address) for address in (status.addresses if status else None) or []),
        pod_cidrs=tuple(cidrs),
        kubelet_port=endpoint.Port if endpoint else None,
    )


def _sentence(name: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 404:
        return f"the cluster has no node {name}: give the node's name with --node-name or NODE_NAME."
    if status in (401, 403):
        return f"reading node {name} was refused with HTTP {status}: allow `get` on nodes to this service account or user."
    detail = " ".join(str(error).split()) or "no reason was given"
    return f"node {name} could not be read from the Kubernetes API ({type(error).__name__}: {detail})."
