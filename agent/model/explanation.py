"""What became of a packet, which rule decided, and what the answer rests on."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.model.twin import TwinResult

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
class Reply:
    """What becomes of the answer to a packet that was let in, on its way out through this node's own rules.

    `or_by` is as in `Explanation`.
    """

    verdict: Verdict
    decided_by: RuleRef | None = None
    or_by: tuple[RuleRef, ...] = ()
    assumptions: tuple[Assumption, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether a rule surely ends it; who asked then waits in vain, whatever the rule answers to this node itself."""
        return self.verdict in (Verdict.DROP, Verdict.REJECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """The addresses and ports that a forwarded packet leaves with; None is not known, as with the address of a masquerade.

    `rewritten_by` is the rule that gave it another source, None where it keeps its own.
    """

    source: str | None
    sport: int | None
    destination: str | None
    dport: int | None
    rewritten_by: RuleRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Neighbouring source addresses that fare alike. `src` is a CIDR, or `first-last` where no CIDR is exactly that.

    `assumptions` says what an UNDECIDED part hangs on; `or_by` is as in `Explanation`.
    """

    src: str
    addresses: int
    verdict: Verdict
    reject_with: str | None = None
    client_sees: str | None = None
    decided_by: RuleRef | None = None
    or_by: tuple[RuleRef, ...] = ()
    assumptions: tuple[Assumption, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """One of several things that may become of a packet; `or_by` is as in `Explanation`. UNDECIDED: then nobody can say."""

    verdict: Verdict
    reject_with: str | None = None
    decided_by: RuleRef | None = None
    or_by: tuple[RuleRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One packet walked through one ruleset. The JSON of `kubereach explain`. `twin` is the kernel's own word, where asked.

    `or_by` are other rules that may be the one that stops the packet, all alike: chains of one priority run in an order that no
    listing shows, and a rule in doubt may stand before the one that is sure. Empty where it is known which one it is.

    `unread` says what of the live rules could not be read: one of those may stop the packet before `decided_by` does.

    `fates` are what may become of a packet whose verdict is UNDECIDED. Of a whole network none are told: its
    `partition` has its parts in the order of their addresses, every address in one.
    """

    schema: str = SCHEMA
    packet: dict[str, Any]
    verdict: Verdict
    reject_with: str | None = None
    client_sees: str | None = None
    decided_by: RuleRef | None = None
    or_by: tuple[RuleRef, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    fates: tuple[Fate, ...] = ()
    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    twin: TwinResult | None = None
    reply: Reply | None = None
    leaves_as: tuple[Departure, ...] = ()
    partition: tuple[Part, ...] = ()

    @property
    def stopped_by(self) -> RuleRef | None:
        """The rule that surely ends the connection, on the packet's way or on its answer's; None where none does."""
        return next(iter(self.stoppers), None)

    @property
    def stoppers(self) -> tuple[RuleRef, ...]:
        """The same, and behind it those that may be the one in its place (`or_by`)."""
        lost = self.reply is not None and self.reply.lost
        ends = self if self.verdict in (Verdict.DROP, Verdict.REJECT) else self.reply if lost else None
        return (ends.decided_by, *ends.or_by) if ends is not None and ends.decided_by is not None else ()
