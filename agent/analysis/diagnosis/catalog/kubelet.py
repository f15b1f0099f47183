"""What the kubelet itself does: it does not listen, or answers otherwise than a kubelet in order."""

from agent.analysis.diagnosis.catalog.cause import declare
from agent.model.report import Severity

KUBELET_NOT_LISTENING = declare("kubelet-not-listening", Severity.CRITICAL, "Nobody listens on the kubelet's port")
KUBELET_BOUND_ELSEWHERE = declare(
    "kubelet-bound-elsewhere", Severity.CRITICAL, "The kubelet listens on another address than the node's"
)
TLS_FAILED = declare("tls-failed", Severity.WARNING, "The kubelet's port is open, but the TLS handshake fails")
HTTP_FAILED = declare("http-failed", Severity.WARNING, "The kubelet's port is open, but it does not answer as a kubelet does")
