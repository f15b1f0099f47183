"""A node and a pod in throwaway namespaces, driven over stdin: loads a firewall, makes one connect, tells what came of it.

Runs as a script inside `unshare --net --mount --pid`, so that all of it ends with its process; imports nothing of the project:
it is the side of the test that must not share code with the model.

One JSON object per line in: {"load": [[argv, stdin], ...], "read": {name: argv}, "from": "pod" | "node", "to": address,
"port": n, "sport": n, "patience": seconds from the SYN's arrival to its answer's}.
One out: {"problem": str, "before": {name: text}, "after": {name: text}, "errno": name or "", "icmp": [type, code] or null}.
"""

import ctypes
import errno
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

POD, NODE, BRIDGE = "10.244.4.138", "172.31.16.124", "10.244.4.1"
POD6, NODE6 = "fd00:10:244:4::8a", "fd00:172:31:16::7c"
POD_MAC = 0x020000000002
PORTS = (10250, 8080)
# Nobody asks whether a SYN arrived for longer than it takes to be sent again.
ARRIVAL = 0.9
_SLICE = 0.005

_CLONE_NEWNET = 0x40000000
_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}  # linux/in.h, in6.h
_ICMP_ORIGINS = (2, 3)  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6: linux/errqueue.h
# Neighbours are written down: a case that drops everything would drop their discovery too, and spoil the next.
_LINKS = f"""
link set lo up
link add cni0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns /run/pod
addr add {BRIDGE}/24 dev cni0
addr add fd00:10:244:4::1/64 dev cni0 nodad
addr add {NODE}/32 dev lo
addr add {NODE6}/128 dev lo nodad
link set cni0 up
neigh replace {POD} lladdr 02:00:00:00:00:02 dev cni0
neigh replace {POD6} lladdr 02:00:00:00:00:02 dev cni0
"""
_POD_LINKS = f"""
addr add {POD}/24 dev eth0
addr add {POD6}/64 dev eth0 nodad
link set eth0 up
neigh replace {BRIDGE} lladdr 02:00:00:00:00:01 dev eth0
neigh replace fd00:10:244:4::1 lladdr 02:00:00:00:00:01 dev eth0
route add default via {BRIDGE}
route add ::/0 via fd00:10:244:4::1
"""
_SETTINGS = {
    # Errors are what is measured: none may be held back.
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratelimit": "0",
    # An answer that a case dropped must not be sent again into the next one.
    "net/ipv4/tcp_synack_retries": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/cni0/rp_filter": "0",
}

_CHAINS = {
    "raw": "PREROUTING OUTPUT",
    "mangle": "PREROUTING INPUT FORWARD OUTPUT POSTROUTING",
    "nat": "PREROUTING INPUT OUTPUT POSTROUTING",
    "filter": "INPUT FORWARD OUTPUT",
    "security": "INPUT FORWARD OUTPUT",
}
_CLEAN = {table: "\n".join(f":{chain} ACCEPT [0:0]" for chain in chains.split()) for table, chains in _CHAINS.items()}


def run(*argv, text=""):
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def must(*argv, text=""):
    code, out, error = run(*argv, text=text)
    if code:
        raise SystemExit(f"{' '.join(argv)}: {error or out}")
    return out


def arrived():
    """How many IP packets this namespace has received so far, those that were dropped since included."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:")]
    six = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return int(dict(zip(*lines, strict=True))["InReceives"]) + int(six["Ip6InReceives"])


def read(wanted):
    return {name: must(*argv) for name, argv in wanted.items()}


class Node:
    def __init__(self):
        must("mount", "-t", "tmpfs", "tmpfs", "/run")
        Path("/run/pod").touch()
        must("unshare", "--net=/run/pod", "true")
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.namespaces = {"node": os.open("/proc/self/ns/net", os.O_RDONLY), "pod": os.open("/run/pod", os.O_RDONLY)}
        must("ip", "-batch", "-", text=_LINKS)
        must("nsenter", "--net=/run/pod", "ip", "-batch", "-", text=_POD_LINKS)
        for name, value in _SETTINGS.items():
            Path("/proc/sys", name).write_text(value)
        self.listeners = [self.listen(port) for port in PORTS]

    @staticmethod
    def listen(port):
        listener = socket.socket(socket.AF_INET6)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", port))
        listener.listen(64)
        listener.setblocking(False)
        return listener

    def enter(self, name):
        if self.libc.setns(self.namespaces[name], _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {name}")

    @staticmethod
    def clear():
        must("nft", "flush", "ruleset")
        for tool, listed in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
            names = Path("/proc/net", listed)
            tables = names.read_text().split() if names.exists() else []
            if tables:
                # Without its policies a table would keep those it had.
                must(f"{tool}-legacy-restore", text="".join(f"*{table}\n{_CLEAN[table]}\nCOMMIT\n" for table in tables))

    def answer(self, request):
        for argv, text in request["load"]:
            code, out, error = run(*argv, text=text)
            if code:
                self.clear()
                return {"problem": f"{' '.join(argv)}: {error or out}\n{text}"}
        before = read(request["read"])
        with self.client(request) as client:
            name = self.connect(client, (request["to"], request["port"]), request["patience"])
            icmp = self.icmp(client)
            after = read(request["read"])
            # With nothing in its way the reset of the close ends what the handshake began: no packet is left for the next case.
            self.clear()
        self.drain()
        return {"problem": "", "before": before, "after": after, "errno": name, "icmp": icmp}

    def client(self, request):
        family = socket.AF_INET6 if ":" in request["to"] else socket.AF_INET
        self.enter(request["from"])
        client = socket.socket(family)
        self.enter("node")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.setsockopt(*_RECVERR[family], 1)
        client.setblocking(False)
        client.bind(("", request["sport"]))
        return client

    @staticmethod
    def connect(client, to, patience):
        received = arrived()
        code = client.connect_ex(to)
        if code != errno.EINPROGRESS:
            return errno.errorcode[code] if code else ""
        deadline, waited = time.monotonic() + ARRIVAL, False
        while not select.select([], [client], [], _SLICE)[1]:
            if not waited and arrived() > received:
                deadline, waited = time.monotonic() + patience, True
            if time.monotonic() > deadline:
                return "ETIMEDOUT"
        code = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return errno.errorcode[code] if code else ""

    @staticmethod
    def icmp(client):
        try:
            _, ancillary, _, _ = client.recvmsg(64, 512, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            return None
        for _, _, data in ancillary:
            _, origin, kind, code = struct.unpack_from("=IBBB", data)  # struct sock_extended_err: linux/errqueue.h
            if origin in _ICMP_ORIGINS:
                return [kind, code]
        return None

    def drain(self):
        for listener in self.listeners:
            while True:
                try:
                    listener.accept()[0].close()
                except BlockingIOError:
                    break


def main():
    node = Node()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(node.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
