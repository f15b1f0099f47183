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
