"""The packets that are sent: as the test describes them, as bytes, and as the model sees them."""

import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from random import Random
from typing import Any

from agent.model.packet import CtState, Packet
from tests.differential import judge, wire

PORTS = (22, 80, 443, 8080, 10249, 10250, 10251, 30000)
TTLS, TOSES, PAYLOADS = (1, 63, 64, 128, 255), (0, 0, 0x10, 0x28, 0xB8, 0x60), (0, 8, 60, 200)
# Who sends: the pod of the story, its neighbours, another node, a stranger.
SOURCES = {
    4: ("10.244.4.138", "10.244.4.139", "10.244.4.7", "172.31.16.9", "203.0.113.9", "10.0.3.138"),
    6: ("fd00:10:244:4::8a", "fd00:10:244:4::8b", "fd00:10:244:4::7", "fd00:172:31:16::9", "2001:db8::9", "fd00:10::8a"),
}
DESTINATIONS = {
    4: (judge.NODE, judge.NODE, judge.BRIDGE, "10.99.0.1"),
    6: (judge.NODE6, judge.NODE6, judge.BRIDGE6, "fd00:99::1"),
}
LOCAL = tuple(map(ip_address, dict.fromkeys((*DESTINATIONS[4], *DESTINATIONS[6], "127.0.0.1", "::1"))))
FLAGS = (2, 2, 2, 2, 2, 16, 18, 4, 20, 17, 1, 0, 41, 3, 24, 34, 63)
_ICMP_TYPES = {4: (8, 8, 8, 0, 3, 11, 13), 6: (128, 128, 128, 129, 1, 3)}
_CODES = {3: (0, 1, 3, 10), 1: (0, 1, 4)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One packet. `way` is the interface it comes in by; `number` names it among those of one firewall.

    Ports are None where the protocol has none; `kind` and `code` are ICMP's.
    """

    way: str
    source: str
    destination: str
    protocol: int
    sport: int | None = None
    dport: int | None = None
    flags: int | None = None
    kind: int | None = None
    code: int | None = None
    ttl: int = 64
    tos: int = 0
    payload: int = 0
    number: int = 1

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_address(self.source).version

    def packet(self) -> bytes:
        """The packet as bytes, from the IP header on."""
        how = {"ttl": self.ttl, "tos": self.tos, "number": self.number}
        return wire.build(self.source, self.destination, self.protocol, self._body(), **how)

    def model(self) -> Packet:
        """The packet as the model takes it."""
        return Packet(
            source=ip_address(self.source),
            destination=ip_address(self.destination),
            protocol=self.protocol,
            sport=self.sport,
            dport=self.dport,
            iif=self.way,
            tcp_flags=self.flags,
            icmp_type=self.kind,
            icmp_code=self.code,
            ctstate=self._state(),
            length=len(self.packet()),
            ttl=self.ttl,
            dscp=self.tos >> 2,
            local=LOCAL,
        )

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def _body(self) -> bytes:
        data = bytes(self.payload)
        if self.protocol == wire.TCP:
            return struct.pack(">HHIIBBHHH", self.sport, self.dport, 1, 0, 5 << 4, self.flags, 1024, 0, 0) + data
        if self.protocol == wire.UDP:
            return struct.pack(">HHHH", self.sport, self.dport, 8 + len(data), 0) + data
        if self.protocol in (wire.ICMP, wire.ICMP6):
            if wire.is_error(self.protocol, self.kind):
                data = self._complaint()
            return struct.pack(">BBHHH", self.kind, self.code, 0, self.number, 1) + data
        return struct.pack(">IIII", self.number, 1, 0, 0) + data

    def _complaint(self) -> bytes:
        """The packet that an ICMP error is about: one that this node never sent."""
        how = {"ttl": 64, "tos": 0, "number": self.number}
        return wire.build(self.destination, self.source, wire.UDP, struct.pack(">HHHH", self.number, 9, 8, 0), **how)

    def _state(self) -> CtState:
        """What conntrack makes of it, as the first packet of its flow.

        TCP: tcp_valid_flags, and the row for no connection of tcp_conntracks (net/netfilter/nf_conntrack_proto_tcp.c): a SYN
        or, picked up in the middle, an ACK opens a connection. ICMP: the types of valid_new (nf_conntrack_proto_icmp.c,
        nf_conntrack_proto_icmpv6.c).
        """
        if self.protocol == wire.TCP:
            assert self.flags is not None
            return CtState.NEW if self.flags & 0x37 in (2, 34, 16, 48) else CtState.INVALID
        if self.protocol in (wire.ICMP, wire.ICMP6):
            return CtState.NEW if self.kind in (8, 13, 128) else CtState.INVALID
        return CtState.NEW


def read_shot(plain: dict[str, Any]) -> Shot:
    """A shot from its JSON."""
    return Shot(**plain)


@dataclass(frozen=True, slots=True)
class Scene:
    """What packets are drawn from: interfaces, ports, and by IP version who sends."""

    ways: tuple[str, ...] = ("cni0", "cni0", "cni0", "eth0", "eth01", "lo")
    ports: tuple[int, ...] = PORTS
    sources: Mapping[int, tuple[str, ...]] = field(default_factory=lambda: SOURCES)


def make_shots(random: Random, versions: tuple[int, ...], number: int, scene: Scene = Scene()) -> list[Shot]:
    """At most so many different packets, no two of one connection."""
    shots, taken = [], set[tuple[object, ...]]()
    for index in range(1, number + 1):
        shot = _make(random, random.choice(versions), index, scene)
        flow = (shot.protocol, shot.source, shot.sport)
        if shot.kind is None and flow in taken:
            continue
        taken.add(flow)
        shots.append(shot)
    return shots


def _make(random: Random, version: int, number: int, scene: Scene) -> Shot:
    way = random.choice(scene.ways)
    destination = random.choice(DESTINATIONS[version])
    source = destination if way == "lo" else random.choice(scene.sources[version])
    protocol = random.choice((wire.TCP,) * 6 + (wire.UDP,) * 3 + (wire.ICMP if version == 4 else wire.ICMP6,) * 2 + (50, 253))
    rest: dict[str, int] = {}
    if protocol in (wire.TCP, wire.UDP):
        sport = random.choice((random.randrange(1024, 65536), random.randrange(30000, 30100), random.choice(scene.ports)))
        if way == "lo":  # where one packet could else be another's answer
            sport = random.randrange(40000, 65536)
        rest = {"sport": sport, "dport": random.choice(scene.ports)}
        if protocol == wire.TCP:
            rest["flags"] = random.choice(FLAGS)
    elif protocol in (wire.ICMP, wire.ICMP6):
        kind = random.choice(_ICMP_TYPES[version])
        rest = {"kind": kind, "code": random.choice(_CODES.get(kind, (0,)))}
    return Shot(
        way=way,
        source=source,
        destination=destination,
        protocol=protocol,
        ttl=random.choice(TTLS),
        tos=random.choice(TOSES),
        payload=random.choice(PAYLOADS),
        number=number,
        **rest,
    )
