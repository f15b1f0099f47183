"""The packet that is walked through a ruleset, and the fields a rule may ask it for."""

from dataclasses import dataclass
from enum import IntFlag, StrEnum
from ipaddress import IPv4Address, IPv6Address

IPAddress = IPv4Address | IPv6Address

# IANA protocol numbers, under the names iptables prints.
PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "ipencap": 4,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "sctp": 132,
    "udplite": 136,
}
TCP = PROTOCOLS["tcp"]
SYN, ACK = 0x02, 0x10


class CtState(IntFlag):
    """Connection-tracking states as the bits nft uses (net/netfilter/nft_ct.c, nf_conntrack_common.h)."""

    INVALID = 1
    ESTABLISHED = 2
    RELATED = 4
    NEW = 8
    UNTRACKED = 64


class Field(StrEnum):
    """What a rule can ask of a packet. Values are nft's own words where nft has one."""

    IIF = "iifname"
    OIF = "oifname"
    NFPROTO = "nfproto"  # 2 for IPv4, 10 for IPv6
    SADDR = "saddr"
    DADDR = "daddr"
    PROTOCOL = "l4proto"
    FRAGMENT = "fragment"  # 1 for a second or later fragment
    SPORT = "sport"
    DPORT = "dport"
    TCP_FLAGS = "tcp flags"
    ICMP_TYPE = "icmp type"
    ICMP_CODE = "icmp code"
    CT_STATE = "ct state"
    CT_STATUS = "ct status"  # bits of enum ip_conntrack_status; SNAT 16, DNAT 32
    CT_DIRECTION = "ct direction"  # 0 original, 1 reply
    CT_MARK = "ct mark"
    CT_SADDR = "ct original saddr"  # the connection's first packet, before any NAT
    CT_DADDR = "ct original daddr"
    CT_SPORT = "ct original proto-src"
    CT_DPORT = "ct original proto-dst"
    CT_PROTOCOL = "ct original protocol"
    MARK = "mark"
    SADDR_TYPE = "fib saddr type"
    DADDR_TYPE = "fib daddr type"
    LENGTH = "length"
    TTL = "ttl"
    DSCP = "dscp"
    PKTTYPE = "pkttype"
    SKUID = "skuid"
    SKGID = "skgid"
    ETHER_SADDR = "ether saddr"  # 48 bits
    ETHER_DADDR = "ether daddr"
    TIME = "meta time"  # seconds since 1970, UTC
    PHYSDEV_IN = "physdev in"  # the bridge port that it came by; empty when it came by none
    PHYSDEV_OUT = "physdev out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet as it enters the first hook. `None` means that it is not known, and rules that ask become maybe.

    Marks and flags are plain integers; `protocol` is the IANA number; `length` is the IP packet's, in bytes.
    `local` holds every address the node owns: `addrtype`/`fib` LOCAL is decided by it. `mac` is the sender's link-layer
    address, 48 bits; `physdev_in` and `physdev_out` are the bridge ports that it comes and leaves by, empty where it uses none.
    `moment` is the earliest and the latest second at which it may have been sent, since 1970 in UTC.
    """

    source: IPAddress
    destination: IPAddress
    protocol: int = TCP
    sport: int | None = None
    dport: int | None = None
    iif: str | None = None
    oif: str | None = None
    tcp_flags: int | None = SYN
    icmp_type: int | None = None
    icmp_code: int | None = None
    ctstate: CtState = CtState.NEW
    mark: int = 0
    connmark: int = 0
    length: int | None = None
    ttl: int | None = None
    dscp: int | None = None
    mac: int | None = None
    physdev_in: str | None = None
    physdev_out: str | None = None
    moment: tuple[int, int] | None = None
    local: tuple[IPAddress, ...] = ()

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.source.version
