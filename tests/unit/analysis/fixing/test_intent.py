"""A rule that names this very traffic is somebody's decision; a catch-all is not."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from agent.analysis.fixing.intent import intent_of
from agent.analysis.readers.parse_iptables import parse
from agent.model.packet import Field, Packet
from agent.model.plan import Flow
from agent.model.ruleset import Backend, Compare, Intervals, Lookup, Masked, Rule

FLOW = Flow(source="10.244.4.0/24", destination="172.31.16.124", port=10250)
PACKET = Packet(source=ip_address("10.244.4.138"), destination=ip_address("172.31.16.124"), dport=10250, iif="cni0")


def intent(words: str) -> str:
    ruleset = parse(f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {words}\n", Backend.LEGACY, "ip")
    return intent_of(ruleset.tables[0].chain("INPUT").rules[0], FLOW, PACKET)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param("-p tcp -m tcp --dport 10250 -j DROP", "names port 10250", id="its port"),
        pytest.param("-p tcp -m tcp --dport 10000:10300 -j DROP", "names port 10250", id="few ports around it"),
        pytest.param("-p tcp -m multiport --dports 80,10250 -j DROP", "names port 10250", id="among some ports"),
        pytest.param("-p tcp -m multiport --ports 80,10250 -j DROP", "names port 10250", id="either port"),
        pytest.param("-s 10.244.4.0/24 -j DROP", "names the pods' addresses", id="the pods' network"),
        pytest.param("-s 10.244.4.9/32 -j DROP", "names the pods' addresses", id="one pod"),
        pytest.param("-s 10.0.0.0/8 -j DROP", "names the pods' addresses", id="a network around it"),
        pytest.param("-i cni0 -j DROP", "names the interface cni0", id="the pods' interface"),
        pytest.param("-i cni+ -j DROP", "names the interface cni*", id="interfaces by their start"),
        pytest.param(
            "-m set --match-set bad src -j DROP", "asks for a list of addresses or ports", id="a set that was not read"
        ),
    ],
)
def test_a_rule_that_means_it(words: str, reason: str) -> None:
    assert intent(words) == reason


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("-j REJECT", id="a catch-all"),
        pytest.param("-p tcp -j DROP", id="a protocol"),
        pytest.param("-p tcp -m tcp --dport 1024:65535 -j DROP", id="all high ports"),
        pytest.param("-p tcp -m tcp --dport 22 -j DROP", id="another port"),
        pytest.param("-s 10.99.0.0/16 -j DROP", id="other addresses"),
        pytest.param("! -s 10.99.0.0/16 -j DROP", id="all but others"),
        pytest.param("-i lo -j DROP", id="the loopback"),
        pytest.param("! -i eth0 -j DROP", id="any interface but one"),
        pytest.param("-d 172.31.16.124/32 -j DROP", id="the node's address"),
        pytest.param("-m conntrack --ctstate NEW -j DROP", id="a state"),
        pytest.param("-m recent --name x --rcheck --rsource -j DROP", id="kernel state"),
    ],
)
def test_a_rule_that_means_nothing_in_particular(words: str) -> None:
    assert intent(words) == ""


def test_a_set_of_several_fields_is_a_list() -> None:
    key = (Intervals(((1, 1),)), Intervals(((2, 2),)))
    lookup = Lookup((Field.SADDR, Field.DPORT), (key,))
    assert intent_of(Rule(1, "", (lookup,)), FLOW, PACKET) == "asks for a list of addresses or ports"
    assert intent_of(Rule(1, "", (replace(lookup, negate=True),)), FLOW, PACKET) == ""


def test_every_source_there_is_names_nobody() -> None:
    anybody = Compare(Field.SADDR, Intervals(((0, 0xFFFFFFFF),)))
    assert intent_of(Rule(1, "", (anybody,)), FLOW, PACKET) == ""


def test_bits_of_a_port_are_taken_for_meant() -> None:
    masked = Compare(Field.DPORT, Masked(mask=0xFF00, equals=0x2800))
    assert intent_of(Rule(1, "", (masked,)), FLOW, PACKET) == "names port 10250"


def test_bits_of_an_address_are_taken_for_meant() -> None:
    ruleset = parse("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.4.0/255.0.255.0 -j DROP\n", Backend.LEGACY, "ip")
    assert intent_of(ruleset.tables[0].chain("INPUT").rules[0], FLOW, PACKET) == "names the pods' addresses"
