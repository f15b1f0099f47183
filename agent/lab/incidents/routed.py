"""The wires of CNIs that route to each pod instead of bridging them: shell lines for the node and for the pods."""

from agent.lab.topology import METRICS_SERVER, WEB

# Calico's gateway for every pod: nobody has it, and the node answers for it (proxy ARP).
_GATEWAY = "169.254.1.1"


def routed_node(prefix: str) -> tuple[str, ...]:
    """Takes the pods off the bridge and routes to each by an interface of its own, whose name starts with `prefix`."""
    lines = []
    for pod in (METRICS_SERVER, WEB):
        name = f"{prefix}{pod.cable[-8:]}"
        lines += [
            f"ip link set {pod.cable} nomaster",
            f"ip link set {pod.cable} down",
            f"ip link set {pod.cable} name {name}",
            f"ip link set {name} up",
            f"ip route add {pod.address}/32 dev {name} scope link",
            f"echo 1 > /proc/sys/net/ipv4/conf/{name}/proxy_arp",
            f"echo 0 > /proc/sys/net/ipv4/neigh/{name}/proxy_delay",
        ]
    return (*lines, "ip link del cni0")


# Each pod keeps its address, alone: everybody else is behind the gateway.
ROUTED_PODS = (
    "set -- $(ip -4 -o addr show dev eth0)",
    "address=${4%/*}",
    "ip addr flush dev eth0",
    "ip addr add $address/32 dev eth0",
    f"ip route add {_GATEWAY} dev eth0 scope link",
    f"ip route add default via {_GATEWAY} dev eth0",
)


def renamed_bridge(name: str) -> tuple[str, ...]:
    """The bridge under another CNI's name for it."""
    return ("ip link set cni0 down", f"ip link set cni0 name {name}", f"ip link set {name} up")


def second_network(cidr_start: str) -> tuple[str, ...]:
    """A second pod network on the same bridge; `cidr_start` are its first three bytes."""
    return (f"ip addr add {cidr_start}.1/24 brd + dev cni0",)


def moved_pods(start: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Lines for the node and for the pods that give all pods addresses in another /24 with the same last byte."""
    node = ("ip addr flush dev cni0", f"ip addr add {start}.1/24 brd + dev cni0")
    pods = (
        "set -- $(ip -4 -o addr show dev eth0)",
        "address=${4%/*}",
        "ip addr flush dev eth0",
        f"ip addr add {start}.${{address##*.}}/24 brd + dev eth0",
        f"ip route add default via {start}.1 dev eth0",
    )
    return node, pods
