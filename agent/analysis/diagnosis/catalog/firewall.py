"""Rules that stop the packet or its answer."""

from agent.analysis.diagnosis.catalog.cause import declare
from agent.model.report import Severity

INPUT_REJECT = declare("input-reject", Severity.CRITICAL, "A firewall rule rejects pods on their way to the kubelet")
INPUT_DROP = declare("input-drop", Severity.CRITICAL, "A firewall rule drops pods on their way to the kubelet")
INPUT_POLICY_DROP = declare("input-policy-drop", Severity.CRITICAL, "No rule accepts pods, and the chain's policy drops them")
ACCEPT_TOO_NARROW = declare("accept-too-narrow", Severity.CRITICAL, "The kubelet's port is opened, but not for pods")
ACCEPT_AFTER_BLOCK = declare(
    "accept-after-block", Severity.CRITICAL, "The accept for pods stands after the rule that stops them"
)
MIXED_BACKENDS = declare("mixed-backends", Severity.CRITICAL, "The rule that stops pods is in the backend that nobody looks at")
FIREWALLD_REJECT = declare(
    "firewalld-reject", Severity.CRITICAL, "firewalld rejects pods: their network is in no zone that lets them in"
)
UFW_BLOCK = declare("ufw-block", Severity.CRITICAL, "ufw blocks pods on their way to the kubelet")
POLICY_ENGINE_BLOCK = declare(
    "policy-engine-block", Severity.CRITICAL, "A network policy stops pods on their way to the kubelet"
)
REPLY_DROPPED = declare("reply-dropped", Severity.CRITICAL, "The kubelet gets the packet, and a firewall rule stops its answer")
ACCEPT_DIES_WITH_POD = declare(
    "accept-dies-with-pod", Severity.WARNING, "The kubelet is opened for single pods' addresses, not for the pod network"
)
ACCEPT_OVERRULED = declare(
    "accept-overruled",
    Severity.CRITICAL,
    "One chain accepts pods on the kubelet's port, and another one stops them all the same",
)
NOTRACK_DEFEATS_ACCEPT = declare(
    "notrack-defeats-accept", Severity.CRITICAL, "The accept for pods asks for a connection state that NOTRACK took away"
)
RATE_LIMITED = declare("rate-limited", Severity.CRITICAL, "A rate or connection limit on the way stops pods")
REJECT_SILENCED = declare(
    "reject-silenced", Severity.CRITICAL, "A firewall rule rejects pods, and its answer is dropped on the way out"
)
SAVED_RULE_NOT_LOADED = declare(
    "saved-rule-not-loaded", Severity.CRITICAL, "The accept for pods is in a saved file, and not in the running firewall"
)
TAILSCALE_DROP = declare("tailscale-drop", Severity.CRITICAL, "Tailscale drops pods whose addresses are in 100.64.0.0/10")
POD_BANNED = declare("pod-banned", Severity.CRITICAL, "fail2ban has banned the pod's address")
KUBE_FIREWALL_DROP = declare(
    "kube-firewall-drop", Severity.CRITICAL, "KUBE-FIREWALL drops pods: their packets bear Kubernetes' mark for dropping"
)
ENDPOINT_TO_HOST_DROP = declare("endpoint-to-host-drop", Severity.CRITICAL, "Calico drops what its pods send to their own node")
HOST_ENDPOINT_DENY = declare(
    "host-endpoint-deny", Severity.CRITICAL, "Calico's host endpoint protects the node and does not let pods in"
)
POD_CIDR_LEFT_OUT = declare("pod-cidr-left-out", Severity.WARNING, "One of the node's pod networks is let in, another is not")
OTHER_FAMILY_BLOCKED = declare(
    "other-family-blocked", Severity.WARNING, "Pods reach the kubelet over one IP version and not over the other"
)
