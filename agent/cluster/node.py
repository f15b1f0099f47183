"""This node, as the Kubernetes API knows it: one object is asked for, and its pods.

Outside a cluster there is nothing to ask, and that is no problem: everything else is found out on the node.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from agent.cluster.connection import SERVICE_ACCOUNT, configuration, node_name
from agent.model.capture import NodeObject, PodObject

# A kubelet runs at most 110 pods unless told otherwise, and one pod is enough to try the way.
MOST_PODS = 250
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
    from lightkube.resources.core_v1 import Node, Pod  # noqa: PLC0415

    timeout: Any = TIMEOUT  # a number is as good as the transport's own type, which differs between versions
    client = Client(load(source), timeout=timeout)
    node = client.get(Node, name)
    # This node's own pods and no others: the API server answers from its index, and no list of the cluster is ever asked for.
    fields: Any = {"spec.nodeName": name, "status.phase": "Running"}
    try:
        pods = client.list(Pod, namespace="*", fields=fields, chunk_size=MOST_PODS)
        return _node_object(node, tuple(_pod_objects(islice(pods, MOST_PODS))))
    except Exception as error:  # noqa: BLE001 - as in read_node; the node itself is known, and its pods are found on it too
        return replace(_node_object(node, ()), problem=_pods_sentence(name, error))


def load(source: Path) -> Any:
    """The client's configuration from what `configuration` found. Raises what reading it raises."""
    from lightkube import KubeConfig  # noqa: PLC0415

    return KubeConfig.from_service_account(source) if source == SERVICE_ACCOUNT else KubeConfig.from_file(source)


def _pod_objects(pods: Iterable[Any]) -> Iterator[PodObject]:
    for pod in pods:
        addresses = tuple(item.ip for item in pod.status.podIPs or () if item.ip) if pod.status else ()
        if addresses and not pod.spec.hostNetwork:
            yield PodObject(namespace=pod.metadata.namespace, name=pod.metadata.name, addresses=addresses)


def _node_object(node: Any, pods: tuple[PodObject, ...]) -> NodeObject:
    spec, status = node.spec, node.status
    cidrs = (spec.podCIDRs or ([spec.podCIDR] if spec.podCIDR else [])) if spec else []
    endpoint = status.daemonEndpoints.kubeletEndpoint if status and status.daemonEndpoints else None
    return NodeObject(
        name=node.metadata.name,
        addresses=tuple((address.type, address.address) for address in (status.addresses if status else None) or []),
        pod_cidrs=tuple(cidrs),
        kubelet_port=endpoint.Port if endpoint else None,
        pods=pods,
    )


def _pods_sentence(name: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"listing the pods of node {name} was refused with HTTP {status}: allow `list` on pods to this service account."
    detail = " ".join(str(error).split()) or "no reason was given"
    return f"the pods of node {name} could not be listed ({type(error).__name__}: {detail})."


def _sentence(name: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 404:
        return f"the cluster has no node {name}: give the node's name with --node-name or NODE_NAME."
    if status in (401, 403):
        return f"reading node {name} was refused with HTTP {status}: allow `get` on nodes to this service account or user."
    detail = " ".join(str(error).split()) or "no reason was given"
    return f"node {name} could not be read from the Kubernetes API ({type(error).__name__}: {detail})."
