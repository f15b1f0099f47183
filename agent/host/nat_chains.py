"""Which nat chains a network namespace has on the way out of its processes: whoever has them may be sent elsewhere.

Asked of every pod, so it is one netlink dump of chains, not a ruleset: names, hooks and how many rules. Layouts are those of
include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_NETLINK_NETFILTER = 12
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_GENERIC = struct.Struct("=BBH")  # nfgenmsg: family, version, resource
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("!I")
_GET_CHAINS = 10 << 8 | 4  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN
_ERROR, _DONE = 2, 3
_REQUEST_DUMP = 0x301
_TABLE, _NAME, _HOOK, _USE, _TYPE = 1, 3, 4, 6, 7
_HOOK_NUMBER = 1
_OUTPUT = 3  # NF_INET_LOCAL_OUT
_FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_LEGACY = {"ip": "ip_tables_names", "ip6": "ip6_tables_names"}
# No nf_tables in this kernel.
_NONE_HERE = (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL)
_PATIENCE = 1.0
_BUFFER = 64 * 1024


def redirecting() -> tuple[str, ...]:
    """`ip nat OUTPUT` for each nat chain with rules at the output hook of the calling thread's namespace, and the names of the
    chains beside it; `legacy ip nat` where iptables-legacy has such a table. Empty for nearly every pod. Raises `OSError`.
    """
    chains = list(_chains())
    tables = {(family, table) for family, table, _, output in chains if output}
    found = [f"{family} {table} {name}" for family, table, name, _ in chains if (family, table) in tables]
    net = Path("/proc/thread-self/net")
    for family, file in _LEGACY.items():
        path = net / file
        if path.exists() and "nat" in path.read_text().split():
            found.append(f"legacy {family} nat")
    return tuple(found)


def _chains() -> Iterator[tuple[str, str, str, bool]]:
    """Family, table, name of each chain, and whether it is a nat chain with rules at the output hook."""
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    except OSError as error:
        if error.errno in _NONE_HERE:
            return
        raise
    with sock:
        sock.settimeout(_PATIENCE)
        size = _HEADER.size + _GENERIC.size
        sock.send(_HEADER.pack(size, _GET_CHAINS, _REQUEST_DUMP, 1, 0) + _GENERIC.pack(0, 0, 0))
        while True:
            data = sock.recv(_BUFFER)
            while len(data) >= _HEADER.size:
                length, kind, _, _, _ = _HEADER.unpack_from(data)
                if not _HEADER.size <= length <= len(data):
                    raise OSError("a netlink message has a false length")
                payload, data = data[_HEADER.size : length], data[(length + 3) & ~3 :]
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    (code,) = struct.unpack_from("=i", payload)
                    if -code in _NONE_HERE:
                        return
                    raise OSError(-code, os.strerror(-code))
                yield _chain(payload)


def _chain(payload: bytes) -> tuple[str, str, str, bool]:
    attributes = _attributes(payload[_GENERIC.size :])
    hook = _attributes(attributes.get(_HOOK, b""))
    nat = attributes.get(_TYPE, b"").rstrip(b"\0") == b"nat"
    output = _value(hook.get(_HOOK_NUMBER)) == _OUTPUT
    used = bool(_value(attributes.get(_USE)))
    names = [attributes.get(key, b"").rstrip(b"\0").decode("utf-8", "surrogateescape") for key in (_TABLE, _NAME)]
    return _FAMILIES.get(payload[0], str(payload[0])), names[0], names[1], nat and output and used


def _value(raw: bytes | None) -> int | None:
    return _NUMBER.unpack(raw)[0] if raw is not None and len(raw) == _NUMBER.size else None


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            break
        found[kind & _TYPE_MASK] = data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return found
