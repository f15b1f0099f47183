"""Vantage points against a real kernel: which pods are preferred, and pods that die while they are looked at."""

import re
import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.diagnosis.identify import identify
from agent.host.client import Broker
from agent.host.probe import probe
from agent.model.probe import Outcome, ProbeRequest, Vantage
from agent.model.report import State
from agent.model.settings import Settings
from agent.service.clock import SystemClock
from agent.service.collect import collect, probe_only
from agent.service.senses import Senses
from tests.lab.program import inside, sh

pytestmark = pytest.mark.lab

NODE, PORT = "10.244.4.1", 10250
PODS = {"a": "10.244.4.7", "b": "10.244.4.138", "c": "10.244.4.200"}
SETTINGS = Settings(
    node_name="n1", node_ips=(NODE,), pod_cidrs=("10.244.4.0/24",), connect_timeout=0.4, cni_dirs=(), netns_dirs=("/run/netns",)
)
SENSES = Senses(read_node=lambda _: None)


def wire_up(*names: str) -> None:
    """A bridge with pods; this namespace is the node."""
    sh(
        *("ip link set lo up", "ip link add cni0 type bridge", f"ip addr add {NODE}/24 dev cni0", "ip link set cni0 up"),
        *(line for name in names for line in _plug(name)),
    )
    # A host sends each peer 6 ICMP errors at once and then one a second (icmp(7)); a test asks for more.
    Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")


def _plug(name: str) -> tuple[str, ...]:
    return (
        *(f"ip netns add {name}", f"ip link add veth{name} type veth peer name eth0 netns {name}"),
        *(f"ip link set veth{name} master cni0 up", f"ip -n {name} addr add {PODS[name]}/24 dev eth0"),
        *(f"ip -n {name} link set lo up", f"ip -n {name} link set eth0 up", f"ip -n {name} route add default via {NODE}"),
    )


def request(name: str) -> ProbeRequest:
    inode = Path(f"/run/netns/{name}").stat().st_ino
    return ProbeRequest(vantage=Vantage.POD, namespace=inode, source=PODS[name], target=NODE, port=PORT)


def held() -> tuple[int, int, int]:
    """Our descriptors, threads and the namespaces that are mounted here."""
    mounted = set(re.findall(r"net:\[\d+\]", Path("/proc/self/mountinfo").read_text()))  # `ip netns` mounts some of them twice
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), len(mounted)


@inside
def test_a_pod_that_loses_its_address_before_or_during_the_connect_is_gone() -> None:
    wire_up("a", "b", "c")
    sh(f"iptables-nft -A INPUT -p tcp --dport {PORT} -j DROP")
    with Broker.start(SETTINGS) as broker:
        before = broker.socket(request("a").namespace, 4)
        sh("ip link del vetha")
        assert probe(request("a"), before, SETTINGS).outcome is Outcome.POD_GONE
        bound = broker.socket(request("b").namespace, 4)
        timer = threading.Timer(0.1, sh, ("ip link del vethb",))
        timer.start()
        assert probe(request("b"), bound, SETTINGS).outcome is Outcome.POD_GONE
        timer.join()
        alive = broker.socket(request("c").namespace, 4)
        sh("ip -n c link set eth0 down")
        assert probe(request("c"), alive, SETTINGS).outcome is Outcome.NO_ROUTE, "a pod whose cable is unplugged is still there"


@inside
def test_a_namespace_that_is_removed_mid_probe_is_a_pod_that_is_gone() -> None:
    wire_up("a")
    sh(f"iptables-nft -A INPUT -p tcp --dport {PORT} -j DROP")
    with Broker.start(SETTINGS) as broker:

        def remove_and_probe(asked: ProbeRequest, sock: socket.socket, settings: Settings):
            if asked.vantage is Vantage.POD:
                sh("ip netns del a")
            return probe(asked, sock, settings)

        results, _ = probe_only(broker, SETTINGS, SystemClock(), Senses(remove_and_probe, SENSES.read_node))
    assert (results[0].request.vantage, results[0].outcome) == (Vantage.POD, Outcome.POD_GONE)


@inside
def test_when_the_first_pod_is_gone_the_next_one_is_judged() -> None:
    wire_up("a", "b")
    sh(f"iptables-nft -A INPUT -p tcp --dport {PORT} -j REJECT")
    with Broker.start(SETTINGS) as broker:

        def remove_first(asked: ProbeRequest, sock: socket.socket, settings: Settings):
            if asked.source == PODS["a"]:
                sh("ip link del vetha")
            return probe(asked, sock, settings)

        capture = collect(broker, SETTINGS, SystemClock(), None, Senses(remove_first, SENSES.read_node))
    report = analyse(capture)
    assert [item.outcome for item in report.probes if item.vantage == "pod"] == ["pod-gone", "port-unreachable"]
    assert report.state is State.BLOCKED
    assert report.cause is not None
    assert report.cause.code == "input-reject"
    assert report.disagreements == ()


