"""What may be done about a block, as a value: one ACCEPT, where it goes, what it rests on, and what it would change.

A plan changes nothing. What the broker is handed of it is the `Order`: the rule itself is built there, from the flow alone.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from agent.model.outline import Part

SCHEMA = "kubereach.dev/plan/v1"

# Seconds. A trial is long enough to look at the result and to type one command; nobody should sleep on a firewall change.
TRIAL, LEASE, LONGEST_LEASE = 60, 3600, 24 * 3600
MOST_LIVE = 4


class LeaseKind(StrEnum):
    """Who ends it. KERNEL: the rule itself (a stop time, a set whose element times out); AGENT: only a live kubereach."""

    KERNEL = "kernel"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What is let in: TCP from a pod network (CIDR) to one address of this node and one port."""

    source: str
    destination: str
    port: int

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.destination else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the rule goes: directly before the rule that reads `before`, the `nth` (from 1) of those that read alike.

    `backend` is legacy or nft; the table is iptables' filter. `before` is the rule as iptables-save prints it, no counters;
    empty stands for the chain's policy, and then the rule goes to the end of the chain.
    """

    backend: str
    chain: str
    before: str
    nth: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that the broker is told. `lease` is in seconds; `id` is twelve hexadecimal digits, the fix's name from then on.

    `digest` is the ground's that the plan rests on; `caller` is who asked, for the audit log. With `put_back` a rule that
    somebody else's reload removed is put in again, at most three times; with `cut_flows` its connections end with it.
    `parts` are the chains, sets and maps that count of a large nftables: it is not read whole.
    """

    id: str
    flow: Flow
    place: Place
    digest: str
    lease: int = TRIAL
    kind: LeaseKind = LeaseKind.KERNEL
    caller: str = ""
    put_back: bool = False
    cut_flows: bool = False
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The rules that the packet can meet at INPUT, as the broker reads them. `rules` are those of the one chain asked for.

    `lines` are the chains that INPUT leads to, in every backend, without counters; `digest` is theirs.
    """

    digest: str
    lines: tuple[str, ...]
    rules: tuple[str, ...]
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What each witness says of the pod's packet: ACCEPT, DROP, REJECT; the probe's word is its outcome."""

    model: str
    twin: str
    probe: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One other packet of the blast radius: who, to where, and its fate before and after."""

    packet: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """How many other packets were walked through both rulesets, and those whose fate would change: there must be none."""

    tried: int
    changed: tuple[Tried, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One ACCEPT and all that is known of it.

    `rule` is the rule as iptables would be told it, without its stop time; `position` is its number now, from 1. `command` does
    the same by hand and `undo` undoes that; `persistent` holds it by file or tool. `ground` is what `digest` was taken of,
    `parts` what was read of nftables where it is large.
    """

    schema: str = SCHEMA
    id: str
    node: str
    made_at: str
    finding: str
    flow: Flow
    place: Place
    position: int
    rule: str
    digest: str
    before: Verdicts
    after: Verdicts
    blast_radius: BlastRadius
    command: str
    undo: str
    persistent: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trial: int = TRIAL
    lease: int = LEASE
    ground: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
