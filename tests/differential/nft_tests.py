"""Random tests of nft: what a rule may ask of a packet, with values that are near those of the packets."""

from random import Random

from tests.differential.values import MARKS, PATTERNS, Values

_STATES = ("new", "established", "related", "invalid", "untracked")
_FLAGS = (
    "syn", "& (syn|ack) == syn", "& (fin|syn|rst|ack) != syn", "& (fin|syn) == fin|syn", "!= syn", "syn / syn,ack", "== 0x0",
    "{ syn, ack }", "& ack == 0",
)  # fmt: skip
_ICMP = ("echo-request", "{ echo-request, echo-reply }", "destination-unreachable")


class NftTests:
    """Draws tests for rules of a table of any family."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.values = Values(random)
        self.family = "inet"
        often = (self._address, self._port, self._state, self._interface)
        seldom = (
            self._set, self._odd, self._flags, self._icmp, self._status, self.draw_mark, self._fib, self._ttl, self._length,
            self._dscp, self._frame, self._protocol, self._version, self._concatenation,
        )  # fmt: skip
        self.kinds = (*often, *often, self.draw_mark, self.draw_mark, self.draw_mark, *seldom)

    def draw(self, family: str) -> str:
        """One test in a table of that family."""
        self.family = family
        return self.random.choice(self.kinds)()

    @property
    def _no(self) -> str:
        return "!= " if self.values.chance(0.2) else ""

    def _choose_version(self) -> int:
        return {"ip": 4, "ip6": 6}.get(self.family) or self.random.choice((4, 4, 6))

    def _side(self) -> tuple[str, bool]:
        source = self.values.chance(0.7)
        return "saddr" if source else "daddr", source

    def _address(self) -> str:
        version, (side, source), values = self._choose_version(), self._side(), self.values
        network = values.network(version, source=source)
        wanted = (
            network,
            values.address(version, source=source),
            "-".join(values.span(version, source=source)),
            f"{{ {network}, {'10.9.9.9' if version == 4 else 'fd09::9'} }}",
        )
        return f"{'ip' if version == 4 else 'ip6'} {side} {self._no}{self.random.choice(wanted)}"

    def _set(self) -> str:
        (side, _), no = self._side(), self._no
        choices = [f"tcp dport {no}@ports"]
        if self.family != "ip":
            choices.append(f"ip6 {side} {no}@six")
        if self.family != "ip6":
            choices += [f"ip {side} {no}@four", f"ip {side} {no}@nets", f"iifname {no}@doors"]
            choices += ["ip saddr . tcp dport @pairs", "ip saddr . tcp dport @spans"]
        return self.random.choice(choices)

    def _odd(self) -> str:
        version, (side, source) = self._choose_version(), self._side()
        address, mask = self.values.odd_mask(version, source=source)
        return f"{'ip' if version == 4 else 'ip6'} {side} & {mask} {self._no or '=='} {address}"

    def _interface(self) -> str:
        pattern = self.random.choice(PATTERNS).replace("+", "*")
        no = self._no
        return self.random.choice((f'iifname {no}"{pattern}"', f"iif {no}eth0", f"iifname {no}{{ cni0, eth01 }}"))

    def _port(self) -> str:
        one, other = self.values.ports()
        keys = ("tcp dport", "tcp dport", "udp dport", "tcp sport", "udp sport", "meta l4proto { tcp, udp } th dport")
        no = self._no
        asked = (f"{no}{one}", f"{no}{one}-{other}", f"{no}{{ {one}, 10250, 1-5 }}", f"< {other}", f">= {other}")
        return f"{self.random.choice(keys)} {self.random.choice(asked)}"

    def _flags(self) -> str:
        return f"tcp flags {self.random.choice(_FLAGS)}"

    def _icmp(self) -> str:
        asked = self.random.choice((f"type {self._no}{self.random.choice(_ICMP)}", f"code {self._no}1"))
        return f"{'icmp' if self._choose_version() == 4 else 'icmpv6'} {asked}"

    def _state(self) -> str:
        states = self.random.sample(_STATES, self.random.choice((1, 1, 2, 3)))
        if len(states) == 1:
            return f"ct state {self._no}{states[0]}"
        joined = ", ".join(states)
        return f"ct state {self._no}{self.random.choice((joined, f'{{ {joined} }}'))}"

    def _status(self) -> str:
        bit = self.random.choice(("dnat", "assured", "seen-reply", "snat"))
        return self.random.choice((f"ct status {bit}", "ct state new ct direction original", "ct state new ct direction reply"))

    def draw_mark(self) -> str:
        """A test of a mark, which earlier rules may have written."""
        mask = f" and {self.random.choice(MARKS):#x}" if self.values.chance(0.4) else ""
        return f"{self.random.choice(('meta', 'ct'))} mark{mask} {self._no or '=='} {self.random.choice(MARKS):#x}"

    def _fib(self) -> str:
        return f"fib {self._side()[0]} type {self._no}{self.random.choice(('local', 'local', 'unicast', 'multicast'))}"

    def _ttl(self) -> str:
        key = "ip ttl" if self._choose_version() == 4 else "ip6 hoplimit"
        return f"{key} {self.random.choice((self._no, '< ', '> '))}{self.random.choice((1, 63, 64, 128))}"

    def _length(self) -> str:
        key = self.random.choice(("meta length", "ip length" if self._choose_version() == 4 else "meta length"))
        return f"{key} {self._no}{self.random.choice((40, '40-60', 68))}"

    def _dscp(self) -> str:
        wanted = self.random.choice(("ef", "cs1", "af11", "0x0a", "{ cs0, ef }"))
        return f"{'ip' if self._choose_version() == 4 else 'ip6'} dscp {self._no}{wanted}"

    def _frame(self) -> str:
        return f"meta pkttype {self._no}{self.random.choice(('host', 'broadcast', 'multicast'))}"

    def _protocol(self) -> str:
        no, own = self._no, "ip protocol" if self._choose_version() == 4 else "ip6 nexthdr"
        return self.random.choice((f"meta l4proto {no}tcp", f"meta l4proto {no}{{ tcp, 17 }}", f"{own} {no}udp"))

    def _version(self) -> str:
        no = self._no
        if self.family != "inet":
            return f"meta mark {no or '=='} 0x0"
        return self.random.choice((f"meta nfproto {no}ipv4", f"meta nfproto {no}ipv6", f"meta protocol {no}ip"))

    def _concatenation(self) -> str:
        no = self._no
        choices = [
            f"iifname . tcp dport {no}{{ cni0 . 10250, eth0 . 22 }}",
            f"iifname . meta l4proto {no}{{ cni0 . tcp, eth0 . udp }}",
        ]
        if self.family != "ip6":
            choices.append(f"ip saddr . tcp dport {no}{{ 10.244.4.138 . 10250, 10.244.4.139 . 22 }}")
            choices.append("ip saddr . ip daddr { 10.244.4.0/24 . 172.31.16.0/20, 203.0.113.9 . 10.0.0.0-10.255.255.255 }")
        return self.random.choice(choices)
