"""Phantom pods against real CNI plugins and a real bridge: made, diagnosed from, and gone, whoever is killed."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.host.client import Broker
from agent.model.phantom import PhantomRequest
from agent.model.report import State
from agent.model.settings import Settings
from agent.service.clock import SystemClock
from agent.service.collect import collect
from agent.service.senses import Senses
from tests.lab.program import inside, sh

pytestmark = pytest.mark.lab

NODE, PORT, CIDR = "10.244.4.1", 10250, "10.244.4.0/24"
PLUGINS = "/usr/lib/cni"
CONFLIST, STATE, IPAM = Path("/run/cni"), Path("/run/state"), Path("/run/ipam/cbr0")
REQUEST = PhantomRequest(pod_cidrs=(CIDR,))
needs_plugins = pytest.mark.skipif(not Path(PLUGINS, "bridge").exists(), reason="the CNI plugins are not installed")


def settings(*bins: str, **parts) -> Settings:
    given = {
        "node_name": "n1",
        "node_ips": (NODE,),
        "pod_cidrs": (CIDR,),
        "netns_dirs": ("/run/netns",),
        "cni_dirs": (str(CONFLIST),),
        "cni_bin_dirs": bins,
        "state_dir": str(STATE),
        "connect_timeout": 0.4,
        **parts,
    }
    return Settings(**given)


def node_without_pods(*more: dict) -> None:
    """A bridge, and a network configuration as flannel's: bridge with masquerading, host-local addresses, then `more`."""
    sh("ip link set lo up", "ip link add cni0 type bridge", f"ip addr add {NODE}/24 dev cni0", "ip link set cni0 up")
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "ipam": {"type": "host-local", "dataDir": str(IPAM.parent), "subnet": CIDR, "routes": [{"dst": "0.0.0.0/0"}]},
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}, *more]
    CONFLIST.mkdir()
    text = json.dumps({"cniVersion": "1.0.0", "name": "cbr0", "plugins": plugins})
    (CONFLIST / "10-cbr0.conflist").write_text(text)


def left() -> dict[str, list[str]]:
    """What a phantom could leave: cables, addresses that are reserved, nat rules, records, processes."""
    return {
        "links": [line.split()[0] for line in sh("ip -br link").splitlines() if line.split()[0] not in ("lo", "cni0")],
        "addresses": sorted(entry.name for entry in IPAM.glob("10.*")),
        "rules": [line for line in sh("iptables-nft -t nat -S").splitlines() if line.startswith(("-A", "-N"))],
        "records": [str(path) for path in STATE.glob("phantoms/*")],
        "processes": [entry.name for entry in Path("/proc").iterdir() if runs(entry, b"agent.host.phantom")],
    }


NOTHING: dict[str, list[str]] = {"links": [], "addresses": [], "rules": [], "records": [], "processes": []}


@needs_plugins
@inside
def test_through_cni_a_pod_is_made_and_taken_back() -> None:
    node_without_pods()
    with Broker.start(settings(PLUGINS)) as broker:
        for _ in range(3):
            phantom = broker.phantom(REQUEST)
            assert (phantom.problem, phantom.how, phantom.notes) == ("", "CNI network cbr0 (bridge, portmap)", ())
            assert phantom.namespace in {namespace.inode for namespace in broker.node().namespaces}
            assert left()["addresses"] == [phantom.address]
            assert broker.end_phantom().problem == ""
            assert left() == NOTHING
        assert broker.end_phantom().problem == "", "a second end is none"


