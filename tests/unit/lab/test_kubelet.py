"""The stand-in behaves as a kubelet does to somebody without a token."""

import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime

import httpx
import pytest
from cryptography import x509

from agent.lab.kubelet import MAX_CONNECTIONS, TOKENS_SEEN, Kubelet
from agent.lab.serving import certify, secure


@pytest.fixture
def kubelet():
    with Kubelet(0, secure(*certify("k8s-worker1", datetime.now(UTC)))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(kubelet):
    with httpx.Client(base_url=f"https://127.0.0.1:{kubelet.server_address[1]}", verify=False) as client:
        yield client


def test_a_request_without_a_token_is_unauthorized(client):
    answer = client.get("/metrics/resource")
    assert (answer.status_code, answer.text) == (401, "Unauthorized")


def test_healthz_is_open(client):
    assert client.get("/healthz").text == "ok"


def test_tokens_are_counted_and_not_kept(client, kubelet):
    assert client.get(TOKENS_SEEN).text == "0"
    assert client.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 401
    assert client.get(TOKENS_SEEN).text == "1"
    assert "secret" not in repr(vars(kubelet))


def test_who_speaks_no_tls_does_not_disturb_the_others(client, kubelet):
    for _ in range(MAX_CONNECTIONS + 1):  # each gives its slot back
        address = ("127.0.0.1", kubelet.server_address[1])
        with contextlib.suppress(OSError), socket.create_connection(address) as stranger:  # it may be reset at any step
            stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(4096):
                pass
    assert client.get("/healthz").text == "ok"


def test_the_certificate_names_the_node_and_no_address():
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    certificate, _ = certify("k8s-worker1", now)
    parsed = x509.load_pem_x509_certificate(certificate)
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert parsed.subject == parsed.issuer
    assert parsed.subject.rfc4514_string() == f"CN=k8s-worker1@{int(now.timestamp())}"
    assert names.get_values_for_type(x509.DNSName) == ["k8s-worker1"]
    assert names.get_values_for_type(x509.IPAddress) == []


def test_the_context_serves_tls():
    assert secure(*certify("k8s-worker1", datetime.now(UTC))).minimum_version >= ssl.TLSVersion.TLSv1_2
