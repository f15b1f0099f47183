"""Words to packet: what is meant is taken, what is not understood is refused with a sentence."""

from ipaddress import ip_address

import pytest

from agent.model.packet import SYN, CtState, Packet
from agent.service.question import BadQuestionError, Question, parse_packet

SEED = {"src": "10.244.4.138", "dst": "172.31.16.124"}


def test_the_seeds_packet():
    packet = parse_packet(Question(**SEED, in_="cni0", dport="10250", local=("172.31.16.124",)))
    assert packet == Packet(
        source=ip_address("10.244.4.138"),
        destination=ip_address("172.31.16.124"),
        dport=10250,
        iif="cni0",
        local=(ip_address("172.31.16.124"),),
    )


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ({"proto": "UDP"}, "protocol", 17),
        ({"proto": "icmpv6"}, "protocol", 58),
        ({"proto": "89"}, "protocol", 89),
        ({"ctstate": "established"}, "ctstate", CtState.ESTABLISHED),
        ({"ctstate": "ESTABLISHED"}, "tcp_flags", None),
        ({"ctstate": "NEW"}, "tcp_flags", SYN),
        ({"proto": "udp"}, "tcp_flags", None),
        ({"mark": "0x4000"}, "mark", 0x4000),
        ({}, "mark", 0),
        ({"sport": "0"}, "sport", 0),
        ({}, "sport", None),
        ({}, "iif", None),
    ],
)
def test_words(words, field, value):
    assert getattr(parse_packet(Question(**SEED, **words)), field) == value


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ({"src": "10.244.4"}, "src"),
        ({"dst": "node1"}, "dst"),
        ({"src": "fd00::1"}, "src"),
        ({"dport": "65536"}, "dport"),
        ({"dport": "-1"}, "dport"),
        ({"dport": "https"}, "dport"),
        ({"dport": "1_0"}, "dport"),
        ({"proto": "icmp", "dport": "80"}, "dport"),
        ({"proto": "tpc"}, "proto"),
        ({"proto": "256"}, "proto"),
        ({"ctstate": "NEW,ESTABLISHED"}, "ctstate"),
        ({"ctstate": ""}, "ctstate"),
        ({"in_": "a name that is too long"}, "in"),
        ({"mark": "0x1ffffffff"}, "mark"),
        ({"mark": "blue"}, "mark"),
        ({"local": ("here",)}, "local"),
    ],
)
def test_refusals_name_the_word_and_say_what_to_write(words, name):
    with pytest.raises(BadQuestionError) as refusal:
        parse_packet(Question(**{**SEED, **words}))
    assert refusal.value.name == name
    assert str(refusal.value).endswith(".")


def test_known_addresses_join_the_given_ones_once():
    node = ip_address("172.31.16.124")
    packet = parse_packet(Question(**SEED, local=("10.0.0.1", "172.31.16.124")), [node, ip_address("127.0.0.1")])
    assert packet.local == (ip_address("10.0.0.1"), node, ip_address("127.0.0.1"))
