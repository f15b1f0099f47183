import errno
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from agent.host import icmp, probe
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.settings import Settings

QUICK = Settings(connect_timeout=0.3, request_timeout=0.3)


def ask(port: int, target: str = "127.0.0.1", source: str = "", settings: Settings = QUICK) -> ProbeResult:
    request = ProbeRequest(vantage=Vantage.HOST, namespace=0, source=source, target=target, port=port)
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    return probe.probe(request, socket.socket(family, socket.SOCK_STREAM), settings)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(5)
        yield made


def answering(server: socket.socket, answer: bytes) -> threading.Thread:
    def serve() -> None:
        with server.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_nobody_listens(server: socket.socket) -> None:
    port = server.getsockname()[1]
    server.close()
    result = ask(port, source="127.0.0.5")
    assert (result.outcome, result.errno, result.icmp, result.tls) == (Outcome.RESET, "ECONNREFUSED", None, None)
    assert result.source == "127.0.0.5"


def test_an_open_port_that_speaks_no_tls(server: socket.socket) -> None:
    thread = answering(server, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    result = ask(server.getsockname()[1])
    thread.join()
    assert (result.outcome, result.errno) == (Outcome.OPEN, None)
    assert result.tls is not None
    assert (result.tls.ok, result.tls.http_status) == (False, None)
    assert result.tls.error
    assert result.sport is not None


def test_an_open_port_that_says_nothing_ends_at_the_deadline(server: socket.socket) -> None:
    started = time.monotonic()
    result = ask(server.getsockname()[1])
    assert 0.2 < time.monotonic() - started < 2.0
    assert result.seconds < 0.2, "the connect's time alone"
    assert result.tls is not None
    assert result.tls.error == "no answer in time"


def test_the_end_is_a_reset_that_leaves_no_port_waiting(server: socket.socket) -> None:
    result = ask(server.getsockname()[1])  # it says nothing, and reads nothing before we are gone
    with server.accept()[0] as connection:
        hello = connection.recv(4096)  # all that was sent
        with pytest.raises(ConnectionResetError):
            connection.recv(4096)
    assert hello.startswith(b"\x16\x03")
    assert result.outcome is Outcome.OPEN


@pytest.mark.parametrize("target", ["not-an-address.invalid", "::1"])
def test_a_target_of_another_kind_is_not_tried(target: str) -> None:
    request = ProbeRequest(vantage=Vantage.HOST, namespace=0, source="", target=target, port=1)
    result = probe.probe(request, socket.socket(socket.AF_INET, socket.SOCK_STREAM), QUICK)
    assert (result.outcome, result.errno) == (Outcome.NOT_TRIED, "EAFNOSUPPORT")
    assert result.detail


def test_a_source_that_is_not_ours_is_not_tried() -> None:
    result = ask(1, source="192.0.2.1")
    assert result.outcome is Outcome.NOT_TRIED
    assert "192.0.2.1" in result.detail


def test_the_socket_is_closed_whatever_happens() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    request = ProbeRequest(vantage=Vantage.HOST, namespace=0, source="192.0.2.1", target="127.0.0.1", port=1)
    probe.probe(request, sock, QUICK)
    assert sock.fileno() == -1


class Scripted(socket.socket):
    """A socket whose connect goes as a test says: no kernel can be told to be in the middle of something."""

    errors: list[int]

    def connect_ex(self, address: object) -> int:
        return errno.EINPROGRESS

    def getsockopt(self, *_: object) -> int:  # type: ignore[override]  # only SO_ERROR is asked
        return self.errors.pop(0) if self.errors else 0


def test_an_icmp_error_in_the_queue_alone_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = icmp.Icmp(4, 3, 10, "10.0.0.1", errno.EHOSTUNREACH)
    monkeypatch.setattr(icmp, "take", lambda _: answer)
    sock = Scripted(socket.AF_INET, socket.SOCK_STREAM)  # never connected: poll wakes at once with POLLHUP
    sock.errors = []
    request = ProbeRequest(vantage=Vantage.POD, namespace=1, source="", target="127.0.0.1", port=1)
    result = probe.probe(request, sock, QUICK)
    assert (result.outcome, result.errno, result.icmp) == (Outcome.HOST_PROHIBITED, "EHOSTUNREACH", (3, 10))


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (errno.ECONNREFUSED, Outcome.RESET),
        (errno.EHOSTUNREACH, Outcome.NO_ROUTE),
        (errno.ENETUNREACH, Outcome.NO_ROUTE),
        (errno.EINVAL, Outcome.BLACKHOLE),
        (errno.ETIMEDOUT, Outcome.TIMEOUT),
        (errno.EPERM, Outcome.NOT_TRIED),
    ],
)
def test_errno_alone(number: int, outcome: Outcome) -> None:
    sock = Scripted(socket.AF_INET, socket.SOCK_STREAM)
    sock.errors = [number]
    request = ProbeRequest(vantage=Vantage.POD, namespace=1, source="", target="127.0.0.1", port=1)
    result = probe.probe(request, sock, QUICK)
    assert (result.outcome, result.errno) == (outcome, errno.errorcode[number])
    assert bool(result.detail) == (outcome is Outcome.NOT_TRIED)


def test_a_pod_that_is_gone() -> None:
    request = ProbeRequest(vantage=Vantage.POD, namespace=4711, source="", target="10.0.0.1", port=1)
    assert probe.pod_gone(request).outcome is Outcome.POD_GONE
    assert probe.not_tried(request, "because").detail == "because"
