"""The twin against a real kernel: rules of every kind on a node made for it, one packet, and what the twin says of it.

Each test runs again as a program inside throwaway namespaces: see program.py.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent.host.client import Broker
from agent.model.settings import Settings
from agent.model.twin import (
    TWIN_INTERFACE,
    TwinInsert,
    TwinInterface,
    TwinReply,
    TwinRequest,
    TwinResult,
    TwinRule,
    TwinVerdict,
)
from tests.lab.program import inside, sh

pytestmark = pytest.mark.lab

SETTINGS = Settings(cni_dirs=(), netns_dirs=("/run/netns",))
PACKET = TwinRequest(
    firewall="",
    source=ip_address("10.244.4.138"),
    destination=ip_address("172.31.16.124"),
    iif="cni0",
    dport=10250,
    interfaces=(
        TwinInterface(name="cni0", addresses=("10.244.4.1/24",)),
        TwinInterface(name="eth0", addresses=("172.31.16.124/20",)),
        TwinInterface(name="docker0", addresses=("172.17.0.1/16",)),
    ),
)
PACKET6 = replace(
    PACKET,
    source=ip_address("fd00:244::138"),
    destination=ip_address("fd00:31::124"),
    interfaces=(
        TwinInterface(name="cni0", addresses=("fd00:244::1/64",)),
        TwinInterface(name="eth0", addresses=("fd00:31::124/64",)),
    ),
)
ACCEPT, DROP, REJECT, UNKNOWN = TwinVerdict


def ask(broker: Broker, request: TwinRequest = PACKET) -> TwinResult:
    return broker.twin(replace(request, firewall=broker.firewall().digest()))


def met(result: TwinResult) -> set[tuple[str, str, str, int | None]]:
    return {(rule.backend, rule.table, rule.chain, rule.rule_number) for rule in result.rules}


def state() -> tuple[str, ...]:
    """The node's rules without counters, and its interfaces."""
    lines = ("iptables-legacy-save", "iptables-nft-save", "nft -s list ruleset", "ip -o link", "ip -o address")
    texts = [subprocess.run(line.split(), capture_output=True, text=True, check=False).stdout for line in lines]
    plain = ["\n".join(line for line in text.splitlines() if not line.startswith("#")) for text in texts]
    return tuple(plain)


def processes() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) not in (1, os.getpid()):
            try:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return [line for line in found if line]


def until(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)
    return False


@inside
def test_every_kind_of_end_in_both_backends() -> None:
    cases = [
        ("", ACCEPT, TwinReply.SYN_ACK, None, None),
        ("-A INPUT -j REJECT --reject-with icmp-host-prohibited", REJECT, TwinReply.ICMP, (3, 10), 1),
        ("-A INPUT -p tcp -j REJECT --reject-with tcp-reset", REJECT, TwinReply.RST, None, 1),
        ("-A INPUT -s 10.244.0.0/16 -i cni+ -m conntrack --ctstate NEW -j DROP", DROP, TwinReply.NONE, None, 1),
        ("-A INPUT -i eth0 -j DROP", ACCEPT, TwinReply.SYN_ACK, None, None),
        ("-A INPUT -m addrtype --dst-type LOCAL -m comment --comment 'a b' -j DROP", DROP, TwinReply.NONE, None, 1),
        ("-P INPUT DROP", DROP, TwinReply.NONE, None, None),
        ("-A OUTPUT -p tcp --sport 10250 -j DROP", ACCEPT, TwinReply.DELIVERED, None, None),
        ("-A INPUT -m limit --limit 1/s --limit-burst 1 -j DROP", DROP, TwinReply.NONE, None, 1),
    ]
    with Broker.start(SETTINGS) as broker:
        for backend in ("legacy", "nft"):
            for spec, verdict, reply, icmp, number in cases:
                sh(f"iptables-{backend} -F", f"iptables-{backend} -P INPUT ACCEPT")
                if spec:
                    sh(f"iptables-{backend} {spec}")
                result = ask(broker)
                told = (backend, spec, result)
                assert (result.problem, result.not_modelled) == ("", ()), told
                assert (result.verdict, result.reply, result.icmp) == (verdict, reply, icmp), told
                assert number is None or (backend, "filter", "INPUT", number) in met(result), told
                assert result.fresh == (("limit",) if "limit" in spec else ()), told
            sh(f"iptables-{backend} -F", f"iptables-{backend} -P INPUT ACCEPT")


