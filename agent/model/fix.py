"""A fix: one rule of ours in the node's firewall, from the moment it is written down until it is gone."""

from dataclasses import dataclass
from enum import StrEnum

from agent.model.plan import Flow, LeaseKind, Place

SCHEMA = "kubereach.dev/fix/v1"


class FixState(StrEnum):
    """INTENT: written down, the kernel not yet touched. APPLIED: in the kernel, not yet tried by a connect.

    TRIAL and CONFIRMED are alive and tried. All others are ends; CLOBBERED: somebody else's reload removed it.
    """

    INTENT = "intent"
    APPLIED = "applied"
    TRIAL = "trial"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"
    REVERTED = "reverted"
    FAILED = "failed"
    CLOBBERED = "clobbered"
    LOST_ON_REBOOT = "lost-on-reboot"


LIVE = frozenset((FixState.INTENT, FixState.APPLIED, FixState.TRIAL, FixState.CONFIRMED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """The journal's entry, and what every surface shows.

    `rule` is the full specification as handed to iptables-restore, from the source on. `ends` is the last second of the wall
    clock in which the kernel accepts (its stop time), `ends_boot` the same in seconds since boot, `started` and `started_boot`
    when the lease began: a clock that was set shows as a difference between the two. `set_name` is the set whose element times
    out, empty where there is none. `puts` counts how often it was put in again. `known` says that this answer repeats an
    earlier one: the same flow was open already.
    """

    schema: str = SCHEMA
    id: str
    state: FixState
    flow: Flow
    place: Place
    rule: str
    kind: LeaseKind = LeaseKind.KERNEL
    caller: str = ""
    applied_at: str = ""
    ends_at: str = ""
    started: float = 0.0
    started_boot: float = 0.0
    ends: int = 0
    ends_boot: float = 0.0
    set_name: str = ""
    boot_id: str = ""
    why: str = ""
    puts: int = 0
    put_back: bool = False
    cut_flows: bool = False
    known: bool = False

    @property
    def live(self) -> bool:
        """Whether the journal holds it for alive; whether its time is up is the clock's to say."""
        return self.state in LIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step in the life of a fix, for those who watch a cluster. `name` is its own, and the same whoever tells of it."""

    name: str
    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixes:
    """Those that the journal keeps, newest first, and a sentence for whatever is wrong with it."""

    fixes: tuple[Fix, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """Whether the audit log is whole: `records` that hold, and in `problem` the first that does not, by number."""

    records: int
    problem: str = ""
