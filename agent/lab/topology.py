"""The stage: two nodes and two pods as network namespaces, wired and routed as flannel's host-gw mode does it.

```
   k8s-worker1                                     k8s-worker2
   eth0 172.31.16.124/20 ------------------------- eth0 172.31.22.159/20
   cni0 10.244.4.1/24                              cni0 10.244.5.1/24
     |-- metrics-server 10.244.4.138
     `-- web            10.244.4.7
```

Where an incident asks for it, each has an IPv6 address beside: fd00:172:31::124 and ::159, fd00:10:244:4::138 and ::7.

Everything is made under a /run that is ours alone. Node namespaces are kept outside /run/netns: kubereach takes what it finds
there for pods, as on a real node, whose own namespace is not listed there either.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.host import command
from agent.lab.errors import LabError
from agent.lab.rules import CLUSTER_CIDR, NODE_IP, POD_CIDR, POD_CIDR6

LAB = Path("/run/lab")
PODS = Path("/run/netns")
CNI_DIR = LAB / "cni"
# The node's /etc, as far as somebody reads it: the machine's own says nothing about a node on stage.
ETC_DIR = LAB / "etc"
STATE_DIR = LAB / "state"

# The nodes' subnet; its router is where the default routes point, and nobody answers there.
_ROUTER = "172.31.16.1"
_ROUTER6 = "fd00:172:31::1"
_PREFIX = 20
_COMMAND_SECONDS = 20.0  # each takes milliseconds; only a machine in trouble needs longer


@dataclass(frozen=True, slots=True, kw_only=True)
class LabNode:
    """A node: its name, its address on eth0, its bridge's address with prefix length and the pod network behind it.

    The same of IPv6 in the fields that end in 6.
    """

    name: str
    address: str
    bridge: str
    pod_cidr: str
    address6: str
    bridge6: str
    pod_cidr6: str

    @property
    def namespace(self) -> Path:
        """Where its network namespace is mounted."""
        return LAB / self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPod:
    """A pod on the first node: its address, the node's end of its cable, and its sandbox id as a container runtime makes it."""

    name: str
    address: str
    cable: str
    sandbox: str
    address6: str

    @property
    def namespace(self) -> Path:
        """Where its network namespace is mounted."""
        return PODS / f"cni-{self.sandbox}"


NODE = LabNode(
    name="k8s-worker1",
    address=NODE_IP,
    bridge="10.244.4.1/24",
    pod_cidr=POD_CIDR,
    address6="fd00:172:31::124",
    bridge6="fd00:10:244:4::1/64",
    pod_cidr6=POD_CIDR6,
)
PEER = LabNode(
    name="k8s-worker2",
    address="172.31.22.159",
    bridge="10.244.5.1/24",
    pod_cidr="10.244.5.0/24",
    address6="fd00:172:31::159",
    bridge6="fd00:10:244:5::1/64",
    pod_cidr6="fd00:10:244:5::/64",
)
METRICS_SERVER = LabPod(
    name="metrics-server",
    address="10.244.4.138",
    cable="veth3c0bf2a1",
    sandbox="5f0e3b9c-6d5e-4c7e-9a55-0b9f3d1c7a10",
    address6="fd00:10:244:4::138",
)
WEB = LabPod(
    name="web",
    address="10.244.4.7",
    cable="vethd41e88f0",
    sandbox="b7a1c2d4-21f3-4f0e-8e0b-6a0d5c3e9f22",
    address6="fd00:10:244:4::7",
)


def build(pod_cidrs: Sequence[str] = (POD_CIDR,), *, ipv6: bool = False) -> None:
    """Builds all of it in this process's mount namespace; `pod_cidrs` is what the CNI was told. Raises `LabError`."""
    _private_run()
    for place in (NODE, PEER, METRICS_SERVER, WEB):
        _make_namespace(place.namespace)
        if ipv6:
            _skip_duplicate_detection(place.namespace)
    _configure(NODE.namespace, _node_links(), _node_addresses(NODE, PEER))
    _configure(PEER.namespace, _node_addresses(PEER, NODE))
    for pod in (METRICS_SERVER, WEB):
        _configure(pod.namespace, _pod_addresses(pod))
    if ipv6:
        _add_ipv6()
    for node in (NODE, PEER):
        _route_packets(node, ipv6=ipv6)
    CNI_DIR.mkdir()
    (CNI_DIR / "10-lab.conflist").write_text(json.dumps(_conflist(pod_cidrs), indent=2), encoding="utf-8")


