"""The host room against a real kernel. Each test runs again as a program inside throwaway namespaces: see `inside`."""

import array
import ctypes
import functools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent.host import client, firewall, privilege, probe
from agent.host.errors import BrokerGone, NamespaceGone
from agent.model.capture import LEGACY_SAVE, NFT_JSON, NFT_SAVE
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.settings import Settings

pytestmark = pytest.mark.lab

NODE, POD = "10.244.4.1", "10.244.4.138"
NODE6, POD6 = "fd00:244::1", "fd00:244::138"
PORT = 10250
SETTINGS = Settings(connect_timeout=0.4, request_timeout=1.0, cni_dirs=(), netns_dirs=("/run/netns",))
NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


def inside(test: Callable[[], None]) -> Callable[[], None]:
    """Runs the test's body in network, mount and process namespaces of its own, with a private /run."""

    @functools.wraps(test)
    def outside() -> None:
        rootless = () if os.geteuid() == 0 else ("--user", "--map-root-user")
        begin = 'mount -t tmpfs tmpfs /run && exec "$0" "$@"'
        argv = ["unshare", *rootless, *NAMESPACES, "sh", "-c", begin, sys.executable, "-W", "error", __file__, test.__name__]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    outside.__dict__["body"] = test
    return outside


def sh(*commands: str) -> None:
    for command in commands:
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def wire_up() -> None:
    """A pod in a namespace of its own behind a veth pair; this namespace is the node."""
    sh(
        *("ip link set lo up", "ip netns add pod", "ip link add veth0 type veth peer name eth0 netns pod"),
        *(f"ip addr add {NODE}/24 dev veth0", f"ip addr add {NODE6}/64 dev veth0 nodad", "ip link set veth0 up"),
        *(f"ip -n pod addr add {POD}/24 dev eth0", f"ip -n pod addr add {POD6}/64 dev eth0 nodad"),
        *("ip -n pod link set lo up", "ip -n pod link set eth0 up"),
        *(f"ip -n pod route add default via {NODE}",),
    )


def pod_inode() -> int:
    return Path("/run/netns/pod").stat().st_ino


def request(target: str = NODE, source: str = POD, port: int = PORT) -> ProbeRequest:
    return ProbeRequest(vantage=Vantage.POD, namespace=pod_inode(), source=source, target=target, port=port)


def try_it(broker: client.Broker, wanted: ProbeRequest) -> ProbeResult:
    sock = broker.socket(wanted.namespace, ip_address(wanted.target).version)
    return probe.probe(wanted, sock, SETTINGS)


@contextmanager
def listening(address: str = NODE) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, PORT), family=family, backlog=64) as server:
        yield server


def processes() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}


def entries(directory: str) -> int:
    return sum(1 for _ in Path(directory).iterdir())


