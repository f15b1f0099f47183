"""A node whose neighbours are the test: loads a firewall, lets packets in one by one, tells what became of each.

Runs inside `unshare --net --mount --pid`, so that all of it ends with its process. It is the side of the test that must not
share code with the model; packets come as bytes and go as bytes.

Nothing here waits for a silence to be long enough. All of it is pinned to one processor, where a packet and every answer to it
pass through one queue in order: a frame of our own that is put into that queue behind them says when they are done.

One JSON object per line in: {"load": [[argv, stdin], ...], "read": {name: argv}, "legacy": bool, "nft": bool,
"interfaces": [name, ...], "packets": [[interface or "lo", hex], ...]}. One out: {"problem": str, "texts": {name: text},
"places": [place, ...], "fates": [[arrived as hex or null, [answer as hex, ...], {index: packets}], ...]}.
A fate's indices are those of the places that counted the packet; it is null where the node itself could not send.
"""

import ctypes
import json
import os
import socket
import struct
import sys
from pathlib import Path

from tests.differential.counters import LegacyTable, NetlinkRules, forget_connections, open_netlink
from tests.lab.kernel_node import Node, must, read, run

NODE, NODE6 = "172.31.16.124", "fd00:172:31:16::7c"
BRIDGE, BRIDGE6 = "10.244.4.1", "fd00:10:244:4::1"
INTERFACES = {
    "cni0": (f"{BRIDGE}/24", f"{BRIDGE6}/64"),
    "eth0": (f"{NODE}/20", f"{NODE6}/64"),
    "eth01": ("10.99.0.1/24", "fd00:99::1/64"),
}
OPEN_PORTS = (10250, 8080)
# Every protocol that a test packet may have; the last is for experiments (RFC 3692).
PROTOCOLS = {4: (1, 6, 17, 50, 253), 6: (58, 6, 17, 50, 253)}
_ALL = 3  # ETH_P_ALL: linux/if_ether.h
_SENTINEL = 0x88B5  # an EtherType for local experiments: IEEE 802
_ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_LOOP_ROUNDS = 4  # a SYN, its answer and the answer's answer all come by lo
_SOL_PACKET, _IGNORE_OUTGOING = 263, 23  # linux/if_packet.h
_HDRINCL = 36  # IPV6_HDRINCL: linux/in6.h
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

_LINK = """
link add {name} address {mac} type veth peer name {peer} netns /run/world
link set {name} arp off
link set {name} addrgenmode none
addr add {four} dev {name}
addr add {six} dev {name} nodad
link set {name} up
"""
_SETTINGS = {
    # Errors are what is measured: none may be held back.
    "net/ipv4/icmp_ratemask": "0",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratemask": "127",
    "net/ipv6/icmp/ratelimit": "0",
    # No answer to one packet may be sent again in the middle of the next.
    "net/ipv4/tcp_synack_retries": "0",
    "net/ipv4/tcp_max_syn_backlog": "65536",
    # Packets come from wherever the test says, whatever the routes say.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/default/accept_ra": "0",
}


