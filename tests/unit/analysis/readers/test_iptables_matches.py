import pytest

from agent.analysis.readers.iptables_matches import TRACKED
from agent.analysis.readers.iptables_rule import read_words
from agent.analysis.readers.tokens import words
from agent.model.packet import Field
from agent.model.ruleset import (
    AnyBit,
    AnyOf,
    Compare,
    Intervals,
    Lookup,
    Masked,
    Names,
    Statement,
    Unclear,
    Unsure,
    Words,
)

_TCP = Compare(Field.PROTOCOL, Intervals(((6, 6),)))
_UDP = Compare(Field.PROTOCOL, Intervals(((17, 17),)))


def read(text: str, family: str = "ip") -> tuple[Statement, ...]:
    return read_words(words(text), family, frozenset()).statements


def span(field: Field, low: int, high: int, negate: bool = False) -> Compare:
    return Compare(field, Intervals(((low, high),)), negate)


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("-s 10.0.0.0/8", (span(Field.SADDR, 0x0A000000, 0x0AFFFFFF),)),
        ("! -s 10.0.0.0/8", (span(Field.SADDR, 0x0A000000, 0x0AFFFFFF, True),)),
        ("-d ! 10.0.0.0/8", (span(Field.DADDR, 0x0A000000, 0x0AFFFFFF, True),)),
        ("-s 0.0.0.0/0", ()),
        ("! -s 0.0.0.0/0", (span(Field.SADDR, 0, 0xFFFFFFFF, True),)),
        ("-s 10.0.0.1,10.0.0.2", (AnyOf((span(Field.SADDR, 167772161, 167772161), span(Field.SADDR, 167772162, 167772162))),)),
        ("-i eth+", (Compare(Field.IIF, Names(("eth*",))),)),
        ("! -o lo", (Compare(Field.OIF, Names(("lo",)), True),)),
        ("-i +", ()),
        ("-p tcp", (_TCP,)),
        ("-p 6", (_TCP,)),
        ("! -p TCP", (span(Field.PROTOCOL, 6, 6, True),)),
        ("-p all", ()),
        ("-f", (span(Field.FRAGMENT, 1, 1),)),
        ("! -f", (span(Field.FRAGMENT, 1, 1, True),)),
    ],
    ids=str,
)
def test_built_in(text: str, statements: tuple[Statement, ...]) -> None:
    assert read(text) == statements


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("-p tcp -m tcp --dport 22", (_TCP, span(Field.DPORT, 22, 22))),
        ("-p tcp --dport ssh", (_TCP, span(Field.DPORT, 22, 22))),
        ("-p tcp -m comment --comment x --dport 22", (_TCP, span(Field.DPORT, 22, 22))),
        (
            "-p tcp --sport 5 -m comment --comment x --dport 22",
            (_TCP, span(Field.SPORT, 5, 5), span(Field.DPORT, 22, 22)),
        ),
        ("-m tcp --dport 22", (_TCP, span(Field.DPORT, 22, 22))),
        ("-p udp -m udp ! --sport 1024:", (_UDP, span(Field.SPORT, 1024, 65535, True))),
        ("-p tcp -m tcp --sport :80", (_TCP, span(Field.SPORT, 0, 80))),
        ("-p tcp -m multiport --dports 22,80:90", (_TCP, Compare(Field.DPORT, Intervals(((22, 22), (80, 90)))))),
        (
            "-p tcp -m multiport ! --ports 22",
            (_TCP, AnyOf((span(Field.SPORT, 22, 22), span(Field.DPORT, 22, 22)), negate=True)),
        ),
        ("-p tcp --syn", (_TCP, Compare(Field.TCP_FLAGS, Masked(23, 2)))),
        ("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", (_TCP, Compare(Field.TCP_FLAGS, Masked(23, 2), True))),
        ("-p tcp -m tcp --tcp-flags ALL NONE", (_TCP, Compare(Field.TCP_FLAGS, Masked(63, 0)))),
    ],
    ids=str,
)
def test_ports_and_flags(text: str, statements: tuple[Statement, ...]) -> None:
    assert read(text) == statements


