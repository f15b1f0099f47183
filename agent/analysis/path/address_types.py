"""Of what type is an address, as `addrtype` and nft's `fib` ask: local, unicast, broadcast or multicast.

IPv4 as the kernel's `inet_addr_type` answers (net/ipv4/fib_frontend.c), which looks at constants and the table `local` only.
The broadcast addresses of the node's own subnets are not known here and count as unicast. For IPv6 the two backends disagree
(net/netfilter/xt_addrtype.c wants every listed type to hold, and calls a local address unicast too; nft_fib_ipv6.c gives one
type): nft's word for unicast is therefore read as `only unicast`, and where iptables lists several types that do not agree the
answer is unknown.
"""

from dataclasses import dataclass

from agent.model.tri import Tri

_LOOPBACK4 = 127
_LIMITED_BROADCAST = 0xFFFFFFFF
ONLY_UNICAST = "only unicast"
_LOOPBACK6 = 1


@dataclass(frozen=True, slots=True)
class Kinds:
    """The words that hold of something, and those that may. With `strict`, several words of iptables must agree to give one."""

    certain: frozenset[str] = frozenset()
    possible: frozenset[str] = frozenset()
    strict: bool = False

    def among(self, words: tuple[str, ...]) -> Tri:
        """Whether it is one of these."""
        answers = {Tri.YES if word in self.certain else Tri.UNKNOWN if word in self.possible else Tri.NO for word in words}
        if self.strict and len(answers) > 1 and ONLY_UNICAST not in words:
            return Tri.UNKNOWN
        return next((answer for answer in (Tri.YES, Tri.UNKNOWN) if answer in answers), Tri.NO)


_MULTICAST = Kinds(frozenset({"multicast"}))
_BROADCAST = Kinds(frozenset({"broadcast"}))
_V4 = {
    Tri.YES: Kinds(frozenset({"local"})),
    Tri.NO: Kinds(frozenset({"unicast", ONLY_UNICAST})),
    Tri.UNKNOWN: Kinds(possible=frozenset({"local", "unicast", ONLY_UNICAST, "broadcast"})),
}
# What a route lookup may say of an IPv6 address besides local and unicast.
_ROUTED = frozenset({"anycast", "unreachable", "blackhole", "prohibit", "throw", "unspec"})
_V6 = {
    Tri.YES: Kinds(frozenset({"local"}), _ROUTED | {"unicast"}, strict=True),
    Tri.NO: Kinds(frozenset({"unicast", ONLY_UNICAST}), _ROUTED, strict=True),
    Tri.UNKNOWN: Kinds(possible=_ROUTED | {"local", "unicast", ONLY_UNICAST}, strict=True),
}
_FRAME = frozenset({"host", "unicast"})  # two words for one type: nft says host, iptables unicast


def kinds_of(address: int | None, version: int, local: Tri) -> Kinds:
    """The types of an address (as an integer; None when not known). `local`: does the node own it?"""
    if address is None:
        return (_V4 if version == 4 else _V6)[local]
    if version == 6:
        if address >> 120 == 0xFF:
            return _MULTICAST
        return _V6[Tri.YES if address == _LOOPBACK6 else local]
    first = address >> 24
    if first == 0 or address == _LIMITED_BROADCAST:
        return _BROADCAST
    if first >> 4 == 0xE:
        return _MULTICAST
    return _V4[Tri.YES if first == _LOOPBACK4 else local]


def frame_kinds(address: int, version: int) -> Kinds:
    """The link-layer packet type that a packet to this address comes with: to this host, unless it is for many."""
    kinds = kinds_of(address, version, Tri.YES)
    return kinds if kinds in (_MULTICAST, _BROADCAST) else Kinds(_FRAME)
