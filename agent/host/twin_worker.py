"""The worker that is the twin: a namespace of its own, the node's rules in it, one packet of scapy's, and what came of it.

A process of its own because it leaves the host's network namespace for good, and because scapy is GPL and keeps route tables
of its own: no other module imports it. All that it makes is in the namespace and ends with the process, whoever ends it.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from agent.host import scapy_tables

scapy_tables.leave_out()
from scapy.config import conf  # noqa: E402  after what its import obeys

conf.verb = 0
conf.route_autoload = conf.route6_autoload = False  # it must not look at the host's routes, nor take the time
from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402  after the settings that its import obeys

from agent.host import job, twin_network  # noqa: E402
from agent.host.in_parts import Held  # noqa: E402
from agent.host.trials import Trial  # noqa: E402
from agent.host.twin_network import TwinError  # noqa: E402
from agent.host.twin_rules import Met, Rules  # noqa: E402
from agent.model.codec import from_plain  # noqa: E402
from agent.model.packet import PROTOCOLS  # noqa: E402
from agent.model.twin import TwinReply, TwinRequest, TwinResult, TwinVerdict  # noqa: E402

# An answer over a veth comes within the system call that sends the packet; this is for a busy machine.
_PATIENCE = 0.02
# Above net.ipv4.ip_local_port_range, where no socket of the node would be.
_SPORT = 61234
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_ETH_P_ALL = 0x0003  # include/uapi/linux/if_ether.h
_PACKET_OUTGOING = 4  # include/uapi/linux/if_packet.h
_SYN_RECV = "03"  # include/net/tcp_states.h
_UDP = PROTOCOLS["udp"]


def work(asked: dict[str, Any]) -> Trial:
    """One packet through one firewall: `{"request": TwinRequest, "held": Held}`."""
    started = time.monotonic()
    request, held = from_plain(TwinRequest, asked["request"]), from_plain(Held, asked["held"])
    sport = request.sport or _SPORT
    try:
        calls = twin_network.bridge_calls(request.source.version)
        twin_network.leave()
        rules = Rules(held, request)
        problems = twin_network.build(request, rules.wanted, calls)
    except TwinError as error:
        return Trial(TwinResult(problem=str(error), seconds=time.monotonic() - started))
    with _private_lock():
        rules.load()
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(_listener(request)) if request.listening else None
            reply, icmp = _send(request, sport, listener)
        met = rules.met()
    verdict = _judge(request, reply, met)
    not_modelled = tuple(dict.fromkeys((*problems, *rules.problems)))
    result = TwinResult(
        verdict=TwinVerdict.UNKNOWN if not_modelled else verdict,
        reply=reply,
        icmp=icmp,
        sport=sport,
        rules=met.rules,
        not_modelled=not_modelled,
        fresh=rules.fresh,
        seconds=time.monotonic() - started,
    )
    return Trial(result, certain=_has_ended(result) and rules.is_certain(met))


@contextlib.contextmanager
def _private_lock() -> Iterator[None]:
    """iptables-legacy's lock for this twin alone (xtables.lock is one for all namespaces): nobody on the node waits for us.

    A file without a name, so that none is left behind; iptables opens it by XTABLES_LOCKFILE (iptables/xshared.c).
    """
    lock = os.memfd_create("xtables.lock")
    os.environ["XTABLES_LOCKFILE"] = f"/proc/{os.getpid()}/fd/{lock}"
    try:
        yield
    finally:
        os.close(lock)


def _listener(request: TwinRequest) -> socket.socket:
    family = socket.AF_INET if request.source.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM if request.protocol == _UDP else socket.SOCK_STREAM)
    sock.bind(("", request.dport))
    sock.setblocking(False)
    if request.protocol != _UDP:
        sock.listen()
    return sock


def _send(request: TwinRequest, sport: int, listener: socket.socket | None) -> tuple[TwinReply, tuple[int, int] | None]:
    """Sends the packet down the wire and says what came back, ICMP with type and code."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((twin_network.OUTER, _ETH_P_ALL))
        wire.send(_frame(request, sport))
        deadline = time.monotonic() + _PATIENCE
        while (left := deadline - time.monotonic()) > 0 and select.select([wire], [], [], left)[0]:
            frame, address = wire.recvfrom(65535)
            if address[2] != _PACKET_OUTGOING and (reply := _understand(frame, request, sport)):
                return reply
    return (TwinReply.DELIVERED if listener and _delivered(request, sport, listener) else TwinReply.NONE), None