def _add_ipv6() -> None:
    """The second address family; no global address waits for duplicate address detection, as nobody else is here."""
    for node, other in ((NODE, PEER), (PEER, NODE)):
        _configure(
            node.namespace,
            (
                f"addr add {node.address6}/64 dev eth0 nodad",
                f"addr add {node.bridge6} dev cni0 nodad",
                f"route add default via {_ROUTER6} dev eth0",
                f"route add {other.pod_cidr6} via {other.address6} dev eth0",
            ),
            version=6,
        )
    for pod in (METRICS_SERVER, WEB):
        gateway = NODE.bridge6.split("/")[0]
        _configure(
            pod.namespace,
            (f"addr add {pod.address6}/64 dev eth0 nodad", f"route add default via {gateway} dev eth0"),
            version=6,
        )


def perform(argv: tuple[str, ...], stdin: str = "") -> None:
    """Runs a command that must work. Raises `LabError` with the command's own words."""
    done = command.run(argv, stdin=stdin.encode(), timeout=_COMMAND_SECONDS)
    if done.status != 0:
        said = done.problem or done.stderr.decode(errors="replace").strip() or f"exit code {done.status}"
        raise LabError(f"the lab could not be staged: {' '.join(argv)}: {' '.join(said.split())}")


def within(namespace: Path, *argv: str) -> tuple[str, ...]:
    """The command line that runs `argv` in a network namespace."""
    return ("nsenter", f"--net={namespace}", "--", *argv)


def _private_run() -> None:
    perform(("mount", "-t", "tmpfs", "-o", "mode=755", "lab", "/run"))
    for directory in (LAB, PODS):
        directory.mkdir()


def _make_namespace(path: Path) -> None:
    path.touch()
    perform(("unshare", f"--net={path}", "--", "true"))


def _skip_duplicate_detection(namespace: Path) -> None:
    """Lets links made later have their link-local address at once.

    For a second after it comes up a link-local address is tentative, and a router without one cannot ask for a neighbour
    on behalf of a forwarded packet (`ndisc_solicit` in net/ipv6/ndisc.c): the first pod to reach another node would time out.
    """
    perform(within(namespace, "sh", "-ec", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"))


def _configure(namespace: Path, *lines: tuple[str, ...], version: int = 4) -> None:
    batch = "\n".join(line for part in lines for line in part)
    perform(within(namespace, "ip", f"-{version}", "-batch", "-"), stdin=f"{batch}\n")


def _node_links() -> tuple[str, ...]:
    cables = (f"link add {pod.cable} type veth peer name eth0 netns {pod.namespace}" for pod in (METRICS_SERVER, WEB))
    plugs = (f"link set {pod.cable} master cni0 up" for pod in (METRICS_SERVER, WEB))
    return (
        f"link add eth0 type veth peer name eth0 netns {PEER.namespace}",
        "link add cni0 type bridge",
        *cables,
        *plugs,
    )


def _node_addresses(node: LabNode, other: LabNode) -> tuple[str, ...]:
    bridge = () if node is NODE else ("link add cni0 type bridge",)
    return (
        *bridge,
        "link set lo up",
        f"addr add {node.address}/{_PREFIX} brd + dev eth0",
        "link set eth0 up",
        f"addr add {node.bridge} brd + dev cni0",
        "link set cni0 up",
        f"route add default via {_ROUTER} dev eth0",
        f"route add {other.pod_cidr} via {other.address} dev eth0",
    )


def _pod_addresses(pod: LabPod) -> tuple[str, ...]:
    gateway = NODE.bridge.split("/")[0]
    return (
        "link set lo up",
        f"addr add {pod.address}/24 brd + dev eth0",
        "link set eth0 up",
        f"route add default via {gateway} dev eth0",
        f"route add {CLUSTER_CIDR} via {gateway} dev eth0",
    )


def _route_packets(node: LabNode, *, ipv6: bool) -> None:
    """Forwarding as kubelet demands it, and loose reverse-path filtering as systemd's 50-default.conf sets it.

    The limit on ICMP errors is off: a lab is asked again and again, and the kernel would answer a REJECT once a second only.
    """
    settings = {"ipv4/ip_forward": 1, "ipv4/conf/all/rp_filter": 2, "ipv4/icmp_ratelimit": 0}
    if ipv6:
        settings |= {"ipv6/conf/all/forwarding": 1, "ipv6/icmp/ratelimit": 0}
    script = "; ".join(f"echo {value} > /proc/sys/net/{name}" for name, value in settings.items())
    perform(within(node.namespace, "sh", "-ec", script))


def _conflist(pod_cidrs: Sequence[str]) -> dict[str, object]:
    ipam: dict[str, object] = {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}]}
    if len(pod_cidrs) == 1:
        ipam["subnet"] = pod_cidrs[0]
    else:
        ipam["ranges"] = [[{"subnet": cidr}] for cidr in pod_cidrs]
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "ipam": ipam,
    }
    return {
        "cniVersion": "1.0.0",
        "name": "cbr0",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }
