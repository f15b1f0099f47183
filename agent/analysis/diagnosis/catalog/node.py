"""What stops a packet outside netfilter's rules: routes, addresses, the kernel's own checks, programs, sockets."""

from agent.analysis.diagnosis.catalog.cause import declare
from agent.model.report import Severity

POD_ROUTE = declare("pod-route", Severity.CRITICAL, "The pod's own routes refuse the way to the node")
POD_FIREWALL = declare("pod-firewall", Severity.CRITICAL, "The pod's own firewall rules stop its connection to the kubelet")
POD_REDIRECT = declare("pod-redirect", Severity.CRITICAL, "The pod's own rules send its packets elsewhere than to the kubelet")
NEIGHBOUR_FAILED = declare("neighbour-failed", Severity.CRITICAL, "The next hop between pod and node does not answer")
NODE_IP_FOREIGN = declare("node-ip-foreign", Severity.CRITICAL, "The node's address belongs to no interface of this node")
IPVS_NODE_IP = declare("ipvs-node-ip", Severity.CRITICAL, "kube-proxy holds the node's address as a Service address")
RP_FILTER = declare("rp-filter", Severity.CRITICAL, "The kernel's reverse path filter drops pods' packets")
MARTIAN_SOURCE = declare(
    "martian-source", Severity.CRITICAL, "The node itself holds the pod's address, so the kernel refuses it"
)
POD_CIDR_OVERLAP = declare("pod-cidr-overlap", Severity.CRITICAL, "Another network's route covers pods' addresses")
REPLY_ROUTE = declare(
    "reply-route", Severity.CRITICAL, "The node's routes send the kubelet's answers elsewhere than to the pod"
)
INTERFACE_PROGRAM = declare(
    "interface-program", Severity.CRITICAL, "A tc or XDP program on the pod's interface stops its packets"
)
CGROUP_FILTER = declare("cgroup-filter", Severity.CRITICAL, "A BPF filter on the kubelet's cgroup drops pods' packets")
LISTEN_OVERFLOW = declare("listen-overflow", Severity.CRITICAL, "The kubelet's queue of new connections is full")
CONNTRACK_FULL = declare("conntrack-full", Severity.CRITICAL, "The connection tracking table is full")
BAD_CHECKSUM = declare("bad-checksum", Severity.CRITICAL, "Packets arrive with a wrong TCP checksum")
MTU_MISMATCH = declare("mtu-mismatch", Severity.WARNING, "Small packets pass between pod and node and large ones do not")
BLOCKED_OUTSIDE_INPUT = declare(
    "blocked-outside-input", Severity.CRITICAL, "The firewall rules accept the packet, and still it does not arrive"
)
PODS_DIFFER = declare("pods-differ", Severity.WARNING, "Some pods reach the kubelet and some do not")
FACTS_CONFLICT = declare("facts-conflict", Severity.INFO, "Two sources disagree about this node")
