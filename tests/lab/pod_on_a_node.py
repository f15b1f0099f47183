"""A pod behind a veth pair, and a broker beside it: what the tests of the host room stand on."""

import ctypes
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from agent.host import client, probe
from agent.model.probe import ProbeRequest, ProbeResult, Vantage
from agent.model.settings import Settings
from tests.lab.program import sh

NODE, POD = "10.244.4.1", "10.244.4.138"

NODE6, POD6 = "fd00:244::1", "fd00:244::138"

PORT = 10250

SETTINGS = Settings(connect_timeout=0.4, request_timeout=1.0, cni_dirs=(), netns_dirs=("/run/netns",))


def wire_up() -> None:
    """A pod in a namespace of its own behind a veth pair; this namespace is the node."""
    sh(
        *("ip link set lo up", "ip netns add pod", "ip link add veth0 type veth peer name eth0 netns pod"),
        *(f"ip addr add {NODE}/24 dev veth0", f"ip addr add {NODE6}/64 dev veth0 nodad", "ip link set veth0 up"),
        *(f"ip -n pod addr add {POD}/24 dev eth0", f"ip -n pod addr add {POD6}/64 dev eth0 nodad"),
        *("ip -n pod link set lo up", "ip -n pod link set eth0 up"),
        *(f"ip -n pod route add default via {NODE}",),
    )


def pod_inode() -> int:
    return Path("/run/netns/pod").stat().st_ino


def request(target: str = NODE, source: str = POD, port: int = PORT) -> ProbeRequest:
    return ProbeRequest(vantage=Vantage.POD, namespace=pod_inode(), source=source, target=target, port=port)


def try_it(broker: client.Broker, wanted: ProbeRequest) -> ProbeResult:
    sock = broker.socket(wanted.namespace, ip_address(wanted.target).version)
    return probe.probe(wanted, sock, SETTINGS)


@contextmanager
def listening(address: str = NODE) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, PORT), family=family, backlog=64) as server:
        yield server


def processes() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}


def entries(directory: str) -> int:
    return sum(1 for _ in Path(directory).iterdir())


def until(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def processes_named(module: str) -> set[int]:
    found = set()
    for pid in processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if module.encode() in words and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
            found.add(pid)
    return found


def adopt_orphans() -> None:
    """PR_SET_CHILD_SUBREAPER, prctl(2): what loses its parent becomes ours and can be waited for."""
    assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0


def reaped() -> bool:
    """Collects orphans; True when none is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False
