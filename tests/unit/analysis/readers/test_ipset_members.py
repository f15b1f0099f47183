"""What entries mean, type by type, on packets in memory; tests/lab/test_ipset.py holds the same to the kernel."""

from ipaddress import ip_address

import pytest

from agent.analysis.path.match import holds, read_fields
from agent.analysis.readers.ipset import parse
from agent.analysis.readers.ipset_members import UnknownMembersError, members
from agent.model.packet import PROTOCOLS, Field, Packet
from agent.model.ruleset import AnyOf, Compare, Intervals
from agent.model.tri import Tri

_POD, _NODE = ip_address("10.244.4.138"), ip_address("172.31.16.124")
_PACKETS = {
    "tcp": Packet(
        source=_POD, destination=_NODE, sport=40000, dport=10250, iif="cni0", mark=0x110,
    ),
    "icmp": Packet(
        source=_POD, destination=_NODE, protocol=1, icmp_type=8, icmp_code=0, iif="cni0",
    ),
    "gre": Packet(source=_POD, destination=_NODE, protocol=47, iif="cni0"),
    "tcp6": Packet(source=ip_address("fd00::8a"), destination=ip_address("fd00::7c"), sport=40000, dport=10250, iif="cni0"),
}  # fmt: skip


def asked(text: str, directions: str, packet: str = "tcp", *, swapped: bool = False, mac: int | None = None) -> Tri:
    """Whether the packet is in the set `KIND OPTIONS : ENTRY; ENTRY`."""
    kind, _, entries = text.partition(" : ")
    lines = [f"create s {kind}", *(f"add s {entry.strip()}" for entry in entries.split(";") if entry.strip())]
    found = parse("\n".join(lines))
    assert found.problems == ()
    tests = members(found.sets["s"], [each == "src" for each in directions.split(",")], swapped=swapped)
    fields = read_fields(_PACKETS[packet], delivered=True) | {Field.ETHER_SADDR: mac}
    return holds(AnyOf(tests), fields)


@pytest.mark.parametrize(
    ("text", "directions", "packet", "answer"),
    [
        ("hash:ip : 10.244.4.138", "src", "tcp", Tri.YES),
        ("hash:ip : 10.244.4.0/24", "src", "tcp", Tri.YES),
        ("hash:ip : 10.244.4.100-10.244.4.137", "src", "tcp", Tri.NO),
        ("hash:ip netmask 24 : 10.244.4.0", "src", "tcp", Tri.YES),
        ("hash:ip bitmask 255.255.0.255 : 10.244.0.138", "src", "tcp", Tri.YES),
        ("hash:ip bitmask 255.255.0.255 : 10.244.0.137; 10.244.0.136", "src", "tcp", Tri.NO),
        ("hash:ip family inet6 : [fd00::8a]", "src", "tcp6", Tri.YES),
        ("bitmap:ip range 10.244.0.0/16 netmask 24 : 10.244.4.0", "src", "tcp", Tri.YES),
        ("bitmap:port range 0-65535 : 10200-10300", "dst", "tcp", Tri.YES),
        ("bitmap:port range 0-65535 : 10250", "dst", "icmp", Tri.NO),
        ("hash:ip,port : 10.244.4.138,10250", "src,dst", "tcp", Tri.YES),
        ("hash:ip,port : 10.244.4.138,udp:domain", "src,dst", "tcp", Tri.NO),
        ("hash:ip,port : 10.244.4.138,sctp:1-65535", "src,dst", "tcp", Tri.NO),
        ("hash:ip,port : 10.244.4.138,icmp:echo-request", "src,dst", "icmp", Tri.YES),
        ("hash:ip,port : 10.244.4.138,icmp:8/1", "src,dst", "icmp", Tri.NO),
        ("hash:ip,port : 10.244.4.138,gre:0", "src,dst", "gre", Tri.YES),
        ("hash:ip,port : 10.244.4.138,47:0", "src,dst", "gre", Tri.YES),
        ("hash:ip,port : 10.244.4.138,10250", "src", "tcp", Tri.NO),
        ("hash:net : 10.244.0.0-10.244.4.138; 10.244.4.136/30 nomatch", "src", "tcp", Tri.YES),
        ("hash:net : 10.244.0.0-10.244.4.150; 10.244.4.138 nomatch", "src", "tcp", Tri.NO),
        ("hash:net,port : 10.0.0.0/8,10250; 10.244.0.0/16,10250 nomatch", "src,dst", "tcp", Tri.NO),
        ("hash:net,net : 10.0.0.0/8,172.31.0.0/16 nomatch; 10.244.0.0/16,172.16.0.0/12", "src,dst", "tcp", Tri.YES),
        ("hash:net,net : 10.0.0.0/8,172.31.0.0/16 nomatch; 10.0.0.0/8,172.16.0.0/12", "src,dst", "tcp", Tri.NO),
        ("hash:net,port,net : 10.0.0.0/8,10250,172.16.0.0/12", "src,dst,dst", "tcp", Tri.YES),
        ("hash:ip,port,ip : 10.244.4.138,10250,172.31.16.124", "src,dst,dst", "tcp", Tri.YES),
        ("hash:ip,port,net : 10.244.4.138,10250,172.16.0.0/12", "src,dst,dst", "tcp", Tri.YES),
        ("hash:net,iface : 10.0.0.0/8,cni wildcard", "src,src", "tcp", Tri.YES),
        ("hash:net,iface : 10.0.0.0/8,cni0; 10.244.0.0/16,eth0", "src,src", "tcp", Tri.NO),
        ("hash:net,iface : 10.0.0.0/8,a wildcard; 10.0.0.0/8,ab wildcard; 10.0.0.0/8,cni0; 10.0.0.0/8,b nomatch", "src,src",
         "tcp", Tri.YES),
        ("hash:net,iface : 10.0.0.0/8,eth0", "src,dst", "tcp", Tri.UNKNOWN),
        ("hash:mac : 02:00:00:00:00:02", "src", "tcp", Tri.UNKNOWN),
        ("hash:ip,mac : 10.244.4.139,02:00:00:00:00:02", "src,src", "tcp", Tri.NO),
        ("bitmap:ip,mac range 10.244.0.0/16 : 10.244.4.138", "src,src", "tcp", Tri.UNKNOWN),
        ("hash:ip,mark : 10.244.4.138,0x110", "src,src", "tcp", Tri.YES),
        ("hash:ip,mark markmask 0xf0 : 10.244.4.138,0x10", "src,src", "tcp", Tri.YES),
        ("hash:net", "src", "tcp", Tri.NO),
    ],
)  # fmt: skip
def test_a_packet_is_in_a_set_or_not(text: str, directions: str, packet: str, answer: Tri) -> None:
    assert asked(text, directions, packet) is answer


