"""Which BPF programs hang on a cgroup or an interface: bpf(2) by its number, queries only, nothing is loaded or attached.

Layout of `union bpf_attr`: include/uapi/linux/bpf.h. The kernel wants CAP_NET_ADMIN of the machine itself (not of a user
namespace) for a query, and CAP_SYS_ADMIN for a program's name.
"""

import ctypes
import os
import platform
import struct

_CALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_QUERY, _GET_FD_BY_ID, _INFO_BY_FD = 16, 13, 15
INGRESS, EGRESS = 0, 1  # BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS
TCX_INGRESS, TCX_EGRESS = 46, 47
_MOST = 64  # BPF_CGROUP_MAX_PROGS
_NAME_AT, _NAME_BYTES = 64, 16  # struct bpf_prog_info: `name` follows map_ids
_libc = ctypes.CDLL(None, use_errno=True)


def query(target: int, kind: int) -> tuple[int, ...]:
    """The ids of the programs attached to a cgroup (its descriptor) or interface (its index) itself. Raises `OSError`."""
    ids = (ctypes.c_uint32 * _MOST)()
    attributes = ctypes.create_string_buffer(struct.pack("=IIIIQII", target, kind, 0, 0, ctypes.addressof(ids), _MOST, 0), 72)
    _bpf(_QUERY, attributes)
    (count,) = struct.unpack_from("=I", attributes.raw, 24)
    return tuple(ids[:count])


def name(number: int) -> str:
    """A program's name, at most 15 letters; empty where it has none. Raises `OSError`."""
    handle = _bpf(_GET_FD_BY_ID, ctypes.create_string_buffer(struct.pack("=III", number, 0, 0), 72))
    try:
        info = ctypes.create_string_buffer(_NAME_AT + _NAME_BYTES)
        _bpf(_INFO_BY_FD, ctypes.create_string_buffer(struct.pack("=IIQ", handle, len(info), ctypes.addressof(info)), 72))
        return info.raw[_NAME_AT:].split(b"\0", 1)[0].decode("ascii", "replace")
    finally:
        os.close(handle)


def _bpf(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    number = _CALL.get(platform.machine())
    if number is None:
        raise OSError(f"the number of bpf(2) on {platform.machine()} is not known")
    result: int = _libc.syscall(number, command, attributes, len(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
