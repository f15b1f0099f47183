"""One conversation between front and broker: length-prefixed JSON over a stream socket, file descriptors beside it.

Both ends treat the other as a stranger: sizes are capped, a frame is one JSON object, descriptors that nobody asked for are
closed. Nothing here knows which operations exist.
"""

import array
import json
import os
import select
import socket
import struct
from typing import Any

# poll(2)'s bit for "the other end closed" (poll.h); Python's name is missing on some builds.
HUNG_UP = getattr(select, "POLLRDHUP", 0x2000)
_HEADER = struct.Struct(">I")
# A request is a name and an address: anything near this size is not ours.
REQUEST_LIMIT = 64 * 1024
# Every live backend of a node with 100,000 rules is about 120 MB of text, escaped as JSON; beyond this something is wrong.
REPLY_LIMIT = 512 * 1024 * 1024
# Reading in steps keeps a false length from reserving the memory it claims.
_CHUNK = 1024 * 1024


class WireError(Exception):
    """What arrived is no frame: too large, not JSON, not an object, or cut in the middle."""


class PeerGone(WireError):  # noqa: N818  says what happened
    """The other end closed its socket between two frames, or is dead."""


def send(sock: socket.socket, message: dict[str, Any], fd: int | None = None) -> None:
    """Sends one frame, and with its first bytes the descriptor `fd` (SCM_RIGHTS, unix(7)).

    The caller keeps its own copy of `fd`. Raises `PeerGone`, and `TimeoutError` where the socket has a timeout.
    """
    body = json.dumps(message).encode("ascii")  # with 100,000 rules 20 MiB: no copy of it is made
    head = _HEADER.pack(len(body))
    rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    try:
        sent = sock.sendmsg([head, body], rights) - len(head)
        if sent < 0:  # not even all of the head
            sock.sendall(head[sent:])
        if sent < len(body):  # sending nothing fails where the other end, content, has closed already
            sock.sendall(memoryview(body)[max(0, sent) :])
    except TimeoutError:
        raise
    except OSError as error:
        raise PeerGone(f"the other end is gone: {error}") from error


def receive(sock: socket.socket, limit: int) -> tuple[dict[str, Any], int | None]:
    """The next frame and the descriptor that came with it, which the caller now owns.

    Raises `PeerGone` at the end of the conversation, `WireError` on anything that is no frame of at most `limit` bytes, and
    `TimeoutError` where the socket has a timeout.
    """
    head, fds = _receive_head(sock)
    try:
        message = _receive_body(sock, head, limit)
    except BaseException:
        _close(fds)
        raise
    return message, fds[0] if fds else None


def _receive_head(sock: socket.socket) -> tuple[bytes, list[int]]:
    item = array.array("i").itemsize
    try:
        head, ancillary, flags, _ = sock.recvmsg(_HEADER.size, socket.CMSG_SPACE(item), socket.MSG_CMSG_CLOEXEC)
    except TimeoutError:
        raise
    except OSError as error:
        raise PeerGone(f"the other end is gone: {error}") from error
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % item])
    if not head:
        _close(list(fds))
        raise PeerGone("the other end closed the conversation")
    if flags & socket.MSG_CTRUNC or len(fds) > 1:  # alignment leaves room for a second one
        _close(list(fds))
        raise WireError("more descriptors came than a frame may carry")
    return head, list(fds)


def _receive_body(sock: socket.socket, head: bytes, limit: int) -> dict[str, Any]:
    (size,) = _HEADER.unpack(head + _exactly(sock, _HEADER.size - len(head)))
    if size > limit:
        raise WireError(f"a frame of {size} bytes is over the limit of {limit}")
    try:
        message = json.loads(_exactly(sock, size).decode())
    except (ValueError, RecursionError) as error:
        raise WireError(f"a frame is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise WireError("a frame is not a JSON object")
    return message


def _exactly(sock: socket.socket, size: int) -> bytearray:
    data = bytearray()
    while len(data) < size:
        try:
            part = sock.recv(min(_CHUNK, size - len(data)))
        except TimeoutError:
            raise
        except OSError as error:
            raise PeerGone(f"the other end is gone: {error}") from error
        if not part:
            raise WireError("the conversation ended in the middle of a frame")
        data += part
    return data


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
