"""What nftables holds, without its rules: enough to ask for the chains that a packet can come to, and for no others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineTable:
    """A table; `flags` as the kernel has them (NFT_TABLE_F_DORMANT is 1). Handles grow with the age: a listing's order."""

    family: str
    name: str
    handle: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineChain:
    """A chain without its rules. `hook` is the kernel's number in that family, None for a user chain.

    `policy` is the kernel's verdict (0 drops, 1 accepts), `kind` filter, nat or route.
    """

    family: str
    table: str
    name: str
    handle: int = 0
    hook: int | None = None
    kind: str = ""
    priority: int = 0
    policy: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """nftables at one generation, a number that every change raises.

    It has all tables, all base chains, and the user chains of tables that see frames below IP. `chains_in_all` counts every
    chain, `rules` is a measure of their rules and jumps.
    """

    generation: int
    tables: tuple[OutlineTable, ...] = ()
    chains: tuple[OutlineChain, ...] = ()
    chains_in_all: int = 0
    rules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of nftables by name; `kind` is chain, set or map."""

    kind: str
    family: str
    table: str
    name: str
