"""Connects from a pod against a real kernel: every outcome, the handshake behind it, and what a thousand of them leave."""

import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent.host import client, probe
from agent.host.errors import NamespaceGone
from agent.model.probe import Outcome
from tests.lab.pod_on_a_node import (
    NODE6,
    POD,
    POD6,
    PORT,
    SETTINGS,
    entries,
    listening,
    pod_inode,
    processes,
    processes_named,
    request,
    try_it,
    until,
    wire_up,
)
from tests.lab.program import inside, sh

pytestmark = pytest.mark.lab


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


if __name__ == "__main__":
    globals()[sys.argv[1]].body()