def until(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


@inside
def test_each_refusal_has_its_outcome() -> None:
    wire_up()
    # A host sends each peer 6 ICMP errors at once and then one a second (icmp(7)); this test asks for more.
    Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
    Path("/proc/sys/net/ipv6/icmp/ratelimit").write_text("0")
    refusals = (
        ("ip", "REJECT", Outcome.PORT_UNREACHABLE, "ECONNREFUSED", (3, 3)),
        ("ip", "REJECT --reject-with tcp-reset", Outcome.RESET, "ECONNREFUSED", None),
        ("ip", "REJECT --reject-with icmp-host-prohibited", Outcome.HOST_PROHIBITED, "EHOSTUNREACH", (3, 10)),
        ("ip", "REJECT --reject-with icmp-admin-prohibited", Outcome.ADMIN_PROHIBITED, "EHOSTUNREACH", (3, 13)),
        ("ip", "REJECT --reject-with icmp-net-unreachable", Outcome.NET_UNREACHABLE, "ENETUNREACH", (3, 0)),
        ("ip", "REJECT --reject-with icmp-host-unreachable", Outcome.OTHER_ICMP, "EHOSTUNREACH", (3, 1)),
        ("ip", "DROP", Outcome.TIMEOUT, "ETIMEDOUT", None),
        ("ip6", "REJECT", Outcome.PORT_UNREACHABLE, "ECONNREFUSED", (1, 4)),
        ("ip6", "REJECT --reject-with icmp6-adm-prohibited", Outcome.ADMIN_PROHIBITED, "EACCES", (1, 1)),
        ("ip6", "REJECT --reject-with icmp6-no-route", Outcome.NET_UNREACHABLE, "ENETUNREACH", (1, 0)),
        ("ip6", "REJECT --reject-with tcp-reset", Outcome.RESET, "ECONNREFUSED", None),
    )
    with client.Broker.start(SETTINGS) as broker, listening(), listening(NODE6):
        for backend in ("legacy", "nft"):
            for family, target, outcome, errno, icmp in refusals:
                tables, ask = (f"{family}tables-{backend}", request() if family == "ip" else request(NODE6, POD6))
                sh(f"{tables} -I INPUT -p tcp --dport {PORT} -j {target}")
                result = try_it(broker, ask)
                sh(f"{tables} -D INPUT 1")
                assert (result.outcome, result.errno, result.icmp) == (outcome, errno, icmp), (backend, target, result)
                assert result.offender == (ask.target if icmp else ""), (backend, target, result)
                assert outcome is Outcome.TIMEOUT or result.seconds < 0.2


@inside
def test_what_no_packet_answers() -> None:
    wire_up()
    with client.Broker.start(SETTINGS) as broker:
        closed = try_it(broker, request())
        assert (closed.outcome, closed.errno, closed.icmp) == (Outcome.RESET, "ECONNREFUSED", None)
        expected = {
            "unreachable": (Outcome.NO_ROUTE, "EHOSTUNREACH"),
            "blackhole": (Outcome.BLACKHOLE, "EINVAL"),
            "prohibit": (Outcome.NO_ROUTE, "EACCES"),
        }
        for kind, (outcome, errno) in expected.items():
            sh(f"ip -n pod route add {kind} 192.0.2.1/32")
            result = try_it(broker, request("192.0.2.1"))
            sh(f"ip -n pod route del {kind} 192.0.2.1/32")
            assert (result.outcome, result.errno, result.icmp) == (outcome, errno, None), (kind, result)
        sh("ip -n pod route del default")
        nowhere = try_it(broker, request("192.0.2.1"))
        assert (nowhere.outcome, nowhere.errno) == (Outcome.NO_ROUTE, "ENETUNREACH")
        stranger = try_it(broker, request(source="192.0.2.7"))
        assert stranger.outcome is Outcome.NOT_TRIED
        assert "192.0.2.7" in stranger.detail


@inside
def test_a_kubelet_answers_401() -> None:
    wire_up()
    with serving_tls(b"HTTP/1.1 401 Unauthorized\r\n\r\n") as heard, client.Broker.start(SETTINGS) as broker:
        result = try_it(broker, request())
    assert result.outcome is Outcome.OPEN
    assert result.errno is None
    assert (result.source, result.sport is not None) == (POD, True)
    assert result.tls is not None
    assert (result.tls.ok, result.tls.http_status, result.tls.self_signed) == (True, 401, True)
    assert (result.tls.subject, result.tls.sans) == ("CN=k8s-worker1", ("DNS:k8s-worker1",))
    assert result.tls.version in ("TLSv1.2", "TLSv1.3")
    assert heard[0].startswith(b"GET /metrics/resource HTTP/1.1\r\nHost: 10.244.4.1:10250\r\n")
    assert b"authorization" not in heard[0].lower()


@contextmanager
def serving_tls(answer: bytes) -> Iterator[list[bytes]]:
    """A kubelet's first words, once, with a certificate of its own making."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "k8s-worker1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("k8s-worker1")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *form))
        file.flush()
        context.load_cert_chain(file.name)
    heard: list[bytes] = []

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with context.wrap_socket(connection, server_side=True) as secure:
            heard.append(secure.recv(4096))
            secure.sendall(answer)

    with listening() as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield heard
        thread.join()


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
def test_a_pod_that_dies_is_gone() -> None:
    wire_up()
    inode = pod_inode()
    with client.Broker.start(SETTINGS) as broker:
        broker.node()
        sh("ip netns del pod")
        with pytest.raises(NamespaceGone):
            broker.socket(inode, 4)
        # One that lives on in a process is found there, though its name is gone.
        sleeper = subprocess.Popen(["unshare", "--net", "sleep", "60"])
        moved = Path(f"/proc/{sleeper.pid}/ns/net")
        own = Path("/proc/self/ns/net").stat().st_ino
        assert until(lambda: moved.stat().st_ino != own)
        broker.socket(moved.stat().st_ino, 4).close()
        sleeper.kill()
        sleeper.wait()


@inside
def test_300_probes_leave_nothing() -> None:
    wire_up()
    sh("iptables-nft -A INPUT -p tcp --dport 1 -j REJECT", "iptables-nft -A INPUT -p tcp --dport 2 -j DROP")
    with client.Broker.start(SETTINGS) as broker, listening() as server:
        server.setblocking(False)
        quick = replace(SETTINGS, connect_timeout=0.01, request_timeout=0.01)
        broker.node()  # once it has answered, it is seen under its own name
        broker_pid = next(iter(processes_named("agent.host.broker")))

        def footprint() -> tuple[int, int, int, int]:
            mine = entries("/proc/self/fd")
            theirs = entries(f"/proc/{broker_pid}/fd"), entries(f"/proc/{broker_pid}/task")
            return mine, *theirs, len(processes())

        def mixed(count: int) -> None:
            for number in range(count):
                wanted = (request(), request(port=1), request(port=2), request(NODE6, POD6), request("192.0.2.9"))[number % 5]
                probe.probe(wanted, broker.socket(wanted.namespace, ip_address(wanted.target).version), quick)
                if number % 5 == 0:
                    server.accept()[0].close()

        broker.firewall()
        mixed(10)
        before = footprint()
        mixed(300)
        assert until(lambda: footprint() == before), (before, footprint())


def processes_named(module: str) -> set[int]:
    found = set()
    for pid in processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if module.encode() in words and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
            found.add(pid)
    return found


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
def test_a_killed_template_is_replaced_and_a_killed_broker_takes_all_along() -> None:
    sh("iptables-legacy -A INPUT -j ACCEPT")
    adopt_orphans()
    before = processes()
    with client.Broker.start(SETTINGS) as broker:
        broker.node()
        for module in ("agent.host.process_worker", "agent.host.iptc_worker"):
            (pid,) = processes_named(module)
            os.kill(pid, signal.SIGKILL)
        assert broker.processes().problem == ""
        chain = broker.legacy_chain()
        assert chain is not None
        assert chain.problem == ""
        assert len(processes_named("agent.host.iptc_worker")) == 1
        (pid,) = processes_named("agent.host.broker")
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: reaped() and processes() <= before | {pid}), processes() - before
    assert until(lambda: reaped() and processes() <= before), processes() - before


@inside
def test_killing_the_client_ends_the_broker_and_its_workers() -> None:
    sh("iptables-legacy -A INPUT -j ACCEPT")
    adopt_orphans()
    before = processes()
    code = (
        "import agent.host.client as c, agent.model.settings as s; b = c.Broker.start(s.Settings()); b.node(); print(); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert len(processes() - before) >= 3  # itself, the broker, at least one template
    child.kill()
    child.communicate()
    assert until(lambda: reaped() and processes() <= before), processes() - before


def adopt_orphans() -> None:
    """PR_SET_CHILD_SUBREAPER, prctl(2): what loses its parent becomes ours and can be waited for."""
    assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0


def reaped() -> bool:
    """Collects orphans; True when none is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


@inside
def test_a_killed_broker_is_an_error_and_leaves_nothing() -> None:
    adopt_orphans()
    before = processes()
    with client.Broker.start(SETTINGS) as broker:
        broker.node()
        (pid,) = processes_named("agent.host.broker")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BrokerGone):
            broker.firewall()
    assert until(lambda: reaped() and processes() <= before), processes() - before


