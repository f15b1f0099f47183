"""Forwarded packets, the host's own and those of bridge ports, held to the kernel as the pod's own packet is."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent.analysis.diagnosis.places import same_place
from agent.analysis.path.blame import moved
from agent.analysis.path.explain import Way, explain_way
from agent.analysis.path.replies import icmp_of
from agent.model.capture import LEGACY_SAVE, NFT_JSON, NFT_SAVE
from agent.model.explanation import Explanation, RuleRef, Verdict
from agent.model.packet import Packet
from agent.model.ruleset import Ruleset
from tests.lab import kernel_node
from tests.lab.kernel_truth import LONG, READ, SHORT, Kernel, has_counter, read, restore_text

ROUTER = Path(kernel_node.__file__).with_name("kernel_router.py")
AWAY, WIRE, SECOND = "172.31.22.159", "172.31.16.2", "172.31.16.200"
LOCAL = tuple(map(ip_address, (kernel_node.NODE, kernel_node.BRIDGE, WIRE, SECOND, "127.0.0.1")))
SPORTS = count(30000)


@dataclass(frozen=True)
class Case:
    """`want` is the verdict, with the reply after REJECT; `leaves` the source that the other host sees, where it is known."""

    name: str
    way: Way
    want: str
    rules: str
    leaves: str | None = kernel_node.POD
    answered: bool = True


def forward(name: str, want: str, rules: str, **more: Any) -> Case:
    return Case(name, Way.FORWARD, want, rules, **more)


def from_host(name: str, want: str, rules: str, **more: Any) -> Case:
    return Case(name, Way.FROM_HOST, want, rules, **more)


def to_node(name: str, want: str, rules: str, **more: Any) -> Case:
    return Case(name, Way.TO_NODE, want, rules, **more)


CASES = [
    forward("nothing", "ACCEPT", "filter FORWARD ACCEPT"),
    forward("policy", "DROP", "filter FORWARD DROP"),
    forward("forwarded, not delivered", "ACCEPT", "filter INPUT -j DROP\nfilter OUTPUT -j DROP"),
    forward("rejected", "REJECT icmp-admin-prohibited", "filter FORWARD -j REJECT --reject-with icmp-admin-prohibited"),
    forward("devices", "DROP", "filter FORWARD -i cni0 -o eth1 -d 172.31.22.159/32 -j DROP"),
    forward("other device", "ACCEPT", "filter FORWARD -o eth0 -j DROP"),
    forward("leaves by no device before routing", "ACCEPT", "mangle FORWARD -i cni0 ! -o eth1 -j DROP"),
    forward("not local", "ACCEPT", "mangle PREROUTING -m addrtype --dst-type LOCAL -j DROP"),
    forward(
        "accepted in forward",
        "ACCEPT",
        "filter FORWARD DROP\nfilter FORWARD -s 10.244.4.0/24 -j ACCEPT\nfilter FORWARD -i eth1 -j ACCEPT",
    ),
    forward("mark", "DROP", "mangle PREROUTING -j MARK --set-xmark 0x5\nmangle POSTROUTING -m mark --mark 0x5 -j DROP"),
    forward("bridge port", "DROP", "filter FORWARD -m physdev --physdev-in vethpod -j DROP"),
    forward("not bridged", "ACCEPT", "filter FORWARD -m physdev --physdev-is-bridged -j DROP"),
    forward("masqueraded", "ACCEPT", "nat POSTROUTING -s 10.244.4.0/24 ! -d 10.244.0.0/16 -j MASQUERADE", leaves=None),
    forward("source nat", "ACCEPT", f"nat POSTROUTING -o eth1 -j SNAT --to-source {SECOND}", leaves=SECOND),
    forward("no source nat for others", "ACCEPT", f"nat POSTROUTING -o eth0 -j SNAT --to-source {SECOND}"),
    forward(
        "source nat comes last",
        "DROP",
        f"nat POSTROUTING -j SNAT --to-source {SECOND}\nmangle POSTROUTING -s {kernel_node.POD} -j DROP",
    ),
    forward(
        "service",
        "DROP",
        f"""
        nat PREROUTING -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination {AWAY}:10250
        nat PREROUTING -p tcp -m tcp --dport 10250 -j DNAT --to-destination {AWAY}:8080
        filter FORWARD -p tcp -m tcp --dport 8080 -m conntrack --ctstate DNAT --ctorigdstport 10250 -j DROP
        """,
    ),
    forward("redirected here", "UNDECIDED", "nat PREROUTING -p tcp -j REDIRECT --to-ports 8080"),
    from_host("nothing", "ACCEPT", "filter OUTPUT ACCEPT"),
    from_host("stopped at once", "DROP", "filter OUTPUT -o lo -p tcp -m tcp --dport 10250 -j DROP"),
    from_host(
        "rejected at once", "REJECT icmp-host-prohibited", "filter OUTPUT -p tcp -j REJECT --reject-with icmp-host-prohibited"
    ),
    from_host("reset at once", "REJECT tcp-reset", "filter OUTPUT -p tcp --syn -j REJECT --reject-with tcp-reset"),
    from_host("stopped behind output", "DROP", "mangle POSTROUTING -o lo -p tcp --syn -j DROP"),
    from_host("stopped on return", "DROP", "raw PREROUTING -i lo -p tcp --syn -m conntrack --ctstate NEW -j DROP"),
    from_host("stopped in input", "DROP", "filter OUTPUT -j ACCEPT\nfilter INPUT -i lo -p tcp --syn -j DROP"),
    from_host("invalid before conntrack", "DROP", "raw OUTPUT -p tcp --syn -m conntrack --ctstate INVALID -j DROP"),
    from_host("mark", "DROP", "mangle OUTPUT -j MARK --set-xmark 0x5\nfilter INPUT -p tcp --syn -m mark --mark 0x5 -j DROP"),
    from_host(
        "redirected on its way out",
        "DROP",
        """
        nat OUTPUT -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 8080
        filter INPUT -p tcp -m tcp --dport 8080 -j DROP
        """,
    ),
    from_host("sent elsewhere", "UNDECIDED", f"nat OUTPUT -p tcp -j DNAT --to-destination {AWAY}"),
    from_host(
        "renamed on its way out",
        "DROP",
        f"""
        nat POSTROUTING -p tcp -o lo -j SNAT --to-source {SECOND}
        filter INPUT -s {SECOND} -m addrtype --src-type LOCAL -j DROP
        """,
    ),
    from_host("answer stopped", "ACCEPT", "filter OUTPUT -p tcp -m tcp --sport 10250 -j DROP", answered=False),
    from_host("answer stopped on return", "ACCEPT", "filter INPUT -p tcp --tcp-flags SYN,ACK SYN,ACK -j DROP", answered=False),
    to_node("bridge port", "DROP", "filter INPUT -m physdev --physdev-in vethpod -j DROP"),
    to_node("bridge port pattern", "DROP", "filter INPUT -m physdev --physdev-in veth+ -j DROP"),
    to_node("not this bridge port", "ACCEPT", "filter INPUT -m physdev ! --physdev-in vethpod -j DROP"),
    to_node("from a bridge port", "DROP", "filter INPUT -m physdev --physdev-is-in -j DROP"),
    to_node("delivered, not bridged", "ACCEPT", "filter INPUT -m physdev --physdev-is-bridged -j DROP"),
    to_node("mac over a bridge", "DROP", "filter INPUT -m mac --mac-source 02:00:00:00:00:02 -j DROP"),
    to_node("answer out of the bridge", "ACCEPT", "filter OUTPUT -o cni0 -p tcp -j DROP", answered=False),
]


@pytest.fixture(scope="module")
def router() -> Iterator[Kernel]:
    found = Kernel([str(ROUTER)])
    yield found
    found.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.way}: {case.name}")
@pytest.mark.parametrize("backend", ["legacy", "nft"])
def test_a_way_is_the_kernels(router: Kernel, case: Case, backend: str) -> None:
    readings = [LEGACY_SAVE] if backend == "legacy" else [NFT_SAVE, NFT_JSON]
    request = {
        "load": [([f"iptables-{backend}-restore"], restore_text(case.rules))],
        "read": {name: READ[name] for name in readings},
        "from": "node" if case.way is Way.FROM_HOST else "pod",
        "to": AWAY if case.way is Way.FORWARD else kernel_node.NODE,
        "port": 10250,
        "patience": SHORT if case.want == "DROP" or not case.answered else LONG,
    }
    sport = next(SPORTS)
    answer = router.ask(request | {"sport": sport})
    before, after = (read(answer[when], readings) for when in ("before", "after"))
    found = explain_way(before, packet_of(case, sport), case.way)
    assert f"{found.verdict} {found.reject_with or ''}".strip() == case.want, found
    if found.verdict is Verdict.UNDECIDED:
        assert found.assumptions
        return
    assert answer["errno"] == (found.client_sees or "")
    assert answer["icmp"] == (list(icmp_of(found.reject_with) or ()) or None if found.reject_with else None)
    assert (found.reply is not None and found.reply.lost) is not case.answered
    hold_counters(found, before, after)
    if case.way is Way.FORWARD and found.verdict is Verdict.ACCEPT:
        (leaving,) = found.leaves_as
        assert leaving.source == case.leaves
        assert (leaving.rewritten_by is None) is (case.leaves == kernel_node.POD)
        assert answer["seen"] == (leaving.source or WIRE)


def hold_counters(found: Explanation, before: Ruleset, after: Ruleset) -> None:
    """Whoever decides has counted, about the packet and about its answer."""
    rose = [each.rule for each in moved(before, after)]
    places: list[RuleRef | None] = [found.stopped_by, found.decided_by, *(each.rewritten_by for each in found.leaves_as)]
    for place in places:
        if place is not None and has_counter(before, place):
            assert any(same_place(each, place) for each in rose), place


def packet_of(case: Case, sport: int) -> Packet:
    node, pod = ip_address(kernel_node.NODE), ip_address(kernel_node.POD)
    if case.way is Way.FROM_HOST:
        return Packet(source=node, destination=node, sport=sport, dport=10250, local=LOCAL)
    away = case.way is Way.FORWARD
    return Packet(
        source=pod,
        destination=ip_address(AWAY) if away else node,
        sport=sport,
        dport=10250,
        iif="cni0",
        oif="eth1" if away else None,
        mac=kernel_node.POD_MAC,
        physdev_in="vethpod",
        physdev_out="",
        local=LOCAL,
    )