class Judge:
    """The node between its neighbours, who have no addresses and answer nothing by themselves."""

    def __init__(self):
        must("mount", "-t", "tmpfs", "tmpfs", "/run")
        Path("/run/world").touch()
        must("unshare", "--net=/run/world", "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
        for name, value in _SETTINGS.items():
            Path("/proc/sys", name).write_text(value)
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[int.from_bytes(os.urandom(1)) % len(processors)]})
        must("ip", "link", "set", "lo", "up")
        self.netlink = open_netlink()
        self.frames = {}
        self.world = self.open_world()
        for name, (four, six) in INTERFACES.items():
            self.add_interface(name, four, six)
        must("ip", "route", "add", "default", "dev", "eth0")
        must("ip", "-6", "route", "add", "default", "dev", "eth0")
        self.loop, self.sentinels = tap(_ALL, "lo"), tap(_SENTINEL, "lo")
        self.sentinels.settimeout(10)
        self.senders = {4: raw(4, socket.IPPROTO_RAW), 6: raw(6, socket.IPPROTO_RAW)}
        self.senders[6].setsockopt(socket.IPPROTO_IPV6, _HDRINCL, 1)
        self.arrivals = {(version, number): raw(version, number) for version in PROTOCOLS for number in PROTOCOLS[version]}
        self.open = [listen(kind, port) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) for port in OPEN_PORTS]

    def open_world(self):
        home, world = os.open("/proc/self/ns/net", os.O_RDONLY), os.open("/run/world", os.O_RDONLY)
        enter(world)
        found = tap(_ALL)
        enter(home)
        return found

    def add_interface(self, name, four, six):
        number = len(self.frames) + 1
        mac = bytes((2, 0, 0, 0, 0, number))
        must("ip", "-batch", "-", text=_LINK.format(name=name, peer=f"w{number}", mac=mac.hex(":"), four=four, six=six))
        must("nsenter", "--net=/run/world", "ip", "link", "set", f"w{number}", "up")
        self.frames[name] = (f"w{number}", mac + bytes((2, 0, 0, 0, 1, number)))

    def answer(self, request):
        for name in request["interfaces"]:
            if name not in self.frames:
                number = len(self.frames) + 1
                self.add_interface(name, f"10.100.{number}.1/24", f"fd00:100:{number}::1/64")
        for argv, text in request["load"]:
            code, out, error = run(*argv, text=text)
            if code:
                Node.clear()
                return {"problem": f"{' '.join(argv)}: {error or out}\n{text}"}
        texts = read(request["read"])
        watched = legacy_tables() if request["legacy"] else []
        watched += [NetlinkRules()] if request["nft"] else []
        forget_connections(self.netlink)
        self.drain()
        fates, before = [], count(watched)
        for way, text in request["packets"]:
            seen = self.send(way, bytes.fromhex(text))
            after = count(watched)
            rose = {index: new - old for index, (old, new) in enumerate(zip(before, after, strict=True)) if new != old}
            fates.append(seen and [*seen, rose])
            before = after
        for each in watched:
            each.close()
        Node.clear()
        return {"problem": "", "texts": texts, "places": [place for each in watched for place in each.places], "fates": fates}

    def send(self, way, packet):
        """Lets one packet in; the payload that arrived behind all hooks, and what came back on any way.

        None when it is one of this node's own and the rules on its way out stopped it.
        """
        version = packet[0] >> 4
        protocol = packet[9] if version == 4 else packet[6]
        pending(self.arrivals[version, protocol])  # what an earlier packet's answers left there
        if way == "lo":
            target = (
                socket.inet_ntop(socket.AF_INET, packet[16:20])
                if version == 4
                else socket.inet_ntop(socket.AF_INET6, packet[24:40])
            )
            try:
                self.senders[version].sendto(packet, (target, 0))
            except PermissionError:
                return None  # dropped on its way out
        else:
            peer, ends = self.frames[way]
            self.world.sendto(ends + _ETHERTYPES[version] + packet, (peer, 0))
        for _ in range(_LOOP_ROUNDS if way == "lo" else 1):
            self.sentinels.send(bytes(12) + struct.pack(">H", _SENTINEL))
            self.sentinels.recv(64)
        start = 20 if version == 4 else 40
        wanted = packet[start : start + 1] if protocol in (1, 58) else packet[start + 13 : start + 14] if protocol == 6 else b""
        where = 0 if protocol in (1, 58) else 13
        # By lo the answers arrive as well: they are of another type, or have other flags.
        found = [each[(each[0] & 15) * 4 :] if version == 4 else each for each in pending(self.arrivals[version, protocol])]
        arrived = next((each.hex() for each in found if each[where : where + len(wanted)] == wanted), None)
        seen = pending(self.loop if way == "lo" else self.world)
        answers = [each[14:].hex() for each in seen if each[12:14] in _ETHERTYPES.values() and each[14:] != packet]
        return arrived, answers

    def drain(self):
        for each in (*self.arrivals.values(), self.world, self.loop, *self.open[2:]):
            pending(each)


def legacy_tables():
    """All there are: once made, an empty one stays, and is read as well."""
    lists = (("ip", Path("/proc/net/ip_tables_names")), ("ip6", Path("/proc/net/ip6_tables_names")))
    return [LegacyTable(family, name) for family, names in lists if names.exists() for name in names.read_text().split()]


def count(watched):
    return [number for each in watched for number in each.numbers()]


def enter(namespace):
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def tap(kind, interface=""):
    """A socket for whole frames, of one interface or of all, that does not see what goes out."""
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    if interface:
        found.bind((interface, kind))
    found.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    return found


def raw(version, protocol):
    return socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_RAW, protocol)


def listen(kind, port):
    found = socket.socket(socket.AF_INET6, kind)
    found.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        found.listen(4096)
    return found


def pending(source):
    """What waits on a socket."""
    found = []
    while True:
        try:
            found.append(source.recv(2048, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return found


def main():
    judge = Judge()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(judge.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
