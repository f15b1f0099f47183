"""The front as a server: on a socket it is given, for as long as its link does, whatever becomes of the broker."""

import http.client
import socket
import threading
import time

import pytest
import uvicorn

from agent.api import doors, punctual
from agent.api.doors import Server
from agent.api.front import serve
from agent.host import link
from agent.host.broker import Broker
from agent.model.access import Access
from agent.model.settings import Settings
from tests.lab.staged import await_that

GONE = (
    "[-]broker failed: degraded, the broker is gone ({}): nothing of the node can be read or changed; "
    "reports until then are kept. it is started again by itself; where that fails, the log has what it says\nnot ready\n"
)


def get(port, path="/livez"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def answers(port):
    """Asks until it answers: the socket listens before the server does."""
    return get(port)


@pytest.fixture
def front():
    """A front that has no broker yet: (port, the supervisor's end of its link, the thread)."""
    ours, theirs = link.make()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    thread = threading.Thread(target=serve, args=(theirs, [listener], Settings(), Access(insecure_loopback=True)))
    thread.start()
    yield port, ours, thread
    ours.close()
    thread.join(5)
    assert not thread.is_alive()


def test_it_answers_without_a_broker_and_ends_with_the_link(front):
    port, line, thread = front
    assert answers(port) == (200, "ok\n")
    line.close()
    thread.join(5)
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


def test_it_lives_on_when_its_broker_dies_and_says_that_it_is_degraded(front):
    port, line, thread = front
    assert get(port, "/readyz?verbose") == (503, GONE.format("it is not there yet"))
    broker = Broker(Settings(cni_dirs=(), netns_dirs=()))
    for number in range(3):
        ours, theirs = socket.socketpair()
        with theirs:
            link.give(line, theirs)
        if number == 1:
            ours.close()  # this one dies before it answers
            await_that(lambda: get(port, "/readyz?verbose") == (503, GONE.format("it ended")), "it is not said")
            status, body = get(port, "/v1/firewall")
            assert status == 503
            assert "Degraded: the broker is gone" in body
            continue
        broker.converse(ours)
        await_that(lambda: "[-]broker" not in get(port, "/readyz?verbose")[1], "it does not hear of the next broker")
        assert f"kubereach_broker_restarts_total {number}.0" in get(port, "/metrics")[1]
    assert get(port) == (200, "ok\n")
    assert thread.is_alive()
    broker.close()


def test_a_client_that_never_ends_its_headers_is_hung_up_on(front, monkeypatch):
    monkeypatch.setattr(punctual, "PATIENCE", 0.1)
    port, _, _ = front
    answers(port)
    with socket.create_connection(("127.0.0.1", port), 5) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localh")
        start = time.monotonic()
        assert slow.recv(1) == b""
        assert time.monotonic() - start < 3


def test_an_answer_that_takes_longer_than_the_deadline_arrives_and_the_server_ends_at_a_word(monkeypatch):
    monkeypatch.setattr(punctual, "PATIENCE", 0.05)
    monkeypatch.setattr(doors, "_TICK", 3600.0)

    async def slow(_scope, _receive, send):
        import asyncio

        await asyncio.sleep(0.15)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(slow, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert get(listener.getsockname()[1]) == (200, "ok")
    finally:
        server.leave()
        thread.join(30)
    assert not thread.is_alive()
    server.leave()  # of one that has ended: nothing
