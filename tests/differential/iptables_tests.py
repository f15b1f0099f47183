"""Random matches of iptables: what a rule may ask of a packet, with values that are near those of the packets."""

from random import Random

from tests.differential.values import MARKS, PATTERNS, Values

_STATES = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED")
_FLAGS = ("SYN", "ACK", "FIN", "RST", "URG", "PSH")
_STATUS = ("ASSURED", "SEEN_REPLY", "EXPECTED", "EXPECTED,ASSURED")
_LENGTHS = ("40", "40:60", "0:48", "100:", "68", "28:108")
_DSCP = ("--dscp 0x0a", "--dscp-class CS1", "--dscp-class EF", "--dscp 0", "--dscp 46")
_TOS = ("0x10/0xfc", "0x20/0x20", "0x00/0xe0", "0x28/0x3c")
_COMMENTS = ("-j DROP", "it is fine", "a b  c", "!")
_ICMP = {
    "icmp": ("echo-request", "8", "3/1", "destination-unreachable", "any", "host-prohibited", "timestamp-request", "0", "11"),
    "ipv6-icmp": ("echo-request", "128", "1/4", "destination-unreachable", "no-route", "129", "3/0", "3"),
}
# Which types of IPv6 address the kernel tells, it says otherwise for each backend: the plain ones do for it.
_ADDRESS_TYPES = {
    4: ("LOCAL", "LOCAL", "UNICAST", "MULTICAST", "BROADCAST", "LOCAL,UNICAST", "UNICAST,BROADCAST"),
    6: ("LOCAL", "LOCAL", "MULTICAST"),
}


class IptablesTests:
    """Draws matches for rules of one IP version."""

    def __init__(self, random: Random, version: int) -> None:
        self.random = random
        self.values = Values(random)
        self.version = version
        often = (self._address, self._interface, self._state, self.draw_mark)
        seldom = (
            self._odd_mask, self._status, self._direction, self._address_type, self._span, self._length, self._ttl, self._dscp,
            self._tos, self._frame, self._comment, self._fragment,
        )  # fmt: skip
        self.kinds = (*often, *often, self.draw_mark, self.draw_mark, *seldom)

    def draw(self) -> str:
        """One match that asks for no protocol."""
        return self.random.choice(self.kinds)()

    def about_protocol(self, protocol: str) -> list[str]:
        """One match that a rule for this protocol can have; none where there is none."""
        if protocol in _ICMP:
            name = "icmp" if protocol == "icmp" else "icmpv6"
            match = "icmp" if protocol == "icmp" else "icmp6"
            return [f"-m {match} {self._no}--{name}-type {self.random.choice(_ICMP[protocol])}"]
        if protocol == "tcp" and self.values.chance(0.3):
            return [f"-m tcp {self._no}{self._flags()}"]
        return [self._ports(protocol)] if protocol in ("tcp", "udp") else []

    @property
    def _no(self) -> str:
        return "! " if self.values.chance(0.2) else ""

    def _flags(self) -> str:
        mask = self.random.sample(_FLAGS, self.random.randrange(1, 5))
        comparison = ",".join(self.random.sample(mask, self.random.randrange(len(mask) + 1))) or "NONE"
        return self.random.choice((f"--tcp-flags {self.random.choice((','.join(mask), 'ALL'))} {comparison}", "--syn"))

    def _ports(self, protocol: str) -> str:
        values, side = self.values, self.random.choice(("d", "d", "s"))
        one, other = values.ports()
        if values.chance(0.3):
            several = ",".join((str(values.port()), str(values.port()), f"{one}:{other}"))
            return f"-m multiport {self._no}--{self.random.choice((f'{side}ports', 'ports'))} {several}"
        ports = self.random.choice((str(one), str(other), f"{one}:{other}", f":{other}", f"{one}:"))
        return f"-m {protocol} {self._no}--{side}port {ports}"

    def _side(self) -> tuple[str, str, bool]:
        source = self.values.chance(0.7)
        return *(("-s", "src") if source else ("-d", "dst")), source

    def _address(self) -> str:
        side, _, source = self._side()
        return f"{self._no}{side} {self.values.network(self.version, source=source)}"

    def _odd_mask(self) -> str:
        side, _, source = self._side()
        return f"{self._no}{side} {'/'.join(self.values.odd_mask(self.version, source=source))}"

    def _interface(self) -> str:
        return f"{self._no}-i {self.random.choice(PATTERNS)}"

    def _state(self) -> str:
        states = ",".join(self.random.sample(_STATES, self.random.choice((1, 1, 2, 3))))
        if self.values.chance(0.4):
            return f"-m state {self._no}--state {states}"
        return f"-m conntrack {self._no}--ctstate {states}{self.random.choice(('', '', '', ',DNAT', ',SNAT'))}"

    def _status(self) -> str:
        return f"-m conntrack {self._no}--ctstatus {self.random.choice(_STATUS)}"

    def _direction(self) -> str:
        return f"-m conntrack --ctstate NEW --ctdir {self.random.choice(('ORIGINAL', 'REPLY'))}"

    def draw_mark(self) -> str:
        """A test of a mark, which earlier rules may have written."""
        mask = f"/{self.random.choice(MARKS):#x}" if self.values.chance(0.5) else ""
        return f"-m {self.random.choice(('mark', 'mark', 'connmark'))} {self._no}--mark {self.random.choice(MARKS):#x}{mask}"

    def _address_type(self) -> str:
        return f"-m addrtype {self._no}--{self._side()[1]}-type {self.random.choice(_ADDRESS_TYPES[self.version])}"

    def _span(self) -> str:
        _, side, source = self._side()
        return f"-m iprange {self._no}--{side}-range {'-'.join(self.values.span(self.version, source=source))}"

    def _length(self) -> str:
        return f"-m length {self._no}--length {self.random.choice(_LENGTHS)}"

    def _ttl(self) -> str:
        name = "ttl" if self.version == 4 else "hl"
        asked = self.random.choice((f"{self._no}--{name}-eq", f"--{name}-lt", f"--{name}-gt"))
        return f"-m {name} {asked} {self.random.choice((1, 63, 64, 128, 255))}"

    def _dscp(self) -> str:
        return f"-m dscp {self._no}{self.random.choice(_DSCP)}"

    def _tos(self) -> str:
        return f"-m tos {self._no}--tos {self.random.choice(_TOS)}"

    def _frame(self) -> str:
        return f"-m pkttype {self._no}--pkt-type {self.random.choice(('unicast', 'broadcast', 'multicast'))}"

    def _comment(self) -> str:
        return f'-m comment --comment "{self.random.choice(_COMMENTS)}"'

    def _fragment(self) -> str:
        return f"{self._no}-f" if self.version == 4 else self._comment()
