"""A firewall as data: one shape for iptables legacy, iptables-nft and native nft.

A rule is a row of statements that the kernel runs from left to right: a test that fails ends the rule, a verdict ends the
walk of the chain, everything else goes on. Both backends' parsers emit the same statements, so that one walk serves both.
What a parser does not understand becomes `Unsure` (a test) or `Unclear` (an action): it is never dropped and never guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.model.packet import Field


class Backend(StrEnum):
    """Which kernel interface holds the rules."""

    LEGACY = "legacy"
    NFT = "nft"


class Hook(StrEnum):
    """Netfilter hooks; ingress and egress are a device's own, below IP."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"
    INGRESS = "ingress"
    EGRESS = "egress"


# --- tests -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Intervals:
    """The value lies in one of these inclusive integer ranges (addresses, ports, numbers). Sorted, not overlapping."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Masked:
    """`value & mask == equals`."""

    mask: int
    equals: int


@dataclass(frozen=True, slots=True)
class AnyBit:
    """`value & mask != 0`: how both backends test conntrack states."""

    mask: int


@dataclass(frozen=True, slots=True)
class Names:
    """The name equals one of these; a trailing `*` stands for any rest (iptables writes `+`)."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """The value is one of these keywords (address types such as `local`, packet types), lower case."""

    words: tuple[str, ...]


Test = Intervals | Masked | AnyBit | Names | Words


# --- statements: matches ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compare:
    """One field against one test."""

    field: Field
    test: Test
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Lookup:
    """Several fields against the elements of a set with concatenated keys: one element must hold in every field."""

    fields: tuple[Field, ...]
    elements: tuple[tuple[Test, ...], ...]
    negate: bool = False


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these tests holds (Kleene's OR, then `negate`): `multiport --ports`, `--ctstate NEW,DNAT`."""

    tests: "tuple[Compare | Lookup | Unsure, ...]"
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Unsure:
    """A test whose answer is maybe: only kernel state knows it, or this version does not understand it."""

    text: str
    why: str


# --- statements: actions ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accept:
    """Ends this base chain; later base chains still see the packet."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Ends the packet, silently."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Ends the packet and answers. `reply` is iptables' word for it: `icmp-host-prohibited`, `tcp-reset`, ...

    nft's `icmpx` replies depend on the packet's version and keep nft's word (net/netfilter/nft_reject.c): `icmpx-no-route`,
    `icmpx-port-unreachable`, `icmpx-host-unreachable`, `icmpx-admin-prohibited`; the walk translates them.
    """

    reply: str


@dataclass(frozen=True, slots=True)
class Jump:
    """Goes to a user chain. With `goto` the end of that chain returns to the caller's caller."""

    chain: str
    goto: bool = False


@dataclass(frozen=True, slots=True)
class Return:
    """Back to the calling chain; in a base chain, its policy."""


@dataclass(frozen=True, slots=True)
class SetMark:
    """`mark = (mark & keep) ^ flip` on `Field.MARK` or `Field.CT_MARK`."""

    field: Field
    keep: int
    flip: int


@dataclass(frozen=True, slots=True)
class CopyMark:
    """Copies one mark to the other under masks: `to = (to & ~to_mask) ^ (from & from_mask)`, as CONNMARK does."""

    source: Field
    target: Field
    source_mask: int = 0xFFFFFFFF
    target_mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Forget:
    """An action that rewrites the packet in a way this version cannot compute: from here on these fields are not known.

    It never ends the rule: `meta mark set jhash ...`, `ip daddr set ...`, a MARK whose value a reader could not see.
    """

    fields: tuple[Field, ...]
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Translate:
    """A NAT action. `kind` is dnat, redirect, snat, masquerade or netmap; it ends the nat chain with an accept.

    `address` is the new address where the rule names exactly one, `port` likewise; empty means unchanged or unknown, and
    `exact` tells which of the two. For redirect and masquerade the kind itself says the address and `exact` speaks of the port.
    netmap (never exact) is a dnat in prerouting and output, a snat elsewhere.
    """

    kind: str
    address: str = ""
    port: int | None = None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class NoTrack:
    """The packet's conntrack state becomes UNTRACKED."""


@dataclass(frozen=True, slots=True)
class Pass:
    """An action without influence on the verdict: LOG, counter, NFLOG, ..."""

    text: str


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """nft `vmap`: the first element that holds gives the verdict; none holds: the rule goes on.

    A `Pass` as verdict (nft's `continue`) goes on with the rule's next statement; `Unclear` (queue) is as unclear as anywhere.
    """

    fields: tuple[Field, ...]
    entries: "tuple[tuple[tuple[Test, ...], Accept | Drop | Jump | Return | Pass | Unclear], ...]"


@dataclass(frozen=True, slots=True)
class Unclear:
    """An action that may end the packet or not: accept, drop and going on are all possible.

    Where it may have set marks too, the readers put a `Forget` before it.
    """

    text: str
    why: str


Match = Compare | Lookup | AnyOf | Unsure
Action = (
    Accept | Drop | Reject | Jump | Return | SetMark | CopyMark | Forget | Translate | NoTrack | Pass | VerdictMap | Unclear
)
Statement = Match | Action


# --- the containers --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counter:
    """Packets and bytes."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `number` counts from 1 in its chain as `iptables -L --line-numbers` does; `text` is its owner's own print.

    `text` and `comment` are strangers' bytes (surrogate-escaped): renderers clean them, nothing here trusts them.
    """

    number: int
    text: str
    statements: tuple[Statement, ...]
    handle: int | None = None
    counter: Counter | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Base:
    """What makes a chain a base chain. `kind` is filter, nat or route; lower `priority` runs first."""

    kind: str
    hook: Hook
    priority: int
    policy: str = "accept"
    counter: Counter | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A named list of rules; with `base` it hangs on a hook. `unread`: it has rules that nobody asked for, and shows none.

    `rules` is a tuple, or a row that is read when it is looked at.
    """

    name: str
    rules: Sequence[Rule]
    base: Base | None = None
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of one backend and family (`ip`, `ip6`, `inet`, ...)."""

    backend: Backend
    family: str
    name: str
    chains: tuple[Chain, ...]

    def chain(self, name: str) -> Chain | None:
        """The chain of that name, or None."""
        return next((chain for chain in self.chains if chain.name == name), None)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Every table that was read, and in `problems` one sentence for each thing that could not be.

    `unread` has one sentence for each live table or backend whose rules are missing here altogether, so that a packet that
    nothing here stops may still be stopped: with it no ACCEPT is claimed. What is only a remark belongs in `problems`.
    """

    tables: tuple[Table, ...]
    problems: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