@inside
def test_native_tables_ipv6_and_interfaces_that_rules_look_up() -> None:
    sh("ip link add eth7 type veth peer name eth8", "ip6tables-nft -A INPUT -p tcp --dport 10250 -j REJECT")
    rules = """
        table inet host-fw {
            set pods {
                type ipv4_addr; flags interval; elements = { 10.244.0.0/16 }
            }
            map ends {
                type inet_service : verdict; elements = { 22 : accept, 10250 : jump late }
            }
            chain early {
                type filter hook input priority -10; policy drop;
                iif "eth7" accept
                ct state vmap { established : accept, invalid : drop }
                ip saddr @pods tcp dport vmap @ends
            }
            chain late {
                counter meta mark set 0x5 limit rate 5/second accept
            }
            chain last {
                type filter hook input priority 10
                meta mark 0x5 counter reject with icmpx type admin-prohibited
            }
        }
        table bridge b {
            chain c {
                type filter hook input priority 0
                drop
            }
        }
    """
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    with Broker.start(SETTINGS) as broker:
        result = ask(broker)
        assert (result.verdict, result.icmp, result.not_modelled, result.fresh) == (REJECT, (3, 13), (), ("limit",)), result
        wanted = {("nft", "host-fw", "early", 3), ("nft", "host-fw", "late", 1), ("nft", "host-fw", "last", 1)}
        assert wanted <= met(result), result
        six = ask(broker, PACKET6)
        assert (six.verdict, six.problem, six.not_modelled) == (DROP, "", ()), six
        assert TwinRule(backend="nft", family="inet", table="host-fw", chain="early", policy=True) in six.rules, six
        bridged = ask(broker, replace(PACKET, ports=("veth1",)))
        assert bridged.verdict is UNKNOWN
        assert "bridge b c" in bridged.not_modelled[0]
        sh("nft delete table inet host-fw")
        six = ask(broker, PACKET6)
        assert (six.verdict, six.icmp) == (REJECT, (1, 4)), six
        sh("ip6tables-nft -F")
        assert ask(broker, PACKET6).verdict is ACCEPT


@inside
def test_what_cannot_be_the_same_is_named_and_claims_nothing() -> None:
    lossy = "nft add rule ip filter INPUT tcp dport { 1-5, 10250 } drop"
    injected = "iptables-{} -A INPUT -m comment --comment 'x\n{}-A INPUT -j ACCEPT\n{}' -j DROP"
    counted = ("[0:0] ", "[0:0] -A INPUT -m comment --comment ")
    cases = [
        ("iptables-nft -A INPUT -m comment --comment x -j LOG", lossy, "reads otherwise"),
        ("true", injected.format("legacy", "", "#"), "is not loaded"),
        ("true", injected.format("nft", "", "#"), "is not loaded"),
        ("true", injected.format("legacy", *counted), "is not loaded"),
        ("true", injected.format("nft", *counted), "is not loaded"),
        ("true", "iptables-legacy -A INPUT -m comment --comment 'x --modprobe=/bin/sh' -j DROP", "--modprobe"),
    ]
    with Broker.start(SETTINGS) as broker:
        for first, second, why in cases:
            sh("iptables-legacy -F", "iptables-nft -F", first, second)
            result = ask(broker)
            assert result.verdict is UNKNOWN, (second, result)
            assert why in " ".join(result.not_modelled), (second, result)


@inside
def test_ipsets_and_bridge_ports_are_there() -> None:
    sh(
        "ipset create pods hash:net",
        "ipset add pods 10.244.0.0/16",
        "iptables-nft -A INPUT -m set --match-set pods src -j DROP",
    )
    with Broker.start(SETTINGS) as broker:
        result = ask(broker)
        assert (result.verdict, result.not_modelled) == (DROP, ()), result
        sh("iptables-nft -F", "iptables-nft -A INPUT -m physdev --physdev-in veth7 -j DROP")
        for ports, verdict in ((("veth7",), DROP), (("veth8",), ACCEPT), (("veth7", "veth8"), UNKNOWN), ((), UNKNOWN)):
            result = ask(broker, replace(PACKET, ports=ports))
            assert result.verdict is verdict, result


