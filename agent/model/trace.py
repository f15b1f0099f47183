"""What a deep look saw of one more connect: which rules it met, and why the kernel threw its packet away. Raw text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRequest:
    """One connect to trace, from the namespace of that inode; addresses without port. `timeout` is seconds."""

    namespace: int
    source: str
    target: str
    port: int
    timeout: float = 1.0
    netns_dirs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepTrace:
    """One connect of ours under a magnifying glass. A `problem` says why that part could not be had.

    `events` is the text of a tracefs instance of our own (socket states, packets sent, skb:kfree_skb), `rules` what `nft -a
    monitor trace` printed for our packets. `errno` is what the connect ended in, None for an open port.
    """

    request: TraceRequest
    sport: int | None = None
    errno: str | None = None
    events: str = ""
    events_problem: str = ""
    rules: str = ""
    rules_problem: str = ""
    problem: str = ""
    seconds: float = 0.0
