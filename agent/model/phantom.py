"""A pod for the time of one look, on a node that has none."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomRequest:
    """The node's pod networks (CIDR), and addresses that are known to be somebody's."""

    pod_cidrs: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """What was made: a network namespace (its inode), the address in it, and by whom. Without an address, `problem` says why.

    `notes` are ways that were tried before the one that worked.
    """

    namespace: int = 0
    address: str = ""
    how: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomEnd:
    """`problem` is set where something of it could not be taken back yet; it is tried again at the next start."""

    problem: str = ""
