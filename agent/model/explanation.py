"""What became of a packet, which rule decided, and what the answer rests on."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SCHEMA = "kubereach.dev/explanation/v1"


class Verdict(StrEnum):
    """The fate of a packet. UNDECIDED is an answer: the assumptions say which rules it hangs on."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    REJECT = "REJECT"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRef:
    """Where a rule stands. `rule_number` counts from 1 as `iptables -L --line-numbers`; a policy has none."""

    backend: str
    family: str
    hook: str
    table: str
    chain: str
    rule_number: int | None = None
    handle: int | None = None
    policy: bool = False
    text: str = ""

    @property
    def tool(self) -> str:
        """Whose words the rule is told in: `iptables-legacy`, `iptables-nft`, or `nft` for what iptables cannot express."""
        iptables = self.family in ("ip", "ip6") and self.text.startswith("-")
        return f"iptables-{self.backend}" if iptables else "nft"


@dataclass(frozen=True, slots=True)
class Moved:
    """A rule or base-chain policy whose counter rose by `packets` between two readings."""

    rule: RuleRef
    packets: int


@dataclass(frozen=True, slots=True)
class Assumption:
    """A rule that could change the outcome, and why it could not be decided."""

    rule: RuleRef
    why: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened on the way: a rule that matched or might, or a policy that was reached.

    `result` is `match`, `maybe` or `policy`; `effect` says what followed ("jump KUBE-FIREWALL", "accept", "mark 0x4000").
    """

    rule: RuleRef
    result: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One packet walked through one ruleset. The JSON of `kubereach explain`."""

    schema: str = SCHEMA
    packet: dict[str, Any]
    verdict: Verdict
    reject_with: str | None = None
    client_sees: str | None = None
    decided_by: RuleRef | None = None
    assumptions: tuple[Assumption, ...] = ()
    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