@pytest.mark.parametrize(
    ("text", "family", "statements"),
    [
        ("-p icmp -m icmp --icmp-type 8", "ip", (span(Field.PROTOCOL, 1, 1), span(Field.ICMP_TYPE, 8, 8))),
        ("-p icmp --icmp-type echo-request", "ip", (span(Field.PROTOCOL, 1, 1), span(Field.ICMP_TYPE, 8, 8))),
        ("-p icmp -m icmp --icmp-type any", "ip", (span(Field.PROTOCOL, 1, 1),)),
        (
            "-p icmp -m icmp ! --icmp-type 3/4",
            "ip",
            (
                span(Field.PROTOCOL, 1, 1),
                Lookup((Field.ICMP_TYPE, Field.ICMP_CODE), ((Intervals(((3, 3),)), Intervals(((4, 4),))),), True),
            ),
        ),
        ("-p ipv6-icmp -m icmp6 --icmpv6-type 135", "ip6", (span(Field.PROTOCOL, 58, 58), span(Field.ICMP_TYPE, 135, 135))),
        ("-p icmpv6 --icmpv6-type ping", "ip6", (span(Field.PROTOCOL, 58, 58), span(Field.ICMP_TYPE, 128, 128))),
    ],
    ids=str,
)
def test_icmp(text: str, family: str, statements: tuple[Statement, ...]) -> None:
    assert read(text, family) == statements


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("-m state --state RELATED,ESTABLISHED", (Compare(Field.CT_STATE, AnyBit(6)),)),
        ("-m conntrack ! --ctstate NEW", (Compare(Field.CT_STATE, AnyBit(8), True),)),
        ("-m conntrack --ctstate DNAT", (AnyOf((Compare(Field.CT_STATUS, AnyBit(32)),)),)),
        (
            "-m conntrack ! --ctstate RELATED,DNAT",
            (AnyOf((Compare(Field.CT_STATE, AnyBit(4)), Compare(Field.CT_STATUS, AnyBit(32))), True),),
        ),
        ("-m conntrack --ctdir REPLY", (TRACKED, span(Field.CT_DIRECTION, 1, 1))),
        (
            "-m conntrack --ctstate NEW --ctstatus ASSURED",
            (
                Compare(Field.CT_STATE, AnyBit(8)),
                AnyOf((Compare(Field.CT_STATE, AnyBit(65)), Compare(Field.CT_STATUS, AnyBit(4)))),
            ),
        ),
        ("-m mark --mark 0x4000/0x4000", (Compare(Field.MARK, Masked(0x4000, 0x4000)),)),
        # no mark has bits that the mask cuts off
        ("-m mark --mark 0xf/0x0", (Compare(Field.MARK, Intervals(())),)),
        ("-m mark ! --mark 0x3/0x2", (Compare(Field.MARK, Intervals(()), True),)),
        ("-m mark ! --mark 1", (span(Field.MARK, 1, 1, True),)),
        ("-m connmark --mark 1/3", (TRACKED, Compare(Field.CT_MARK, Masked(3, 1)))),
        ("-m addrtype ! --dst-type LOCAL,BROADCAST", (Compare(Field.DADDR_TYPE, Words(("local", "broadcast")), True),)),
        ("-m iprange --src-range 10.0.0.1-10.0.0.9", (span(Field.SADDR, 0x0A000001, 0x0A000009),)),
        ("-m length --length 100:", (span(Field.LENGTH, 100, 65535),)),
        ("-m ttl --ttl-lt 5", (span(Field.TTL, 0, 4),)),
        ("-m hl --hl-eq 255", (span(Field.TTL, 255, 255),)),
        ("-m dscp --dscp-class EF", (span(Field.DSCP, 46, 46),)),
        ("-m tos --tos 0x10/0xfc", (span(Field.DSCP, 4, 4),)),
        (
            "-m tos --tos 0x10",
            (span(Field.DSCP, 4, 4), Unsure("--tos 0x10", "it asks for ECN bits, which are not followed here")),
        ),
        ("-m tos ! --tos 0x10", (Unsure("! --tos 0x10", "it asks for ECN bits, which are not followed here"),)),
        ("-p tcp --dport=22", (_TCP, span(Field.DPORT, 22, 22))),
        ("-m pkttype --pkt-type host", (Compare(Field.PKTTYPE, Words(("unicast",))),)),
        ("-m owner ! --uid-owner 0-100", (span(Field.SKUID, 0, 100, True),)),
        ('-m comment --comment "-j DROP"', ()),
    ],
    ids=str,
)
def test_extensions(text: str, statements: tuple[Statement, ...]) -> None:
    assert read(text) == statements


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("-m limit --limit 3/min --limit-burst 5", "rate limit"),
        ("-m recent --rcheck --seconds 60 --name x --rsource", "recently seen"),
        ("-m set --match-set a{b}|;$^c dst", "ipset"),
        ("-m physdev ! --physdev-in v*", "not understood"),
        ("-m nonsense --what ever", "not understood"),
        ("-m addrtype --dst-type LOCAL --limit-iface-in", "routing state"),
        ("-m conntrack --ctrepldstport 80", "kernel state"),
        ("-m owner --socket-exists", "not followed"),
        ("-p tcp -m tcp --tcp-option 5", "TCP options"),
        ("-p tcp --dport nosuchservice", "not understood"),
        ("-p tcp --dport 90:80", "not understood"),
        ("-m mark", "without its condition"),
        ("-s node.example", "not an address"),
        ("-i eth*", "pattern"),
        ("-p nosuchprotocol", "not known"),
        ("-m tcp --icmp-type 8", "TCP options"),
        ("-p gre --dport 5", "needs a protocol"),
        ("-p tcp --dport tftp", "not understood"),
        ("-p tcp -m tcp --tcp-flags SYN,NOSUCH SYN", "not understood"),
        ("-p tcp -m multiport --dports 22,nosuchservice", "not understood"),
        ("-p icmp --icmp-type nosuch", "not understood"),
        ("-m state --state NOSUCH", "not understood"),
        ("-m ttl --ttl-near 5", "not understood"),
        ("-m tos --tos nosuch", "not understood"),
        ("-m comment --nosuch x", "not understood"),
    ],
    ids=str,
)
def test_what_cannot_be_known_is_unsure(text: str, word: str) -> None:
    unsure = [each for each in read(text) if isinstance(each, Unsure)]
    assert unsure
    assert word in " ".join(each.why for each in unsure)


