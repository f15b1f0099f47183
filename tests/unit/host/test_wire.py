import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host import wire


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_a_frame_arrives_as_it_was_sent_with_its_descriptor(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    read, write = os.pipe()
    wire.send(one, {"text": "\udcff é \x00", "list": [1, None]}, write)
    os.close(write)
    message, fd = wire.receive(other, 1000)
    assert message == {"text": "\udcff é \x00", "list": [1, None]}
    assert fd is not None
    assert not os.get_inheritable(fd)
    os.write(fd, b"through")
    assert os.read(read, 10) == b"through"
    os.close(fd)
    os.close(read)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x7f\xff\xff\xff", "over the limit"),
        (b"\x00\x00\x00\x02[]", "not a JSON object"),
        (b"\x00\x00\x00\x02{]", "not JSON"),
        (b"\x00\x00\x00\x01\xff", "not JSON"),
        (b"\x00\x00\x00\x63{}", "middle of a frame"),
        (b"\x00\x00", "middle of a frame"),
    ],
)
def test_what_is_no_frame_is_refused(pair: tuple[socket.socket, socket.socket], data: bytes, why: str) -> None:
    one, other = pair
    one.sendall(data)
    one.shutdown(socket.SHUT_WR)
    with pytest.raises(wire.WireError, match=why):
        wire.receive(other, 1000)


def test_deep_nesting_is_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    body = b'{"a":' + b"[" * 20000
    one.sendall(len(body).to_bytes(4, "big") + body)
    with pytest.raises(wire.WireError, match="not JSON"):
        wire.receive(other, wire.REQUEST_LIMIT)


def test_an_end_between_frames_is_its_own_error(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    one.close()
    with pytest.raises(wire.PeerGone):
        wire.receive(other, 1000)
    with pytest.raises(wire.PeerGone):
        wire.send(other, {"to": "nobody"})


def test_descriptors_are_closed_when_a_frame_is_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    before = set(Path("/proc/self/fd").iterdir())
    wire.send(one, {"large": "x" * 2000}, 0)
    with pytest.raises(wire.WireError):
        wire.receive(other, 1000)
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_two_descriptors_are_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    before = set(Path("/proc/self/fd").iterdir())
    socket.send_fds(one, [b"\x00\x00\x00\x02{}"], [0, 0])
    with pytest.raises(wire.WireError, match="descriptors"):
        wire.receive(other, 1000)
    assert set(Path("/proc/self/fd").iterdir()) == before
