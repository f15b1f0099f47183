"""Two BPF programs of a few instructions, loaded by bpf(2) itself: what systemd's IPAddressDeny= and an eBPF dataplane do.

They need the machine's own root. A program lives as long as the cgroup or interface that it hangs on.
"""

import ctypes
import os
import platform
import socket
import struct
import sys
from pathlib import Path

from agent.lab.errors import LabError

_CALL = {"x86_64": 321, "aarch64": 280}
_LOAD, _ATTACH = 5, 8
_SCHED_CLS, _CGROUP_SKB = 3, 8
_CGROUP_INGRESS, _TCX_INGRESS = 0, 46
_PODS, _NODE = 0x0004F40A, 0xAC1F107C  # 10.244.4.0/24 as it lies in memory; 172.31.16.124
_libc = ctypes.CDLL(None, use_errno=True)


def _step(code: int, registers: int = 0, skip: int = 0, value: int = 0) -> bytes:
    """One instruction (struct bpf_insn)."""
    return struct.pack("=BBhI", code, registers, skip, value)


# Direct access to the packet, which a cgroup's program sees from the IP header on; the machines of `_CALL` are little-endian.
_DENY_PODS = b"".join(
    (
        _step(0xB7, value=1),  # r0 = 1: pass
        _step(0x61, 0x12, skip=76),  # r2 = data (struct __sk_buff)
        _step(0x61, 0x13, skip=80),  # r3 = data_end
        _step(0xBF, 0x24),
        _step(0x07, 0x04, value=20),  # r4 = r2 + an IP header
        _step(0x2D, 0x34, skip=4),  # shorter than that: return
        _step(0x61, 0x25, skip=12),  # r5 = the source
        _step(0x54, 0x05, value=0x00FFFFFF),  # its first 24 bits
        _step(0x56, 0x05, skip=1, value=_PODS),  # not the pods': return
        _step(0xB7, value=0),  # r0 = 0: drop
        _step(0x95),
    )
)
# A classic load from the Ethernet header on, which wants the packet's context in r6 and turns the byte order itself.
_DROP_TO_NODE = b"".join(
    (
        _step(0xBF, 0x16),
        _step(0x20, value=14 + 16),  # r0 = the destination, from the Ethernet header on
        _step(0x16, skip=2, value=_NODE),
        _step(0xB7, value=0),
        _step(0x95),  # return 0: TC_ACT_OK
        _step(0xB7, value=2),
        _step(0x95),  # return 2: TC_ACT_SHOT
    )
)


def deny_pods(cgroup: Path) -> None:
    """What IPAddressDeny= of the pod network comes to, under systemd's name for it. Raises `LabError`."""
    handle = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _hang(_CGROUP_SKB, _DENY_PODS, "sd_fw_ingress", handle, _CGROUP_INGRESS)
    finally:
        os.close(handle)


def drop_to_node(interface: int) -> None:
    """A tcx program that drops what comes in by an interface (its index) for the node. Raises `LabError`."""
    _hang(_SCHED_CLS, _DROP_TO_NODE, "from_container", interface, _TCX_INGRESS)


def _hang(kind: int, program: bytes, name: str, target: int, where: int) -> None:
    code, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"MIT")
    steps, addresses = len(program) // 8, (ctypes.addressof(code), ctypes.addressof(licence))
    load = struct.pack("=IIQQIIQII16sII", kind, steps, *addresses, 0, 0, 0, 0, 0, name.encode(), 0, where)
    handle = _bpf(_LOAD, load, f"the BPF program {name} could not be loaded")
    try:
        _bpf(_ATTACH, struct.pack("=IIII", target, handle, where, 0), f"the BPF program {name} could not be attached")
    finally:
        os.close(handle)


def _bpf(command: int, attributes: bytes, otherwise: str) -> int:
    number = _CALL.get(platform.machine())
    if number is None:
        raise LabError(f"{otherwise}: the number of bpf(2) on {platform.machine()} is not known")
    data = ctypes.create_string_buffer(attributes.ljust(120, b"\0"), 120)
    result: int = _libc.syscall(number, command, data, 120)
    if result < 0:
        raise LabError(f"{otherwise}: {os.strerror(ctypes.get_errno())}")
    return result


if __name__ == "__main__":
    drop_to_node(socket.if_nametoindex(sys.argv[1]))