@pytest.mark.parametrize(
    "text",
    [
        "-j DROP extra",
        "! -j DROP",
        "-j DROP -j ACCEPT",
        "-s",
        "-m",
        "-j",
        "! ! -s 10.0.0.1 -j DROP",
        "! -s ! 10.0.0.1",
        "! -c 10 600 -j DROP",
        "-j X -Y",
    ],
)
def test_words_without_a_place_make_the_rule_unclear(text: str) -> None:
    reading = read_words(words(text), "ip", frozenset())
    assert reading.fault
    assert isinstance(reading.statements[-1], Unclear)


@pytest.mark.parametrize(
    ("text", "family", "protocol"),
    [
        pytest.param("-m esp --espspi 500", "ip", 50, id="esp"),
        pytest.param("-m ah --ahspi 500", "ip", 51, id="ah"),
        pytest.param("-m tcpmss --mss 1:5", "ip", 6, id="tcpmss"),
        pytest.param("-m ah --ahspi 500", "ip6", None, id="an IPv6 extension header"),
    ],
)
def test_what_only_one_protocol_has_is_unsure_for_its_packets_alone(text: str, family: str, protocol: int | None) -> None:
    *before, last = read(text, family)
    assert before == ([] if protocol is None else [span(Field.PROTOCOL, protocol, protocol)])
    assert isinstance(last, Unsure)
