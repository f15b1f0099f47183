"""Looking at the node, its pods and its firewall on a real kernel: what is found, and that nothing changes by it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.host import client, firewall, privilege
from agent.model.capture import LEGACY_SAVE, NFT_JSON, NFT_SAVE
from tests.lab.pod_on_a_node import (
    NODE,
    POD,
    PORT,
    SETTINGS,
    entries,
    listening,
    pod_inode,
    processes,
    processes_named,
    until,
    wire_up,
)
from tests.lab.program import inside, sh

pytestmark = pytest.mark.lab


@inside
def test_looking_changes_nothing() -> None:
    wire_up()
    listed = Path("/proc/net/ip_tables_names")

    def state() -> tuple[str, str, str]:
        nft = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
        six = Path("/proc/net/ip6_tables_names")
        return (listed.read_text() if listed.exists() else "", six.read_text() if six.exists() else "", nft)

    with client.Broker.start(SETTINGS) as broker:
        untouched = state()
        assert broker.legacy_chain() is None
        found = broker.firewall()
        broker.preflight()
        assert [reading.name for reading in found.readings] == [NFT_JSON]
        assert state() == untouched == ("", "", "")

        sh("iptables-legacy -A INPUT -s 10.0.0.0/8 ! -i eth0 -p tcp --dport 10250 -m comment --comment x -j REJECT")
        sh("iptables-legacy -N KUBE-FIREWALL", "iptables-legacy -A INPUT -j KUBE-FIREWALL", "iptables-legacy -P INPUT DROP")
        legacy_only = state()
        chain = broker.legacy_chain()
        found = broker.firewall()
        assert state() == legacy_only
        assert legacy_only[0].split() == ["filter"], "decoding a target must not create nat, mangle, raw and security"
        assert chain is not None
        assert (chain.problem, chain.policy) == ("", "DROP")
        first, second = chain.rules
        assert (first.target, first.protocol, first.in_interface, first.matches) == (
            "REJECT",
            "tcp",
            "!eth0",
            ("tcp", "comment"),
        )
        assert first.source == "10.0.0.0/255.0.0.0"
        assert second.target == "KUBE-FIREWALL"
        assert found.legacy_tables == ("filter",)
        assert {reading.name for reading in found.readings} == {NFT_JSON, LEGACY_SAVE}

        sh("iptables-nft -A INPUT -p tcp -m multiport --dports 1,2 -j ACCEPT", "nft add table inet firewalld")
        both = state()
        found = broker.firewall()
        assert state() == both
        save = found.reading(NFT_SAVE)
        assert save is not None
        assert "--dports 1,2" in save.stdout
        assert found.problems == ()


@inside
def test_the_node_and_its_pods() -> None:
    wire_up()
    sh("ip link add cni0 type bridge", "ip link set veth0 master cni0", "ip route add blackhole 198.51.100.0/24")
    with client.Broker.start(SETTINGS) as broker:
        node = broker.node()
        by_name = {interface.name: interface for interface in node.interfaces}
        assert by_name["cni0"].kind == "bridge"
        assert (by_name["veth0"].kind, by_name["veth0"].master, by_name["veth0"].up) == ("veth", "cni0", True)
        assert f"{NODE}/24" in by_name["veth0"].addresses
        assert {(route.destination, route.kind) for route in node.routes} >= {("198.51.100.0/24", "blackhole")}
        (pod,) = [namespace for namespace in node.namespaces if namespace.inode == pod_inode()]
        assert pod.path == "/run/netns/pod"
        assert any(f"{POD}/24" in interface.addresses for interface in pod.interfaces)
        assert any(route.destination == "0.0.0.0/0" and route.gateway == NODE for route in pod.routes)
        assert broker.pod_route(POD).interface == "veth0"
        assert broker.pod_route("198.51.100.1").problem != ""
        with listening():
            (listener,) = broker.processes().listeners
        assert (listener.address, listener.port, listener.pid) == (NODE, PORT, os.getpid())
        assert {check.name: check.ok for check in broker.preflight()}["capability NET_ADMIN"] is True


@inside
def test_looks_without_end_leave_nothing() -> None:
    wire_up()
    sh("iptables-legacy -A INPUT -j ACCEPT")
    modules = ("agent.host.process_worker", "agent.host.iptc_worker")
    with client.Broker.start(replace(SETTINGS, twin=False)) as broker:
        broker.node()
        (broker_pid,) = processes_named("agent.host.broker")

        def look() -> None:
            assert broker.processes().problem == ""
            chain = broker.legacy_chain()
            assert chain is not None
            assert (chain.problem, len(chain.rules)) == ("", 1)

        def footprint() -> tuple[dict[str, set[int]], list[int], int, int]:
            templates = {module: processes_named(module) for module in modules}
            held = [entries(f"/proc/{pid}/fd") for pid in sorted({broker_pid}.union(*templates.values()))]
            return templates, held, entries(f"/proc/{broker_pid}/task"), len(processes())

        look()
        before = footprint()
        assert [len(pids) for pids in before[0].values()] == [1, 1]
        for _ in range(100):
            look()
        assert until(lambda: footprint() == before), (before, footprint())


@inside
def test_without_privilege_the_firewall_is_a_problem_with_a_remedy() -> None:
    sh("iptables-legacy -A INPUT -j ACCEPT")
    privilege.give_up(os.geteuid())
    found = firewall.capture()
    told = {problem.what: problem.remedy for problem in found.problems}
    assert "NET_ADMIN" in told[NFT_JSON], found
    assert "NET_ADMIN" in told[LEGACY_SAVE], found
    assert all(reading.status != 0 for reading in found.readings)


if __name__ == "__main__":
    globals()[sys.argv[1]].body()
