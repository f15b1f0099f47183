"""The answer: a state, its cause, the proof, and what would mend it."""

from dataclasses import dataclass, field
from enum import StrEnum

from agent.model.explanation import Explanation, RuleRef

SCHEMA = "kubereach.dev/report/v1"


class State(StrEnum):
    """Can this node's pods reach this node's kubelet? DEGRADED: yes, but something is wrong on the way."""

    REACHABLE = "reachable"
    BLOCKED = "blocked"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """CRITICAL stops the kubelet's traffic, WARNING will or may, INFO helps to read the rest."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Word(StrEnum):
    """What a witness says of a finding."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    SILENT = "silent"  # it was asked and cannot tell
    ABSENT = "absent"  # it was not asked, or could not be


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observation: which witness, what it saw."""

    witness: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What mends it: one shell command, its persistent forms by tool, and whose job it is."""

    command: str = ""
    undo: str = ""
    persistent: dict[str, str] = field(default_factory=dict)
    owner: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A named cause or circumstance. `code` is kebab-case and stable; docs/findings/<code>.md explains it."""

    code: str
    severity: Severity
    title: str
    message: str
    witnesses: dict[str, Word] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    remedy: Remedy | None = None

    @property
    def names_rule(self) -> bool:
        """Whether the model stands for its rule and no witness contradicts: else nobody may call that rule the one."""
        return self.witnesses.get("model") is Word.AGREES and Word.DISAGREES not in self.witnesses.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe's result as the report shows it. `from_` is printed as `from`; `to` is address:port; `icmp` is "type/code"."""

    vantage: str
    from_: str
    to: str
    outcome: str
    errno: str | None = None
    icmp: str | None = None
    seconds: float = 0.0
    tls: str = ""
    http_status: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that was found out about the node, and where it was read."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A cause that was looked at and ruled out, and by what."""

    what: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole answer. `findings` starts with the root cause; `disagreements` is not empty when witnesses differ."""

    schema: str = SCHEMA
    node: str
    state: State
    summary: str
    taken_at: str
    version: str
    findings: tuple[Finding, ...] = ()
    probes: tuple[Probe, ...] = ()
    explanation: Explanation | None = None
    why_only_this_node: str = ""
    disagreements: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    facts: tuple[Fact, ...] = ()
    problems: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def cause(self) -> Finding | None:
        """The root cause: the first finding, unless it is only information."""
        first = self.findings[0] if self.findings else None
        return first if first is not None and first.severity is not Severity.INFO else None

    @property
    def stopped_by(self) -> RuleRef | None:
        """The one rule that stops the packet or its answer; None where none does, or which one is not certain."""
        stoppers = self.explanation.stoppers if self.explanation is not None else ()
        return stoppers[0] if len(stoppers) == 1 and self.cause is not None and self.cause.names_rule else None
