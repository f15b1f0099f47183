"""What is kept between two looks never changes an answer: a broker that has looked before says what a new one says.

Each test runs again as a program inside throwaway namespaces: see program.py.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import ndiff

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.host.client import Broker
from agent.model.capture import Capture
from agent.model.codec import to_plain
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.twin import TwinVerdict
from agent.service.clock import SystemClock
from agent.service.collect import collect, probe_only
from agent.service.rounds import Rounds
from tests.lab.pod_on_a_node import NODE, POD, SETTINGS, listening, wire_up
from tests.lab.program import inside, sh

pytestmark = pytest.mark.lab

LOOK = replace(SETTINGS, node_ips=(NODE,), pod_cidrs=("10.244.4.0/24",), kubelet_port=10250)
ACCEPT, DROP, REJECT, _ = TwinVerdict
# The change to the rules, what the packet meets then, and whether the rules are ones that were tried before.
OF_IPTABLES = (
    ("-A INPUT -p tcp --dport 10250 -j REJECT", REJECT, False),
    ("-Z", REJECT, True),
    ("-I INPUT -p tcp --dport 10250 -s 10.244.0.0/16 -m comment --comment '[1:2] -A' -j ACCEPT", ACCEPT, False),
    ("-D INPUT 1", REJECT, True),
    ("-F INPUT", ACCEPT, True),
    ("-P INPUT DROP", DROP, False),
    ("-A INPUT -m set --match-set pods src -j ACCEPT", DROP, False),
    ("ipset add pods 10.244.4.138", ACCEPT, False),
    ("ipset del pods 10.244.4.138", DROP, True),
    ("-N late", DROP, False),
    ("-A late -m statistic --mode random --probability 0.5 -j ACCEPT", DROP, False),
    ("-Z", DROP, True),
    ("-A INPUT -m limit --limit 1000/s --limit-burst 1000 -j ACCEPT", ACCEPT, False),
    ("-Z", ACCEPT, False),
    ("-D INPUT -m limit --limit 1000/s --limit-burst 1000 -j ACCEPT", DROP, True),
)
OF_NFT = (
    ("add rule inet own input tcp dport 10250 counter reject", REJECT, False),
    ("reset counters", REJECT, True),
    ("insert rule inet own input ip saddr @pods accept", REJECT, False),
    ("add element inet own pods { 10.244.4.138 }", ACCEPT, False),
    ("delete element inet own pods { 10.244.4.138 }", REJECT, True),
    ("add chain inet own input { policy drop; }", REJECT, False),
    ("flush chain inet own input", DROP, False),
    ("add rule inet own input tcp dport vmap { 10250 : jump late }", DROP, False),
    ("add rule inet own late numgen random mod 2 <= 1 counter accept", ACCEPT, False),
    ("reset counters", ACCEPT, False),
)


class Brokers:
    """One broker that has looked before, and for each look a new one beside it."""

    def __init__(self, old: Broker) -> None:
        self._old = old
        self._last: dict[float, int] = {}

    def look(self, verdict: TwinVerdict, told: str) -> bool:
        """Holds both to the same answer; whether the old one's twin was one that it had seen before."""
        seen = collect(self._old, LOOK, SystemClock())
        with Broker.start(LOOK) as new:
            fresh = collect(new, LOOK, SystemClock())
        assert seen.twin is not None
        assert (seen.twin.verdict, seen.twin.problem, seen.twin.not_modelled) == (verdict, "", ()), (told, seen.twin)
        differences = [line for line in ndiff(report(seen), report(fresh)) if line[0] in "+-"]
        assert differences == [], (told, differences)
        assert replace(seen.twin, seconds=0.0) == replace(fresh.twin or seen.twin, seconds=0.0), told
        # No two trials take the same time to the last bit.
        known = seen.twin.seconds in self._last
        self._last[seen.twin.seconds] = 1
        return known


def report(capture: Capture) -> list[str]:
    """Without what no two looks have in common: times, and how often a rule has counted so far."""
    plain = to_plain(analyse(capture))
    for name in ("taken_at", "seconds", "facts"):
        del plain[name]
    for probe in plain["probes"]:
        del probe["seconds"]
    plain["explanation"]["packet"].pop("sport", None)
    return re.sub(r"[\d.]+ (?:ms|s)\b", "a while", json.dumps(plain, indent=1)).splitlines()


def change_step_by_step(backend: str) -> None:
    wire_up()
    sh("ipset create pods hash:ip", f"iptables-{backend} -P INPUT ACCEPT")
    with listening(), Broker.start(LOOK) as broker:
        both = Brokers(broker)
        both.look(ACCEPT, "as it was")
        for step, verdict, known in OF_IPTABLES:
            sh(step if step.startswith("ipset") else f"iptables-{backend} {step}")
            assert both.look(verdict, step) == known, step


@inside
def test_iptables_legacy_changed_step_by_step() -> None:
    change_step_by_step("legacy")


@inside
def test_iptables_nft_changed_step_by_step() -> None:
    change_step_by_step("nft")


@inside
def test_nft_changed_step_by_step() -> None:
    wire_up()
    table = (
        "table inet own { set pods { type ipv4_addr; }; chain late { }; chain input { type filter hook input priority 0; }; }"
    )
    with listening(), Broker.start(LOOK) as broker:
        both = Brokers(broker)
        both.look(ACCEPT, "no rules")
        sh(f"nft '{table}'")
        both.look(ACCEPT, "an empty table")
        for step, verdict, known in OF_NFT:
            sh(f"nft '{step}'")
            assert both.look(verdict, step) == known, step
        sh("nft delete table inet own", f"nft '{table}'", "nft delete table inet own")
        assert both.look(ACCEPT, "no rules again")
        sh(f"nft '{table}'")
        assert both.look(ACCEPT, "the same table, loaded again")


@inside
def test_a_watch_sees_at_once_what_changes_for_those_that_it_connects() -> None:
    wire_up()
    found: list[bool] = []
    with listening(), Broker.start(replace(LOOK, twin=False)) as broker:

        def probe(requests: Sequence[ProbeRequest]) -> Sequence[ProbeResult]:
            found.append(not requests)
            return probe_only(broker, LOOK, SystemClock(), requests=requests)[0]

        rounds = Rounds(probe, SystemClock())

        def pods() -> list[tuple[str, Outcome]]:
            vantages = ((result.request, result.outcome) for result in rounds.connect())
            return [(request.source, outcome) for request, outcome in vantages if request.vantage is Vantage.POD]

        assert [pods() for _ in range(2)] == [[(POD, Outcome.OPEN)]] * 2
        sh("iptables-nft -A INPUT -p tcp --dport 10250 -j REJECT")
        assert [pods() for _ in range(2)] == [[(POD, Outcome.PORT_UNREACHABLE)]] * 2
        assert found == [True, False, False, True, False]
        sh("ip netns del pod", "ip netns add other", "ip link add veth1 type veth peer name eth0 netns other")
        sh("ip addr add 10.244.4.2/32 dev veth1", "ip link set veth1 up", "ip route add 10.244.4.139 dev veth1")
        sh("ip -n other addr add 10.244.4.139/24 dev eth0", "ip -n other link set eth0 up")
        assert pods()[0][0] == "10.244.4.139"
        assert found[5:] == [False, True]


if __name__ == "__main__":
    globals()[sys.argv[1]].body()