@inside
def test_a_rule_is_tried_before_it_is_made() -> None:
    spec = ("-s", "10.244.4.0/24", "-p", "tcp", "--dport", "10250", "-j", "ACCEPT")
    with Broker.start(SETTINGS) as broker:
        for backend in ("legacy", "nft"):
            sh(f"iptables-{backend} -A INPUT -j LOG", f"iptables-{backend} -A INPUT -j REJECT")
            before = state()
            insert = TwinInsert(backend=backend, table="filter", chain="INPUT", position=2, spec=spec)
            assert ask(broker).verdict is REJECT
            tried = ask(broker, replace(PACKET, insert=insert))
            assert (tried.verdict, tried.not_modelled) == (ACCEPT, ()), tried
            assert (backend, "filter", "INPUT", 2) in met(tried)
            late = ask(broker, replace(PACKET, insert=replace(insert, position=3)))
            assert late.verdict is REJECT
            for bad in (("--modprobe=/bin/sh", "-j", "ACCEPT"), ("-j", "NOWHERE"), ("-M", "/bin/sh")):
                refused = ask(broker, replace(PACKET, insert=replace(insert, spec=bad)))
                assert refused.verdict is UNKNOWN
                assert "could not be inserted" in refused.not_modelled[0]
            assert state() == before
            sh(f"iptables-{backend} -F")


@inside
def test_nobody_on_the_node_waits_for_the_twin_and_it_for_nobody() -> None:
    sh("iptables-legacy -A INPUT -j DROP")
    with Broker.start(SETTINGS) as broker, Path("/run/xtables.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = ask(broker)
    assert result.verdict is DROP, result
    assert result.seconds < 2


@inside
def test_rules_come_from_the_brokers_own_reading_alone() -> None:
    with Broker.start(SETTINGS) as broker:
        assert "not held" in broker.twin(replace(PACKET, firewall="0" * 64)).problem
        assert "is not made" in ask(broker, replace(PACKET, iif="cni0\nlink del eth0")).problem


@inside
def test_a_twin_is_nobodys_pod() -> None:
    sh("ip netns add twin", f"ip -n twin link add cni0 type veth peer name {TWIN_INTERFACE}", "ip netns add pod")
    with Broker.start(SETTINGS) as broker:
        assert [namespace.path for namespace in broker.node().namespaces] == ["/run/netns/pod"]


@inside
def test_thirty_twins_leave_nothing() -> None:
    sh("iptables-nft -A INPUT -j REJECT", "iptables-legacy -A INPUT -i lo -j ACCEPT")
    before = state(), processes()
    with Broker.start(replace(SETTINGS, twin=False)) as broker:
        for _ in range(30):
            assert ask(broker).verdict is REJECT
    assert until(lambda: (state(), processes()) == before), (state(), processes(), before)


@inside
def test_a_killed_worker_or_template_is_a_problem_and_leaves_nothing() -> None:
    sh("iptables-nft -A INPUT -j REJECT")
    before = state(), processes()

    def workers() -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and b"agent.host.twin_worker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        return found

    with Broker.start(replace(SETTINGS, twin=False)) as broker:
        # The template is the older of the two; it imports first, and what it had not begun is done by the next one.
        for victims, seen, delay in (
            (slice(None), 1, 0.0),
            (slice(None), 1, 0.2),
            (slice(0, 1), 1, 0.45),
            (slice(0, 1), 2, 0.0),
            (slice(1, None), 2, 0.0),
        ):
            results: list[TwinResult] = []
            digest = replace(PACKET, firewall=broker.firewall().digest())
            thread = threading.Thread(target=lambda digest=digest, results=results: results.append(broker.twin(digest)))
            thread.start()
            assert until(lambda seen=seen, results=results: len(workers()) >= seen or bool(results))
            time.sleep(delay)
            for pid in sorted(workers())[victims]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            thread.join()
            told = ("ended with status -9", "ended with its template")
            assert results[0].verdict is REJECT or any(words in results[0].problem for words in told), results
        assert ask(broker).verdict is REJECT
    assert until(lambda: (state(), processes()) == before), (state(), processes(), before)


if __name__ == "__main__":
    globals()[sys.argv[1]].body()
