import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agent.host import wire
from agent.host.broker import Broker as Server
from agent.host.client import Broker, BrokerGone, HostError, NamespaceGone, _exchange
from agent.model.capture import Node
from agent.model.settings import Settings


@pytest.fixture
def connected() -> Iterator[Broker]:
    """A client and a real broker in one process."""
    ours, theirs = socket.socketpair()
    server = Server(Settings(cni_dirs=(), netns_dirs=()))
    server.converse(theirs)
    with Broker(ours) as broker:
        yield broker
    server.close()


def test_values_cross(connected: Broker) -> None:
    assert isinstance(connected.node(), Node)
    assert connected.pod_route("127.0.0.1").interface == "lo"
    with connected.socket(0, 6) as sock:
        assert (sock.family, sock.type) == (socket.AF_INET6, socket.SOCK_STREAM)
    with pytest.raises(NamespaceGone):
        connected.socket(1, 4)
    with pytest.raises(ValueError, match="not-an-address"):
        connected.pod_route("not-an-address")


def test_callers_in_parallel_have_conversations_of_their_own(connected: Broker) -> None:
    errors: list[BaseException] = []

    def call() -> None:
        try:
            for _ in range(20):
                assert connected.pod_route("127.0.0.1").pod == "127.0.0.1"
                connected.socket(0, 4).close()
        except BaseException as error:  # noqa: BLE001  shown below
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(connected._idle) <= 8


def test_a_closed_client_says_so(connected: Broker) -> None:
    connected.close()
    connected.close()
    with pytest.raises(BrokerGone):
        connected.node()


def scripted(*replies: tuple[dict[str, Any], int | None] | None) -> Broker:
    """A client of a broker that answers the requests on its first channel with `replies`; None hangs up."""
    ours, theirs = socket.socketpair()
    inner, channel = socket.socketpair()

    def serve() -> None:
        with theirs, inner:
            wire.receive(theirs, 1000)
            with channel:
                wire.send(theirs, {"value": None}, channel.fileno())
            for reply in replies:
                wire.receive(inner, 1000)
                if reply is not None:
                    wire.send(inner, *reply)

    threading.Thread(target=serve).start()
    return Broker(ours)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (None, BrokerGone),
        (({"error": "failed", "message": "a sentence"}, None), HostError),
        (({"error": "namespace-gone", "message": "a sentence"}, None), NamespaceGone),
        (({"value": {"hostname": 7}}, None), HostError),
        (({"value": None}, 0), HostError),
        (({}, None), HostError),
    ],
)
def test_each_bad_answer_is_its_own_error(reply: tuple[dict[str, Any], int | None] | None, error: type[Exception]) -> None:
    with scripted(reply) as broker, pytest.raises(error) as caught:
        broker.node()
    assert caught.type is error
    assert str(caught.value)


def test_a_socket_that_does_not_come_is_an_error() -> None:
    with scripted(({"value": None}, None)) as broker, pytest.raises(HostError, match="without the socket"):
        broker.socket(0, 4)


def test_a_broker_that_dies_is_noticed_at_once() -> None:
    ours, theirs = socket.socketpair()
    with Broker(ours) as broker:
        theirs.close()
        with pytest.raises(BrokerGone):
            broker.node()


def test_another_broker_takes_the_place_of_one_that_died() -> None:
    server = Server(Settings(cni_dirs=(), netns_dirs=()))
    with Broker() as broker:
        assert (broker.lives(), broker.incarnation()) == (False, 0)
        with pytest.raises(BrokerGone, match="not there yet"):
            broker.node()
        for number in (1, 2, 3):
            ours, theirs = socket.socketpair()
            inner = theirs.dup()
            server.converse(theirs)
            broker.renew(ours)
            assert (broker.lives(), broker.incarnation()) == (True, number)
            assert isinstance(broker.node(), Node)
            (idle,) = broker._idle  # none is left of the last one's
            inner.shutdown(socket.SHUT_RDWR)
            idle.shutdown(socket.SHUT_RDWR)
            inner.close()
            assert not broker.lives()
            with pytest.raises(BrokerGone):
                broker.node()
    server.close()


def test_a_conversation_with_an_earlier_broker_is_not_kept() -> None:
    ours, theirs = socket.socketpair()
    with scripted(None) as broker, theirs:
        channel, number = broker._take()
        broker.renew(ours)
        with pytest.raises(BrokerGone):  # and the one who still speaks on it hears that it is over
            _exchange(channel, "node", {})
        broker._give_back(channel, number)
        assert broker._idle == []


def test_a_closed_client_takes_no_other_broker() -> None:
    broker = Broker()
    broker.close()
    ours, theirs = socket.socketpair()
    broker.renew(ours)
    with theirs:
        assert theirs.recv(1) == b""
    assert not broker.lives()


def test_a_broker_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(HostError, match="could not be started"):
        Broker.start(Settings())