@inside
def test_pods_whose_own_namespace_redirects_or_that_a_policy_isolates_come_last() -> None:
    wire_up("a", "b", "c")
    sh(
        "ip netns exec a iptables-nft -t nat -N ISTIO_OUTPUT",
        "ip netns exec a iptables-nft -t nat -A OUTPUT -p tcp -j ISTIO_OUTPUT",
        "iptables-nft -N KUBE-POD-FW-B",
        "iptables-nft -N KUBE-NWPLCY-X",
        "iptables-nft -A KUBE-POD-FW-B -j KUBE-NWPLCY-X",
        f"iptables-nft -A FORWARD -s {PODS['b']} -j KUBE-POD-FW-B",
    )
    with Broker.start(SETTINGS) as broker:
        capture = collect(broker, SETTINGS, SystemClock(), None, SENSES)
    assert identify(capture.node, capture.processes, None, SETTINGS).pods[-1].address == PODS["a"]
    tried = [result.request.source for result in capture.probes if result.request.vantage is Vantage.POD]
    assert tried == [PODS["c"], PODS["b"], PODS["a"]]
    told = {fact.value for fact in analyse(capture).facts if fact.name == "pod not preferred"}
    assert any("ISTIO_OUTPUT" in value for value in told), told
    assert any("KUBE-POD-FW-B" in value for value in told), told


def mixed(broker: Broker, count: int) -> dict[Outcome, int]:
    """Connects that end in every way, a pod that comes and goes among them; how many of each."""
    quick = replace(SETTINGS, connect_timeout=0.002)
    seen: dict[Outcome, int] = {}
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((NODE, PORT), backlog=128))
        kubelet = threading.Thread(target=_hang_up, args=(server,), daemon=True)
        kubelet.start()
        for number in range(count):
            name = "abc"[number % 3]
            asked = request(name)
            sock = broker.socket(asked.namespace, 4)
            if number % 25 == 0:
                sh(f"ip link del veth{name}")
            result = probe(asked, sock, quick)
            if number % 25 == 0:
                sh(f"ip netns del {name}", *_plug(name))
            seen[result.outcome] = seen.get(result.outcome, 0) + 1
        server.shutdown(socket.SHUT_RDWR)
        kubelet.join()
    return seen


def _hang_up(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


@inside
def test_mixed_probes_leave_nothing_open() -> None:
    leave_nothing(300)


def leave_nothing(count: int) -> None:
    wire_up("a", "b", "c")
    sh(
        f"iptables-nft -A INPUT -s {PODS['b']} -p tcp --dport {PORT} -j REJECT",
        f"iptables-nft -A INPUT -s {PODS['c']} -p tcp --dport {PORT} -j DROP",
    )
    with Broker.start(replace(SETTINGS, twin=False)) as broker:
        broker.node()
        broker.processes()
        mixed(broker, 50)  # what is made once and kept is there from now on
        (pid,) = (int(entry.name) for entry in Path("/proc").iterdir() if _is_broker(entry))
        ours, theirs = held(), _held_by(pid)
        seen = mixed(broker, count)
        broker.processes()  # its worker's template ends when nobody asks for a minute
        assert {Outcome.OPEN, Outcome.PORT_UNREACHABLE, Outcome.TIMEOUT, Outcome.POD_GONE} <= set(seen), seen
        deadline = time.monotonic() + 5
        while (held(), _held_by(pid)) != (ours, theirs) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (held(), _held_by(pid)) == (ours, theirs), (
            seen,
            ours,
            theirs,
            held(),
            _open_files("self"),
            _open_files(str(pid)),
        )
        print(seen, ours, theirs)


def _open_files(pid: str) -> list[str]:
    found = []
    for entry in Path("/proc", pid, "fd").iterdir():
        with suppress(FileNotFoundError):  # the directory that is being read
            found.append(str(entry.readlink()))
    return found


def _is_broker(entry: Path) -> bool:
    try:
        return entry.name.isdecimal() and b"agent.host.broker" in (entry / "cmdline").read_bytes()
    except OSError:
        return False


def _held_by(pid: int) -> tuple[int, int]:
    """Descriptors and threads."""
    place = Path("/proc", str(pid))
    return len(list((place / "fd").iterdir())), len(list((place / "task").iterdir()))


if __name__ == "__main__":
    if sys.argv[1].isdecimal():
        leave_nothing(int(sys.argv[1]))
    else:
        globals()[sys.argv[1]].body()
