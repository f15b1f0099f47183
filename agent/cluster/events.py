"""Events on the Node: when its answer changes, and at each step of a fix.

`kubectl describe node` and every alerting pipeline show them.
"""

from typing import Any

from agent.cluster.connection import ClusterError, Connection
from agent.model.fix import Transition
from agent.model.reach import Reach

_NAMESPACE = "default"  # where events of objects without a namespace are kept
_CONFLICT = 409
_LONGEST = 1024  # of a message (kubernetes/kubernetes pkg/apis/core/validation/events.go)


class Events:
    """Tells transitions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, reach: Reach, now: str, event_id: str) -> None:
        """Creates the Event of a new answer; `event_id` makes its name unique. Raises `ClusterError`."""
        fine = reach.state == "reachable"
        reason = "KubeletReachable" if fine else f"Kubelet{reach.state.capitalize()}"
        self._create(reach.node, event_id, reason, reach.summary, now, warning=not fine)

    def tell_fix(self, node: str, transition: Transition, now: str) -> None:
        """Creates the Event of a fix's transition. One that is there already was told before. Raises `ClusterError`."""
        try:
            self._create(node, transition.name, transition.reason, transition.message, now, warning=transition.warning)
        except ClusterError as error:
            if error.status != _CONFLICT:
                raise

    def _create(self, node: str, name: str, reason: str, message: str, now: str, *, warning: bool) -> None:  # noqa: PLR0913  an Event
        from lightkube.models.core_v1 import EventSource, ObjectReference  # noqa: PLC0415
        from lightkube.models.meta_v1 import ObjectMeta  # noqa: PLC0415
        from lightkube.resources.core_v1 import Event  # noqa: PLC0415

        stamp: Any = now  # the API's own form; the client's type would format it anew
        self._connection.create(
            Event(
                metadata=ObjectMeta(name=f"{node}.{name}", namespace=_NAMESPACE),
                involvedObject=ObjectReference(kind="Node", name=node, uid=node),
                reason=reason,
                message=message[:_LONGEST],
                type="Warning" if warning else "Normal",
                source=EventSource(component="kubereach", host=node),
                firstTimestamp=stamp,
                lastTimestamp=stamp,
                count=1,
            ),
            namespace=_NAMESPACE,
        )