FRONT = """
import socket, sys
from agent.host.client import Broker
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
broker = Broker(socket.socket(fileno=int(options["--broker-fd"])))
listener = socket.socket(fileno=int(options["--listen-fd"]))
import os, select
poll = select.poll(); poll.register(int(options["--broker-fd"]), select.POLLRDHUP); poll.register(listener, select.POLLIN)
while all(fd == listener.fileno() for fd, _ in poll.poll()):
    connection, _ = listener.accept()
    words = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd", "NoNewPrivs"))]
    connection.sendall(f"{os.getpid()} {len(broker.firewall().readings)} {' '.join(words)}".encode())
    connection.close()
"""


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], list[str]]]]:
    """A broker that serves the trivial front above, and a way to ask it."""
    sh("ip link set lo up")
    with socket.create_server(("127.0.0.1", 10270)) as listener:
        front = json.dumps([sys.executable, "-c", FRONT])
        argv = [sys.executable, "-m", "agent.host.broker", "--settings", "{}", "--listen-fd", str(listener.fileno())]
        broker = subprocess.Popen([*argv, "--front", front], pass_fds=(listener.fileno(),))

    def ask() -> list[str]:
        with socket.create_connection(("127.0.0.1", 10270), timeout=5) as connection:
            return connection.recv(4096).decode().split()

    try:
        yield broker, ask
    finally:
        broker.kill()
        broker.wait()


@inside
def test_the_front_has_no_privilege_and_is_restarted() -> None:
    with serving() as (broker, ask):
        pid, readings, effective, bounding, no_new = ask()
        assert (int(readings), int(effective, 16), int(bounding, 16), no_new) == (1, 0, 0, "1")
        os.kill(int(pid), signal.SIGKILL)
        again = ask()
        assert again[0] != pid
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(5) == 0
        assert not Path(f"/proc/{again[0]}").exists()


@inside
def test_a_killed_broker_takes_its_front_along() -> None:
    adopt_orphans()
    before = processes()
    with serving() as (broker, ask):
        ask()
        broker.kill()
        broker.wait()
        assert until(lambda: reaped() and processes() <= before), processes() - before


@inside
def test_without_privilege_the_firewall_is_a_problem_with_a_remedy() -> None:
    sh("iptables-legacy -A INPUT -j ACCEPT")
    privilege.give_up(os.geteuid())
    found = firewall.capture()
    told = {problem.what: problem.remedy for problem in found.problems}
    assert "NET_ADMIN" in told[NFT_JSON], found
    assert "NET_ADMIN" in told[LEGACY_SAVE], found
    assert all(reading.status != 0 for reading in found.readings)


@inside
def test_descriptors_that_nobody_asked_for_are_closed() -> None:
    with client.Broker.start(SETTINGS) as broker:
        broker.processes()  # every template is there from now on
        (pid,) = processes_named("agent.host.broker")
        held = entries(f"/proc/{pid}/fd")
        channel = broker._idle[0]
        body = b'{"op": "hello", "arguments": {}}'
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))]
        channel.sendmsg([len(body).to_bytes(4, "big") + body], rights)
        assert channel.recv(4096)
        assert entries(f"/proc/{pid}/fd") == held


if __name__ == "__main__":
    globals()[sys.argv[1]].body()
