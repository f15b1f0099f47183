"""The twin: the same rules in a throwaway namespace, one packet sent through them, and what the kernel there did with it."""

from dataclasses import dataclass
from enum import StrEnum

from agent.model.packet import TCP, IPAddress

# One end of the twin's wire. It marks a namespace as a twin: whoever looks for pods must not take it for one.
TWIN_INTERFACE = "kubereach-twin"


class TwinVerdict(StrEnum):
    """What became of the packet in the twin. UNKNOWN is an answer: `not_modelled` and `problem` say why."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    REJECT = "REJECT"
    UNKNOWN = "UNKNOWN"


class TwinReply(StrEnum):
    """What came back to the packet's source, or DELIVERED: nothing came back, but a socket of the twin got the packet."""

    SYN_ACK = "syn-ack"
    RST = "rst"
    ICMP = "icmp"
    DELIVERED = "delivered"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinInterface:
    """An interface that the twin has too, with its addresses and their prefix lengths."""

    name: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinInsert:
    """A rule that is tried: `spec` is what follows `iptables -t TABLE -I CHAIN POSITION`; `backend` is legacy or nft."""

    backend: str
    table: str
    chain: str
    position: int
    spec: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinRequest:
    """One packet to try. `firewall` names rules that the broker has read (their digest): they never come from the front.

    `ports` are the interfaces that are ports of the bridge `iif`; `sport` None lets the twin choose; with `listening` somebody
    listens on the destination's port.
    """

    firewall: str = ""
    source: IPAddress
    destination: IPAddress
    iif: str
    dport: int
    sport: int | None = None
    protocol: int = TCP
    ports: tuple[str, ...] = ()
    interfaces: tuple[TwinInterface, ...] = ()
    listening: bool = True
    insert: TwinInsert | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinRule:
    """A rule (`rule_number` counts from 1) or a base chain's policy (`policy`) whose counter the packet moved."""

    backend: str
    family: str
    table: str
    chain: str
    rule_number: int | None = None
    policy: bool = False
    packets: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinResult:
    """What the twin saw.

    `icmp` is (type, code); `rules` are those of all hooks whose counters moved, the reply's among them; `not_modelled` has a
    sentence for each thing that the twin lacks, and then the verdict is UNKNOWN; `fresh` names matches whose state began empty
    in the twin (limit, recent, ...); `problem` says why there was no twin at all. `seconds` is the worker's own time.
    """

    verdict: TwinVerdict = TwinVerdict.UNKNOWN
    reply: TwinReply = TwinReply.NONE
    icmp: tuple[int, int] | None = None
    sport: int | None = None
    rules: tuple[TwinRule, ...] = ()
    not_modelled: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    problem: str = ""
    seconds: float = 0.0
