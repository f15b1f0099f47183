"""What an operator can set. Everything has a default that works on a node outside any cluster."""

from dataclasses import dataclass
from enum import StrEnum

PORT = 10270
KUBELET_PORT = 10250


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What one diagnosis may be asked for beside the usual: see `Settings.deep` and `Settings.phantom`."""

    deep: bool = False
    phantom: bool = False

    def cover(self, other: "Extras") -> bool:
        """Whether who gets these has what the other asks for."""
        return self.deep >= other.deep and self.phantom >= other.phantom


class OnStop(StrEnum):
    """What becomes of live fixes when `serve` is told to end. KEEP: the kernel ends them; REVERT: they are taken out."""

    KEEP = "keep"
    REVERT = "revert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Flags of `serve` and `diagnose`; empty means: find it out. Times are seconds."""

    node_name: str = ""
    node_ips: tuple[str, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    kubelet_port: int | None = None
    cni_dirs: tuple[str, ...] = ("/etc/cni/net.d",)
    cni_bin_dirs: tuple[str, ...] = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
    # Where the node's /etc is: a pod of ours has it mounted elsewhere. Only firewall files are read there.
    etc_dirs: tuple[str, ...] = ("/etc",)
    netns_dirs: tuple[str, ...] = ("/run/netns", "/run/docker/netns")
    # A node answers its own pods in well under a millisecond; one second also covers the first SYN retransmission.
    connect_timeout: float = 1.0
    # TLS and one GET on a busy node; metrics-server itself waits longer, but somebody waits for us.
    request_timeout: float = 2.0
    # The same rules tried in a throwaway namespace: 0.1 s of a processor, and nothing of the node is touched.
    twin: bool = True
    # One more connect under the kernel's own trace, and its drop reason: on request.
    deep: bool = False
    # A pod for the time of a look, where the node has none: on request.
    phantom: bool = False
    # Keep this node's answer in the cluster, as the object reaches.kubereach.dev of the node's name.
    publish: bool = False
    # Fixes: off unless the operator says otherwise, to the broker itself.
    allow_fix: bool = False
    state_dir: str = "/var/lib/kubereach"
    # How long a fix lives unless it is confirmed, and how long another program's xtables lock is waited for.
    trial: int = 60
    lock_wait: float = 5.0
    on_stop: OnStop = OnStop.KEEP