@needs_plugins
@inside
def test_a_look_at_a_node_without_pods_finds_the_rule_by_a_phantom() -> None:
    node_without_pods()
    sh(f"iptables-nft -A INPUT -p tcp --dport {PORT} -j REJECT --reject-with icmp-host-prohibited")
    kept = sh("iptables-nft -S INPUT")
    wanted = settings(PLUGINS, phantom=True)
    with Broker.start(wanted) as broker:
        capture = collect(broker, wanted, SystemClock(), None, Senses(read_node=lambda _: None))
        assert left() == NOTHING
    report = analyse(capture)
    assert report.state is State.BLOCKED
    assert report.cause is not None
    assert (report.cause.code, report.cause.witnesses["probe"], report.cause.witnesses["counters"]) == (
        "input-reject",
        "agrees",
        "agrees",
    )
    assert [probe.errno for probe in report.probes if probe.vantage == "pod"] == ["EHOSTUNREACH"]
    assert any(fact.name == "phantom pod" and "taken back" in fact.value for fact in report.facts)
    assert sh("iptables-nft -S INPUT") == kept


@inside
def test_without_being_asked_there_is_none() -> None:
    node_without_pods()
    wanted = settings(PLUGINS)
    with Broker.start(wanted) as broker:
        capture = collect(broker, wanted, SystemClock(), None, Senses(read_node=lambda _: None))
    assert capture.phantom is None
    assert [probe.vantage for probe in analyse(capture).probes] == ["host"]


@inside
def test_where_there_are_pods_none_is_made() -> None:
    node_without_pods()
    plug_in("a", "10.244.4.9")
    wanted = settings(PLUGINS, phantom=True)
    with Broker.start(wanted) as broker:
        capture = collect(broker, wanted, SystemClock(), None, Senses(read_node=lambda _: None))
    assert capture.phantom is None


@needs_plugins
@inside
def test_a_plugin_that_fails_is_taken_back_and_the_bridge_is_taken() -> None:
    bins = Path("/run/bin")
    bins.mkdir()
    failing = bins / "fails"
    failing.write_text(
        '#!/bin/sh\ncat > /dev/null\n[ "$CNI_COMMAND" = DEL ] || { echo \'{"code": 11, "msg": "not today"}\'; exit 1; }\n'
    )
    failing.chmod(0o755)
    node_without_pods({"type": "fails"})
    with Broker.start(settings(PLUGINS, str(bins))) as broker:
        phantom = broker.phantom(REQUEST)
        assert (phantom.problem, phantom.how.split(",")[0]) == ("", "bridge cni0")
        assert phantom.notes == ("the CNI plugin fails failed at ADD: not today",)
        ended = broker.end_phantom()
        assert ended.problem == "", (ended, left())
        assert left() == NOTHING


@inside
def test_without_plugins_an_address_that_is_somebodys_is_not_taken() -> None:
    node_without_pods()
    plug_in("a", "10.244.4.254")
    plug_in("b", "10.244.4.253")
    with Broker.start(settings("/nowhere")) as broker:
        phantom = broker.phantom(PhantomRequest(pod_cidrs=(CIDR,), taken=("10.244.4.252",)))
        assert phantom.address == "10.244.4.251"
        assert "bridge, portmap" in phantom.notes[0]
        assert broker.end_phantom().problem == ""
    assert left()["links"] == ["vetha@if2", "vethb@if2"]


@inside
def test_with_neither_the_reason_is_told() -> None:
    with Broker.start(settings("/nowhere")) as broker:
        phantom = broker.phantom(REQUEST)
        assert phantom.address == ""
        assert "no CNI configuration" in phantom.problem
        assert "no bridge of this node" in phantom.problem
        assert left() == NOTHING


@needs_plugins
@inside
def test_a_broker_that_is_killed_leaves_nothing() -> None:
    node_without_pods()
    for bins in (PLUGINS, "/nowhere"):
        broker = Broker.start(settings(bins))
        assert broker.phantom(REQUEST).address
        assert left() != NOTHING
        os.kill(broker_pid(), signal.SIGKILL)
        await_that(lambda: left() == NOTHING)
        broker.close()


