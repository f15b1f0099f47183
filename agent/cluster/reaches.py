"""The objects `reaches.kubereach.dev`: this node's own is read, made and kept; the whole list is for a person's command alone.

Statuses are written by a merge patch of the subresource, so that nobody's spec is touched. All errors become `ClusterError`
with a sentence; where the API server asks for patience (429, 503 with Retry-After), `patience` says for how long.
"""

from collections.abc import Iterator
from typing import Any

from agent.cluster.connection import ClusterError, Connection
from agent.model.reach import GROUP, KIND, PLURAL, VERSION, Reach, ReachFinding, ReachFix, ReachRule, ReachVantage

_CHUNK = 500  # as kubectl asks for lists


class Reaches:
    """Access to the objects. Safe from one thread at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kind = connection.kind(GROUP, VERSION, KIND, PLURAL)

    def get(self, node: str) -> Reach | None:
        """The node's object, or None where there is none. Raises `ClusterError`."""
        try:
            return from_object(self._connection.get(self._kind, node))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def create(self, node: str) -> None:
        """Makes an empty object; that it is there already is no error. Raises `ClusterError`."""
        try:
            self._connection.create(self._kind({"metadata": {"name": node}, "spec": {}}))
        except ClusterError as error:
            if error.status != 409:
                raise

    def put_status(self, reach: Reach) -> None:
        """Writes the node's status. Raises `ClusterError`, with status 404 where the object does not exist."""
        self._connection.patch(self._kind.Status, reach.node, {"status": to_status(reach)})

    def request_run(self, node: str, at: str) -> None:
        """Asks the node's agent to look again; `at` is RFC 3339. Raises `ClusterError`."""
        self._connection.patch(self._kind, node, {"spec": {"runRequestTime": at}})

    def list(self) -> Iterator[Reach]:
        """Every node's, in chunks. Raises `ClusterError`."""
        for found in self._connection.list(self._kind, _CHUNK):
            yield from_object(found)


def to_status(reach: Reach) -> dict[str, Any]:
    """The status as JSON, by the names of the CRD. Null removes what an earlier answer had.

    Empty values are null or left out: that means the same, and there are API servers that refuse `""` and `false` as null.
    """
    rule, fix = reach.rule, reach.fix
    blocked = {"reachable": "True", "degraded": "True", "blocked": "False"}.get(reach.state, "Unknown")
    reason = "".join(part.capitalize() for part in reach.cause.split("-")) or reach.state.capitalize()
    condition = {
        "type": "Reachable",
        "status": blocked,
        "reason": reason or "Unknown",
        "message": reach.summary or "Not known.",
        "lastTransitionTime": reach.transition_time,
    }
    return {
        "state": reach.state,
        "cause": reach.cause or None,
        "summary": reach.summary or None,
        "rule": _present(rule, {"place", "text", "backend", "family", "hook", "table", "chain", "number", "policy"}),
        "findings": [
            _filled({"code": each.code, "severity": each.severity, "message": each.message}) for each in reach.findings
        ],
        "vantages": [_vantage(each) for each in reach.vantages],
        "fix": {
            "id": fix.id,
            "state": fix.state,
            "rule": fix.rule or None,
            "appliedTime": fix.applied_time or None,
            "expiryTime": fix.expiry_time or None,
        }
        if fix
        else None,
        "nodeAddresses": list(reach.node_addresses),
        "podCIDRs": list(reach.pod_cidrs),
        "kubeletPort": reach.kubelet_port,
        "inputFingerprint": reach.fingerprint or None,
        "agentVersion": reach.agent_version or None,
        "lookTime": reach.look_time,
        "transitionTime": reach.transition_time,
        "runRequestTime": reach.honoured or None,
        "conditions": [condition],
    }


def from_object(found: Any) -> Reach:
    """An object as the API gave it. What it lacks is empty: another version of us may have written it."""
    status, spec = found.get("status") or {}, found.get("spec") or {}
    rule, fix = status.get("rule"), status.get("fix")
    return Reach(
        node=_name(found),
        state=status.get("state", ""),
        cause=status.get("cause") or "",
        summary=status.get("summary") or "",
        rule=ReachRule(**{key: rule[key] for key in ReachRule.__dataclass_fields__ if rule.get(key) is not None})
        if rule
        else None,
        findings=tuple(
            ReachFinding(code=each.get("code", ""), severity=each.get("severity", ""), message=each.get("message", ""))
            for each in status.get("findings") or ()
        ),
        vantages=tuple(
            ReachVantage(
                vantage=each.get("vantage", ""),
                to=each.get("to", ""),
                outcome=each.get("outcome", ""),
                source=each.get("from", ""),
                errno=each.get("errno", ""),
                icmp=each.get("icmp", ""),
                http_status=each.get("httpStatus"),
                milliseconds=each.get("milliseconds"),
            )
            for each in status.get("vantages") or ()
        ),
        fix=ReachFix(
            id=fix.get("id", ""),
            state=fix.get("state", ""),
            rule=fix.get("rule") or "",
            applied_time=fix.get("appliedTime") or "",
            expiry_time=fix.get("expiryTime") or "",
        )
        if fix
        else None,
        node_addresses=tuple(status.get("nodeAddresses") or ()),
        pod_cidrs=tuple(status.get("podCIDRs") or ()),
        kubelet_port=status.get("kubeletPort"),
        fingerprint=status.get("inputFingerprint") or "",
        agent_version=status.get("agentVersion") or "",
        look_time=status.get("lookTime") or "",
        transition_time=status.get("transitionTime") or "",
        requested=spec.get("runRequestTime") or "",
        honoured=status.get("runRequestTime") or "",
    )


def _name(found: Any) -> str:
    metadata = found.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else getattr(metadata, "name", "")
    return str(name or "")


def _present(value: Any, names: set[str]) -> dict[str, Any] | None:
    """The fields of a value; null for each that it does not have, so that a merge patch takes the old one away."""
    return {name: getattr(value, name) or None for name in sorted(names)} if value is not None else None


def _vantage(each: ReachVantage) -> dict[str, Any]:
    return _filled(
        {
            "vantage": each.vantage,
            "from": each.source,
            "to": each.to,
            "outcome": each.outcome,
            "errno": each.errno,
            "icmp": each.icmp,
            "httpStatus": each.http_status,
            "milliseconds": each.milliseconds,
        }
    )


def _filled(whole: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if value}
