"""What REJECT's words mean on the wire: the ICMP error that is sent, and the errno that a connecting client gets for it.

The words are those of iptables (extensions/libipt_REJECT.c, libip6t_REJECT.c); nft's `icmpx` words stand for one of them per
IP version (net/netfilter/nft_reject.c). The errnos are the kernel's own tables: `icmp_err_convert` (net/ipv4/icmp.c),
`icmpv6_err_convert` and `tab_unreach` (net/ipv6/icmp.c).
"""

from dataclasses import dataclass

TCP_RESET = "tcp-reset"


@dataclass(frozen=True, slots=True)
class _Reply:
    icmp: tuple[int, int] | None
    errno: str


_REPLIES = {
    TCP_RESET: _Reply(None, "ECONNREFUSED"),
    "icmp-net-unreachable": _Reply((3, 0), "ENETUNREACH"),
    "icmp-host-unreachable": _Reply((3, 1), "EHOSTUNREACH"),
    "icmp-proto-unreachable": _Reply((3, 2), "ENOPROTOOPT"),
    "icmp-port-unreachable": _Reply((3, 3), "ECONNREFUSED"),
    "icmp-net-prohibited": _Reply((3, 9), "ENETUNREACH"),
    "icmp-host-prohibited": _Reply((3, 10), "EHOSTUNREACH"),
    "icmp-admin-prohibited": _Reply((3, 13), "EHOSTUNREACH"),
    "icmp6-no-route": _Reply((1, 0), "ENETUNREACH"),
    "icmp6-adm-prohibited": _Reply((1, 1), "EACCES"),
    "icmp6-addr-unreachable": _Reply((1, 3), "EHOSTUNREACH"),
    "icmp6-port-unreachable": _Reply((1, 4), "ECONNREFUSED"),
    "icmp6-policy-fail": _Reply((1, 5), "EACCES"),
    "icmp6-reject-route": _Reply((1, 6), "EACCES"),
}

_EITHER_VERSION = {
    "icmpx-no-route": ("icmp-net-unreachable", "icmp6-no-route"),
    "icmpx-port-unreachable": ("icmp-port-unreachable", "icmp6-port-unreachable"),
    "icmpx-host-unreachable": ("icmp-host-unreachable", "icmp6-addr-unreachable"),
    "icmpx-admin-prohibited": ("icmp-admin-prohibited", "icmp6-adm-prohibited"),
}


def resolve(reply: str, version: int) -> str:
    """The word for the packet's IP version (4 or 6): nft's `icmpx` words become one of iptables', all others stay."""
    either = _EITHER_VERSION.get(reply)
    return reply if either is None else either[0 if version == 4 else 1]


def icmp_of(reply: str, version: int = 4) -> tuple[int, int] | None:
    """(type, code) of the ICMP error that is sent; None for a TCP reset and for a word that is not known."""
    known = _REPLIES.get(resolve(reply, version))
    return known.icmp if known else None


def errno_of(reply: str, version: int = 4) -> str | None:
    """The name of the errno that a TCP client's connect() gets; None for a word that is not known."""
    known = _REPLIES.get(resolve(reply, version))
    return known.errno if known else None
