"""The front as a server: on a socket it is given, for as long as the other end of its channel lives."""

import http.client
import socket
import threading
import time

import pytest
import uvicorn

from agent.api import doors, punctual
from agent.api.doors import Server
from agent.api.front import serve
from agent.model.access import Access
from agent.model.settings import Settings


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
    """A front whose broker does nothing but live: (port, the broker's end, the thread)."""
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    thread = threading.Thread(target=serve, args=(theirs, [listener], Settings(), Access(insecure_loopback=True)))
    thread.start()
    yield port, ours, thread
    ours.close()
    thread.join(5)
    assert not thread.is_alive()


def test_it_answers_and_ends_with_the_broker(front):
    port, broker, thread = front
    assert answers(port) == (200, "ok\n")
    broker.close()
    thread.join(5)
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


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
