"""One Event on the Node when a node's answer changes: `kubectl describe node` and every alerting pipeline show it."""

from typing import Any

from agent.cluster.connection import Connection
from agent.model.reach import Reach

_NAMESPACE = "default"  # where events of objects without a namespace are kept


class Events:
    """Tells transitions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, reach: Reach, now: str, event_id: str) -> None:
        """Creates the Event; `event_id` makes its name unique. Raises `ClusterError`."""
        from lightkube.models.core_v1 import EventSource, ObjectReference  # noqa: PLC0415
        from lightkube.models.meta_v1 import ObjectMeta  # noqa: PLC0415
        from lightkube.resources.core_v1 import Event  # noqa: PLC0415

        fine = reach.state == "reachable"
        stamp: Any = now  # the API's own form; the client's type would format it anew
        node = ObjectReference(kind="Node", name=reach.node, uid=reach.node)
        self._connection.create(
            Event(
                metadata=ObjectMeta(name=f"{reach.node}.{event_id}", namespace=_NAMESPACE),
                involvedObject=node,
                reason="KubeletReachable" if fine else f"Kubelet{reach.state.capitalize()}",
                message=reach.summary[:1024],
                type="Normal" if fine else "Warning",
                source=EventSource(component="kubereach", host=reach.node),
                firstTimestamp=stamp,
                lastTimestamp=stamp,
                count=1,
            ),
            namespace=_NAMESPACE,
        )
