"""The node between a pod and another host: a bridge with the pod's port on one side, a wire to the other host on the other.

Runs as a script as `kernel_node` does and speaks its language; an answer also tells "seen": the address that the other host, or
the node, was connected from, null when it was not. Imports nothing of the project.
"""

import json
import os
import socket
import sys
from pathlib import Path

import kernel_node
from kernel_node import must

AWAY, WIRE, SECOND = "172.31.22.159", "172.31.16.2", "172.31.16.200"
PORT = "vethpod"
_BRIDGE = f"""
link set lo up
link add cni0 address 02:00:00:00:00:01 type bridge
link add {PORT} type veth peer name eth0 address 02:00:00:00:00:02 netns /run/pod
link set {PORT} master cni0 up
"""
_WIRE = f"""
link add eth1 address 02:00:00:00:01:01 type veth peer name eth0 address 02:00:00:00:01:02 netns /run/away
addr add {WIRE}/20 dev eth1
addr add {SECOND}/32 dev eth1
link set eth1 up
neigh replace {AWAY} lladdr 02:00:00:00:01:02 dev eth1
"""
_AWAY_LINKS = f"""
link set lo up
addr add {AWAY}/20 dev eth0
link set eth0 up
neigh replace {WIRE} lladdr 02:00:00:00:01:01 dev eth0
neigh replace {SECOND} lladdr 02:00:00:00:01:01 dev eth0
route add default via {WIRE}
"""


class Router(kernel_node.Node):
    def __init__(self):
        head, _, tail = kernel_node._LINKS.partition("addr add")
        kernel_node._LINKS = f"{_BRIDGE}addr add{tail}"
        assert "type veth" in head
        super().__init__()
        Path("/run/away").touch()
        must("unshare", "--net=/run/away", "true")
        self.namespaces["away"] = os.open("/run/away", os.O_RDONLY)
        must("ip", "-batch", "-", text=_WIRE)
        must("nsenter", "--net=/run/away", "ip", "-batch", "-", text=_AWAY_LINKS)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self.enter("away")
        self.listeners += [self.listen(port) for port in kernel_node.PORTS]
        self.enter("node")

    def drain(self):
        self.seen = None
        for listener in self.listeners:
            try:
                while True:
                    made, address = listener.accept()
                    self.seen = socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET6, address[0])[-4:])
                    made.close()
            except BlockingIOError:
                continue

    def answer(self, request):
        return super().answer(request) | {"seen": getattr(self, "seen", None)}


def main():
    router = Router()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(router.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
