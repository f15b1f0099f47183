"""Who is who on this node: which address is the node's, which namespaces are pods, where the kubelet listens."""

from dataclasses import dataclass

from agent.model.capture import Listener, Process
from agent.model.report import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod's network namespace: its inode, the pod's address in it, and its interface there.

    `listed`: the API has a pod of this address. `name` is what runs in it, where that matters (`metrics-server`). `redirected`
    and `bound` say why what happens to this pod tells less of the node: its own namespace redirects its packets, or a network
    policy is about it alone.
    """

    namespace: int
    address: str
    interface: str = ""
    listed: bool = False
    name: str = ""
    redirected: str = ""
    bound: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the probes need to know. Empty means that it could not be found; `facts` says where each value was read.

    `node_ips` and `pod_cidrs` list the best answer first; `kubelet` and `listener` are None when nobody was found.
    """

    node_name: str
    node_ips: tuple[str, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    kubelet_port: int = 10250
    pods: tuple[Pod, ...] = ()
    peers: tuple[str, ...] = ()
    kubelet: Process | None = None
    listener: Listener | None = None
    facts: tuple[Fact, ...] = ()
    conflicts: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
