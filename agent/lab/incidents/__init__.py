"""The incidents that can be staged, as data, one module for each area.

To add one, add an `Incident` to its area's module: nothing else has to know. What `expect` says is what a kernel does with it,
and is held against a plain connect as well as against kubereach.
"""

from agent.lab.errors import UnknownIncidentError
from agent.lab.incidents import families, firewall, kubelet, node, owners, saved, shapes, traffic
from agent.lab.incidents.incident import Incident

__all__ = ["INCIDENTS", "Incident", "find_incident"]

INCIDENTS: tuple[Incident, ...] = (
    *firewall.INCIDENTS,
    *owners.INCIDENTS,
    *saved.INCIDENTS,
    *traffic.INCIDENTS,
    *families.INCIDENTS,
    *shapes.INCIDENTS,
    *node.INCIDENTS,
    *kubelet.INCIDENTS,
)


def find_incident(name: str) -> Incident:
    """The incident of that name. Raises `UnknownIncidentError`."""
    for incident in INCIDENTS:
        if incident.name == name:
            return incident
    raise UnknownIncidentError(
        f"there is no incident {name!r}: choose one of {', '.join(incident.name for incident in INCIDENTS)}"
    )
