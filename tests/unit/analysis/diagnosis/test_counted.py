"""agent.analysis.diagnosis.counted: what proves that nobody has to wait for the deadline, and what does not."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from agent.analysis.diagnosis.counted import is_counted_as_stopped
from agent.model.capture import LEGACY_SAVE, Firewall, Reading
from agent.model.packet import Packet

NODE = ip_address("172.31.16.124")
PACKET = Packet(source=ip_address("10.244.4.138"), destination=NODE, dport=10250, iif="cni0", local=(NODE,))


def firewall(*rules: str, policy: str = "ACCEPT [0:0]", out: str = "ACCEPT [0:0]") -> Firewall:
    text = "\n".join(("*filter", f":INPUT {policy}", ":FORWARD ACCEPT [0:0]", f":OUTPUT {out}", *rules, "COMMIT", ""))
    reading = Reading(name=LEGACY_SAVE, argv=("iptables-legacy-save", "-c"), status=0, stdout=text)
    return Firewall(readings=(reading,), legacy_tables=("filter",))


DROP = "[{}:0] -A INPUT -p tcp -m tcp --dport 10250 -j DROP"
LIMITED = "-A INPUT -m statistic --mode random --probability 0.5 -j DROP"
OTHER = "[{}:0] -A INPUT -p tcp -m tcp --dport 22 -j DROP"


@pytest.mark.parametrize(
    ("before", "between", "proved"),
    [
        pytest.param(firewall(DROP.format(3)), firewall(DROP.format(4)), True, id="the rule that drops has counted"),
        pytest.param(firewall(DROP.format(3)), firewall(DROP.format(3)), False, id="it has not"),
        pytest.param(
            firewall(OTHER.format(1), DROP.format(3)), firewall(OTHER.format(2), DROP.format(3)), False, id="another rule has"
        ),
        pytest.param(firewall(policy="DROP [5:0]"), firewall(policy="DROP [6:0]"), True, id="a policy that drops"),
        pytest.param(
            firewall("[3:0] -A INPUT -j REJECT"), firewall("[4:0] -A INPUT -j REJECT"), True, id="a REJECT that says nothing"
        ),
        pytest.param(
            firewall("[3:0] -A INPUT -j ACCEPT"), firewall("[4:0] -A INPUT -j ACCEPT"), False, id="a rule that accepts"
        ),
        pytest.param(
            firewall("[3:0] -A INPUT -m statistic --mode random --probability 0.5 -j DROP"),
            firewall("[4:0] -A INPUT -m statistic --mode random --probability 0.5 -j DROP"),
            False,
            id="a rule that may let the next one through",
        ),
        pytest.param(
            firewall(DROP.format(3)), firewall(OTHER.format(0), DROP.format(4)), False, id="the rules changed meanwhile"
        ),
        pytest.param(
            firewall(f"[3:0] {LIMITED}", DROP.format(3)),
            firewall(f"[4:0] {LIMITED}", DROP.format(3)),
            True,
            id="one in doubt before the sure one",
        ),
        pytest.param(
            firewall(f"[3:0] {LIMITED}", "[3:0] -A INPUT -j REJECT"),
            firewall(f"[4:0] {LIMITED}", "[3:0] -A INPUT -j REJECT"),
            True,
            id="one of two that end it each in its own way",
        ),
        pytest.param(
            firewall("[0:0] -A OUTPUT -p tcp -m tcp --sport 10250 -j DROP"),
            firewall("[1:0] -A OUTPUT -p tcp -m tcp --sport 10250 -j DROP"),
            True,
            id="the rule that drops the answer",
        ),
    ],
)
def test_a_rule_that_stops_the_packet_and_has_counted_is_proof(before: Firewall, between: Firewall, proved: bool) -> None:
    assert is_counted_as_stopped(before, between, PACKET) is proved


def test_what_could_not_be_read_proves_nothing() -> None:
    unread = Reading(name=LEGACY_SAVE, argv=("iptables-legacy-save", "-c"), status=None, problem="it hung")
    blind = Firewall(readings=(unread,), legacy_tables=("filter",))
    assert not is_counted_as_stopped(blind, blind, PACKET)
    assert not is_counted_as_stopped(firewall(DROP.format(3)), replace(blind), PACKET)