@needs_plugins
@inside
def test_a_phantom_that_dies_while_it_is_taken_back_leaves_nothing() -> None:
    """Its namespace must outlast the plugins: the bridge's finds the masquerading rules by an address that is in there."""
    bins = Path("/run/bin")
    bins.mkdir()
    # The last plugin is the first that is told DEL. Its parent is the guardian, whose parent is the phantom.
    killer = bins / "kills"
    killer.write_text(
        """#!/bin/sh
        cat > /dev/null
        [ "$CNI_COMMAND" = DEL ] || { echo '{"cniVersion": "1.0.0"}'; exit 0; }
        phantom=$(awk '/^PPid/ {print $2}' /proc/$PPID/status)
        kill -9 "$phantom"
        while [ -e "/proc/$phantom/ns/net" ]; do sleep 0.01; done
        """
    )
    killer.chmod(0o755)
    node_without_pods({"type": "kills"})
    with Broker.start(settings(PLUGINS, str(bins))) as broker:
        assert broker.phantom(REQUEST).address
        assert "without a word" in broker.end_phantom().problem
        await_that(lambda: left() == NOTHING)


@needs_plugins
@inside
def test_a_phantom_that_is_killed_leaves_nothing() -> None:
    node_without_pods()
    with Broker.start(settings(PLUGINS)) as broker:
        assert broker.phantom(REQUEST).address
        (worker,) = (int(entry.name) for entry in Path("/proc").iterdir() if is_worker(entry))
        os.kill(worker, signal.SIGKILL)
        await_that(lambda: left() == NOTHING)
        assert "without a word" in broker.end_phantom().problem
        assert broker.phantom(REQUEST).address, "the next one is made all the same"
        assert broker.end_phantom().problem == ""
        assert left() == NOTHING


@needs_plugins
@inside
def test_what_even_the_guardian_left_is_swept_at_the_next_start() -> None:
    node_without_pods()
    broker = Broker.start(settings(PLUGINS))
    assert broker.phantom(REQUEST).address
    for entry in list(Path("/proc").iterdir()):
        if runs(entry, b"agent.host.phantom"):
            os.kill(int(entry.name), signal.SIGKILL)
    os.kill(broker_pid(), signal.SIGKILL)
    broker.close()
    await_that(lambda: not left()["processes"])
    assert left()["addresses"], "an address is reserved still"
    assert left()["records"]
    with Broker.start(settings(PLUGINS)):
        await_that(lambda: left() == NOTHING)


@needs_plugins
@inside
def test_a_phantom_in_use_is_not_swept_by_another_broker() -> None:
    node_without_pods()
    with Broker.start(settings(PLUGINS)) as first:
        phantom = first.phantom(REQUEST)
        with Broker.start(settings(PLUGINS)) as second:
            other = second.phantom(REQUEST)
            assert {phantom.address, other.address} == set(left()["addresses"])
            assert len({phantom.address, other.address}) == 2
            second.end_phantom()
            assert left()["addresses"] == [phantom.address]
        first.end_phantom()
    assert left() == NOTHING


def plug_in(name: str, address: str) -> None:
    sh(
        *(f"ip netns add {name}", f"ip link add veth{name} type veth peer name eth0 netns {name}"),
        *(f"ip link set veth{name} master cni0 up", f"ip -n {name} addr add {address}/24 dev eth0"),
        f"ip -n {name} link set eth0 up",
    )


def runs(entry: Path, program: bytes) -> bool:
    try:
        return entry.name.isdecimal() and program in (entry / "cmdline").read_bytes()
    except OSError:
        return False


def is_worker(entry: Path) -> bool:
    """The phantom itself, not its guardian: the one in a network namespace of its own."""
    own = Path("/proc/self/ns/net").stat().st_ino
    return runs(entry, b"agent.host.phantom") and (entry / "ns" / "net").stat().st_ino != own


def broker_pid() -> int:
    (pid,) = (int(entry.name) for entry in Path("/proc").iterdir() if runs(entry, b"agent.host.broker"))
    return pid


def await_that(holds: Callable[[], bool], patience: float = 15.0) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, left()
        time.sleep(0.02)


if __name__ == "__main__":
    globals()[sys.argv[1]].body()