def _frame(request: TwinRequest, sport: int) -> bytes:
    source, destination = str(request.source), str(request.destination)
    if request.source.version == 4:
        header: Any = IP(src=source, dst=destination)
    else:
        from scapy.layers.inet6 import IPv6  # noqa: PLC0415  0.2 s that only IPv6 shall pay

        header = IPv6(src=source, dst=destination)
    if request.protocol == _UDP:
        payload: Any = UDP(sport=sport, dport=request.dport)
    else:
        payload = TCP(sport=sport, dport=request.dport, flags="S", seq=1, options=[("MSS", 1460)])
    macs = bytes.fromhex((twin_network.INNER_MAC + twin_network.STRANGER_MAC).replace(":", ""))
    return macs + _ETHERTYPES[request.source.version].to_bytes(2, "big") + bytes(header / payload)


def _understand(frame: bytes, request: TwinRequest, sport: int) -> tuple[TwinReply, tuple[int, int] | None] | None:
    """What this frame answers to our packet; None for anything else on the wire."""
    if int.from_bytes(frame[12:14], "big") != _ETHERTYPES[request.source.version]:
        return None
    packet = _dissect(frame[14:], request.source.version)
    if ip_address(packet.dst) != request.source:
        return None
    if TCP in packet and (packet[TCP].sport, packet[TCP].dport) == (request.dport, sport):
        flags = packet[TCP].flags
        return (TwinReply.RST, None) if "R" in flags else (TwinReply.SYN_ACK, None) if flags == "SA" else None
    error = _icmp_error(packet)
    return (TwinReply.ICMP, error) if error else None


def _dissect(data: bytes, version: int) -> Any:
    if version == 4:
        return IP(data)
    from scapy.layers.inet6 import IPv6  # noqa: PLC0415  loaded already by whoever built the frame

    return IPv6(data)


def _icmp_error(packet: Any) -> tuple[int, int] | None:
    """Type and code of a "destination unreachable": ICMP 3 (RFC 792) or ICMPv6 1 (RFC 4443)."""
    if ICMP in packet and packet[ICMP].type == 3:
        return 3, int(packet[ICMP].code)
    if packet.version == 6 and packet.nh == PROTOCOLS["ipv6-icmp"]:
        data = bytes(packet.payload)
        return (1, data[1]) if data[:1] == b"\x01" else None
    return None


def _delivered(request: TwinRequest, sport: int, listener: socket.socket) -> bool:
    """Whether the packet reached the socket though its answer did not come back: the rules for incoming packets let it pass."""
    if request.protocol == _UDP:
        return bool(select.select([listener], [], [], 0)[0])
    lines = (
        Path("/proc/thread-self/net/tcp" if request.source.version == 4 else "/proc/thread-self/net/tcp6")
        .read_text()
        .splitlines()
    )
    fields = (line.split() for line in lines[1:])
    return any(field[3] == _SYN_RECV and field[2].endswith(f":{sport:04X}") for field in fields)


def _judge(request: TwinRequest, reply: TwinReply, met: Met) -> TwinVerdict:
    """The verdict on the way in, by the answer first and by the counters where there is none."""
    if reply in (TwinReply.SYN_ACK, TwinReply.DELIVERED):
        return TwinVerdict.ACCEPT
    if reply is TwinReply.RST:
        return TwinVerdict.REJECT if any(met.rejects()) else TwinVerdict.ACCEPT
    if any(met.rejects()):
        return TwinVerdict.REJECT
    if reply is TwinReply.ICMP:  # of the kernel's own: nobody listens on a UDP port, or there is no way
        return TwinVerdict.ACCEPT if request.protocol == _UDP else TwinVerdict.UNKNOWN
    return TwinVerdict.DROP if any(met.drops()) else TwinVerdict.UNKNOWN


def _has_ended(result: TwinResult) -> bool:
    """Whether nothing more can be on its way: an answer that a busy machine or a limit on ICMP kept back may come next time."""
    answered = result.reply in (TwinReply.SYN_ACK, TwinReply.RST, TwinReply.ICMP)
    return (answered and result.verdict is not TwinVerdict.UNKNOWN) or result.verdict is TwinVerdict.DROP


if __name__ == "__main__":
    job.serve(work)
