"""Each node's agent asked itself: a `curl` at its Unix socket, run in its container by the API's own `exec`.

Not by HTTPS to the node: nobody signs the certificate that an agent makes at its start, so whoever answers at that port would
be handed the caller's token, and in the incident the port is as closed as the kubelet's. Not by the API server's proxy to pods
(`pods/proxy`): it looks at no certificate, and it takes the caller's token off on the way (kubernetes/kubernetes
staging/src/k8s.io/apiserver/pkg/endpoints/filters/authentication.go). An exec goes where `kubectl exec` goes: the caller
verifies the API server, which names the pod to its kubelet, and the socket needs neither certificate nor token.

The right to it is a great one, root on the node, because the container has that. It gives nothing new: who has it may run any
command there, and we run two, a GET and the wish for a new look.
"""

import json
from typing import Any

from agent.cluster.connection import ClusterError, Connection
from agent.model.codec import CodecError, from_plain
from agent.model.fleet import AgentPod
from agent.model.reach import Reach

# Pods of one namespace only, and of a DaemonSet: anybody who may make a pod somewhere can give it these labels.
_LABELS = {"app.kubernetes.io/name": "kubereach", "app.kubernetes.io/component": "agent"}
_CONTAINER, _SOCKET, _ORIGIN = "kubereach", "/run/kubereach/kubereach.sock", "http://localhost"
# As daemonset/base/crd.yaml limits its parts an answer is at most about 200 KiB.
_LIMIT = 1024 * 1024
_CHUNK = 500  # as kubectl asks for lists
# curl's own: the answer's status was 400 or more (curl(1), EXIT CODES).
_REFUSED = 22


class Agents:
    """The agents of one namespace. `ask` may be called from several threads at once."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection, self._namespace = connection, namespace

    def nodes(self) -> tuple[str, ...]:
        """The names of all nodes, in order. Raises `ClusterError`."""
        from lightkube.resources.core_v1 import Node  # noqa: PLC0415 - see agent.cluster.node

        return tuple(sorted(node.metadata.name for node in self._connection.list(Node, _CHUNK)))

    def pods(self, node: str = "") -> dict[str, AgentPod]:
        """The agents' pods by node, of one node or of all; those that are being deleted do not count. Raises `ClusterError`."""
        from lightkube.resources.core_v1 import Pod  # noqa: PLC0415 - see agent.cluster.node

        fields = {"spec.nodeName": node} if node else {}
        pods = self._connection.list(Pod, _CHUNK, namespace=self._namespace, labels=_LABELS, fields=fields)
        found = [_agent(pod) for pod in pods if _counts(pod)]
        return {each.node: each for each in sorted(found, key=lambda each: each.phase == "Running")}

    def ask(self, pod: AgentPod, patience: float, *, fresh: bool = False) -> Reach:
        """The agent's answer, at most ten seconds old; with `fresh` of a look that begins now. Raises `ClusterError`.

        `patience` is for the whole of it, in seconds.
        """
        if pod.phase != "Running":
            raise ClusterError(f"its agent {pod.namespace}/{pod.name} is not running ({pod.phase or 'no phase'}).")
        argv = _argv(patience, fresh=fresh)
        ran = self._connection.run(pod.name, pod.namespace, _CONTAINER, argv, timeout=patience, limit=_LIMIT)
        if ran.status:
            raise ClusterError(
                f"its agent {pod.namespace}/{pod.name} gave no answer: {_why(ran.status, ran.stdout, ran.stderr)}"
            )
        try:
            found = from_plain(Reach, json.loads(ran.stdout))
        except (CodecError, ValueError) as error:
            raise ClusterError(f"its agent {pod.namespace}/{pod.name} answered what is not understood: {error}") from error
        if found.node != pod.node:
            raise ClusterError(f"the agent in {pod.namespace}/{pod.name} speaks of another node, {found.node}.")
        return found


def _argv(patience: float, *, fresh: bool) -> tuple[str, ...]:
    common = ("--silent", "--show-error", "--fail-with-body", "--max-time", f"{patience:.0f}", "--unix-socket", _SOCKET)
    look = (*common, "--request", "POST", "--output", "/dev/null", f"{_ORIGIN}/v1/diagnoses", "--next") if fresh else ()
    return ("curl", "--fail-early", *look, *common, f"{_ORIGIN}/v1/reach")


def _counts(pod: Any) -> bool:
    owners = pod.metadata.ownerReferences or ()
    ours = any(owner.controller and owner.kind == "DaemonSet" for owner in owners)
    return bool(ours and pod.spec.nodeName and not pod.metadata.deletionTimestamp)


def _agent(pod: Any) -> AgentPod:
    phase = pod.status.phase if pod.status else ""
    return AgentPod(node=pod.spec.nodeName, namespace=pod.metadata.namespace, name=pod.metadata.name, phase=phase or "")


def _why(status: int, stdout: bytes, stderr: bytes) -> str:
    """The agent's own sentence where it gave one, else curl's."""
    if status == _REFUSED:
        try:
            problem = json.loads(stdout)
        except ValueError:
            problem = None  # a look that failed went to /dev/null with its sentence; curl names the status
        if isinstance(problem, dict) and isinstance(problem.get("detail"), str):
            return str(problem["detail"])
    lines = stderr.decode(errors="backslashreplace").split("\n")
    return next((line.strip() for line in lines if line.strip()), f"curl ended with {status}.")
