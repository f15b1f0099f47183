"""What the cluster's DNS on stage knows, and what a pod there is told of it."""

from dataclasses import dataclass, field

# The address that kubeadm gives the cluster's DNS, and what a kubelet writes into a pod's resolv.conf (dnsPolicy ClusterFirst).
DNS_ADDRESS = "10.96.0.10"
RESOLV_CONF = f"""search kube-system.svc.cluster.local svc.cluster.local cluster.local
nameserver {DNS_ADDRESS}
options ndots:5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """`addresses` by full name with its trailing dot; `failure` is an rcode for every question; `silent`: no answer ever."""

    addresses: dict[str, str] = field(default_factory=dict, hash=False)
    failure: str = ""
    silent: bool = False