def test_return_nomatch_swaps_what_is_in_and_what_keeps_out() -> None:
    nets = "hash:net : 10.0.0.0/8; 10.244.0.0/16 nomatch"
    assert (asked(nets, "src"), asked(nets, "src", swapped=True)) == (Tri.NO, Tri.YES)
    assert asked("hash:ip : 10.244.4.138", "src", swapped=True) is Tri.YES


def test_a_known_link_layer_address_decides() -> None:
    assert asked("hash:mac : 02:00:00:00:00:02", "src", mac=0x020000000002) is Tri.YES
    assert asked("hash:mac : 02:00:00:00:00:02", "src", mac=0x020000000003) is Tri.NO
    assert asked("bitmap:ip,mac range 10.244.0.0/16 : 10.244.4.138", "src,src", mac=0x020000000003) is Tri.YES


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hash:ip : fd00::1", "entry fd00::1"),
        ("hash:ip family martian : 10.0.0.1", "entry 10.0.0.1"),
        ("hash:ip,port : 10.0.0.1", "entry 10.0.0.1"),
        ("hash:ip,port : 10.0.0.1,unheard:80", "unheard"),
        ("hash:ip,port : 10.0.0.1,tcp:90-80", "90-80"),
        ("hash:ip,port : 10.0.0.1,icmp:redirect", "redirect"),
        ("hash:ip,port : 10.0.0.1,icmp:8", "icmp:8"),
        ("hash:ip,port : 10.0.0.1,gre:1", "gre:1"),
        ("hash:ip,port,ip : 10.0.0.1,80,x", "80,x"),
        ("hash:net : 10.0.0.0/255.0.255.0", "255.0.255.0"),
        ("hash:net : 10.0.0.0/8; 10.0.0.0/8 nomatch", "both with"),
        ("hash:ip bitmask 255.255.0.255 : 10.0.0.1-10.0.0.9", "no prefix"),
        ("hash:ip netmask x : 10.0.0.1", "mask x"),
        ("hash:net,net bitmask 255.0.0.0 : 10.0.0.0/8,10.0.0.0/8", "mask 255.0.0.0"),
        ("hash:net,iface : 10.0.0.0/8,physdev:eth0", "physdev"),
        ("hash:net,iface : 10.0.0.0/8,eth*", r"eth\*"),
        ("hash:net,iface : 10.0.0.0/8,eth wildcard; 10.0.0.0/8,eth0 nomatch", "comes first"),
        ("hash:net,iface : 10.0.0.0/8,eth wildcard; 10.0.0.0/8,e nomatch wildcard", "comes first"),
        ("hash:net,iface : 10.0.0.0/8,eth0; 10.0.0.0/8,e nomatch wildcard", "comes first"),
        ("hash:mac : 02:00", "02:00"),
        ("hash:ip,mark : 10.0.0.1,blue", "blue"),
    ],
)
def test_what_is_not_understood_is_never_guessed(text: str, why: str) -> None:
    with pytest.raises(UnknownMembersError, match=why):
        asked(text, "src,src,src")


def test_too_many_exceptions_are_not_followed() -> None:
    entries = [f"10.0.{n // 256}.{n % 256},10.0.0.0/8{' nomatch' if n % 2 else ''}" for n in range(1000)]
    with pytest.raises(UnknownMembersError, match="too many"):
        asked(f"hash:net,net : {';'.join(entries)}", "src,dst")


def test_many_addresses_are_one_test() -> None:
    (test,) = members(
        parse("create s hash:ip\n" + "".join(f"add s 10.0.0.{n}\n" for n in range(100))).sets["s"], [True], swapped=False
    )
    assert test == Compare(Field.SADDR, Intervals(((0x0A000000, 0x0A000063),)))
    assert PROTOCOLS["tcp"] == 6
