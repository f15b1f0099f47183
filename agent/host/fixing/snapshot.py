"""Has the firewall changed since it was read? For legacy the table's own bytes, for nft the number of its generation.

Structures and numbers are those of include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h and
netfilter/nf_tables.h. Nothing here changes anything; both read a table that exists.
"""

import ctypes
import os
import socket
import struct
from dataclasses import dataclass

from agent.host.errors import HostError

_GET_INFO, _GET_ENTRIES = 64, 65
_NAME = 32
# Per version: socket family and level, and where `target_offset`, `next_offset` and `counters` stand in an entry.
_LAYOUT = {4: (socket.AF_INET, socket.IPPROTO_IP, 90, 96), 6: (socket.AF_INET6, socket.IPPROTO_IPV6, 142, 152)}
_COUNTERS = 16
_NETLINK_NETFILTER, _NFT_MSG_NEWGEN, _NFT_MSG_GETGEN, _NFTA_GEN_ID = 12, (10 << 8) | 15, (10 << 8) | 16, 1
# A table that grows or shrinks between the question for its size and that for its entries is not handed out (EAGAIN,
# ip_tables.c: get_entries). Who writes without a pause changes it some hundred times a second.
_ASKED_AGAIN = 50
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class LegacyTable:
    """A legacy table's bytes as the kernel hands them out, and which of them are not counters."""

    data: bytes
    spans: tuple[tuple[int, int], ...]

    def same(self, other: "LegacyTable") -> bool:
        """Whether both hold the same rules, whatever was counted. Milliseconds for 10,000 rules."""
        if len(self.data) != len(other.data):
            return False
        return all(self.data[start:end] == other.data[start:end] for start, end in self.spans)


def legacy(version: int, *, like: LegacyTable | None = None) -> LegacyTable:
    """The filter table as it is. `like` spares finding the counters again where the size is the same. Raises `HostError`."""
    family, level, at_next, at_counters = _LAYOUT[version]
    try:
        with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            data = _entries(sock, level)
    except OSError as error:
        raise HostError(f"the legacy filter table could not be read: {error.strerror or error}") from error
    if like is not None and len(like.data) == len(data):
        return LegacyTable(data, like.spans)
    spans, offset = [], 40
    while offset < len(data):
        (step,) = struct.unpack_from("=H", data, offset + at_next)
        if step < at_counters + _COUNTERS:
            raise HostError("the legacy filter table has an entry of no length")
        spans += [(offset, offset + at_counters), (offset + at_counters + _COUNTERS, offset + step)]
        offset += step
    return LegacyTable(data, tuple(spans))


def legacy_size(version: int, table: str) -> int:
    """How many bytes a table that exists has in the kernel: a rule has 150 to 500. Raises `OSError`."""
    family, level, _, _ = _LAYOUT[version]
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        (size,) = struct.unpack_from("=I", _getsockopt(sock, level, _GET_INFO, 84, table.encode("ascii")), 80)
    return int(size)


def generation() -> int:
    """The number of nft's present generation: every commit, whoever's and to whatever table, raises it. Raises `HostError`."""
    # struct nlmsghdr and nfgenmsg: length, type, NLM_F_REQUEST, sequence, port; family, version, resource.
    ask = struct.pack("=IHHII", 20, _NFT_MSG_GETGEN, 1, 1, 0) + struct.pack("!BBH", 0, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
            sock.settimeout(1.0)
            sock.bind((0, 0))
            sock.send(ask)
            answer = sock.recv(8192)
    except OSError as error:
        raise HostError(f"nft's generation could not be read: {error.strerror or error}") from error
    kind = struct.unpack_from("=H", answer, 4)[0]
    offset = 20
    while kind == _NFT_MSG_NEWGEN and offset + 8 <= len(answer):
        length, name = struct.unpack_from("=HH", answer, offset)
        if name == _NFTA_GEN_ID:
            return int(struct.unpack_from("!I", answer, offset + 4)[0])
        offset += max(4, (length + 3) & ~3)
    raise HostError("the kernel did not tell nft's generation")


def _entries(sock: socket.socket, level: int) -> bytes:
    asked = 0
    while True:
        info = _getsockopt(sock, level, _GET_INFO, 84, b"")
        (size,) = struct.unpack_from("=I", info, 80)
        try:
            return _getsockopt(sock, level, _GET_ENTRIES, 40 + size, struct.pack(f"{_NAME}sI", b"filter", size))
        except BlockingIOError:
            asked += 1
            if asked == _ASKED_AGAIN:
                raise


def _getsockopt(sock: socket.socket, level: int, option: int, size: int, start: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(start or b"filter", size)
    length = ctypes.c_uint32(size)
    if _libc.getsockopt(sock.fileno(), level, option, buffer, ctypes.byref(length)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw[: length.value]
