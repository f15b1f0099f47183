"""How broker and front come to talk: each is handed its end of a fresh socket pair over the link that its supervisor holds.

A link is a pair of packet sockets (unix(7)) that carries descriptors one way; its end says that the supervisor is gone.
"""

import array
import socket

_MARK = b"!"


def make() -> tuple[socket.socket, socket.socket]:
    """The supervisor's end and the child's. What the child writes is refused by the kernel: the supervisor reads nothing."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.shutdown(socket.SHUT_RD)
    return ours, theirs


def give(link: socket.socket, conversation: socket.socket) -> None:
    """Hands a conversation to the child. Raises `OSError` at once where the child is gone, or so stuck that it takes none."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [conversation.fileno()]))
    link.sendmsg([_MARK], [rights], socket.MSG_DONTWAIT)


def take(link: socket.socket) -> socket.socket | None:
    """The next conversation, once there is one; None when the supervisor is gone.

    Raises `OSError` where this process has no descriptor left for it: without one it is of no use, and better started again.
    """
    descriptors = array.array("i")
    # Not socket.recv_fds, which ignores its flags, as send_fds does (Python 3.11).
    mark, ancillary, _, _ = link.recvmsg(len(_MARK), socket.CMSG_LEN(descriptors.itemsize), socket.MSG_CMSG_CLOEXEC)
    if not mark:
        return None
    for _, _, data in ancillary:
        descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if not descriptors:
        raise OSError("the conversation that came could not be taken: no descriptor is left")
    return socket.socket(fileno=descriptors[0])
