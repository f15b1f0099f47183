"""One node's answer as the cluster keeps it: the object `reaches.kubereach.dev` of the node's name."""

from dataclasses import dataclass

GROUP, VERSION, KIND, PLURAL = "kubereach.dev", "v1alpha1", "Reach", "reaches"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachRule:
    """The rule that stops the pod's packet: its place in words and as parts, and its own tool's text."""

    place: str = ""
    text: str = ""
    backend: str = ""
    family: str = ""
    hook: str = ""
    table: str = ""
    chain: str = ""
    number: int | None = None
    policy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachFinding:
    """A finding by its code; the first of a list is the root cause."""

    code: str
    severity: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachVantage:
    """What one connect met. `to` is address:port."""

    vantage: str
    to: str
    outcome: str
    source: str = ""
    errno: str = ""
    icmp: str = ""
    http_status: int | None = None
    milliseconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachFix:
    """The fix that is in force or was last. Times are RFC 3339."""

    id: str
    state: str
    rule: str = ""
    applied_time: str = ""
    expiry_time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The status of one object. Times are RFC 3339 in UTC, empty where there is none.

    `fingerprint` is equal on nodes with equal INPUT paths. `requested` is the spec's wish for a new look, `honoured` the last
    one that the status answers.
    """

    node: str
    state: str = ""
    cause: str = ""
    summary: str = ""
    rule: ReachRule | None = None
    findings: tuple[ReachFinding, ...] = ()
    vantages: tuple[ReachVantage, ...] = ()
    fix: ReachFix | None = None
    node_addresses: tuple[str, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    kubelet_port: int | None = None
    fingerprint: str = ""
    agent_version: str = ""
    look_time: str = ""
    transition_time: str = ""
    requested: str = ""
    honoured: str = ""

    @property
    def news(self) -> tuple[object, ...]:
        """What is worth a write at once when it changes: the answer, not the time it was given at."""
        return self.state, self.cause, self.rule, self.fix, self.fingerprint, self.honoured
