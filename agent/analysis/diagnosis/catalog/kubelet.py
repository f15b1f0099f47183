"""What the kubelet itself does: it does not listen, or answers otherwise than a kubelet in order."""

from agent.analysis.diagnosis.catalog.cause import declare
from agent.model.report import Severity

KUBELET_NOT_LISTENING = declare("kubelet-not-listening", Severity.CRITICAL, "Nobody listens on the kubelet's port")
KUBELET_BOUND_ELSEWHERE = declare(
    "kubelet-bound-elsewhere", Severity.CRITICAL, "The kubelet listens on another address than the node's"
)
KUBELET_PORT_TAKEN = declare("kubelet-port-taken", Severity.CRITICAL, "Another program listens on the kubelet's port")
SCRAPE_PORT_CLOSED = declare("scrape-port-closed", Severity.WARNING, "metrics-server asks on a port where nobody listens")
NO_CERTIFICATE = declare("kubelet-no-certificate", Severity.WARNING, "The kubelet has no serving certificate yet")
TLS_FAILED = declare("tls-failed", Severity.WARNING, "The kubelet's port is open, but the TLS handshake fails")
CERTIFICATE_EXPIRED = declare("certificate-expired", Severity.WARNING, "The kubelet's serving certificate has expired")
CERTIFICATE_NOT_YET_VALID = declare(
    "certificate-not-yet-valid", Severity.WARNING, "The kubelet's serving certificate is not valid yet"
)
CERTIFICATE_WITHOUT_ADDRESS = declare(
    "certificate-without-address",
    Severity.WARNING,
    "The kubelet's serving certificate does not name the address that it is asked by",
)
CERTIFICATE_UNTRUSTED = declare(
    "certificate-untrusted", Severity.WARNING, "The kubelet's serving certificate is not signed by the cluster's CA"
)
KUBELET_SLOW = declare("kubelet-slow", Severity.WARNING, "The kubelet accepts the request and answers too late")
HTTP_FAILED = declare("http-failed", Severity.WARNING, "The kubelet's port is open, but it does not answer as a kubelet does")
WEBHOOK_OFF = declare("kubelet-webhook-off", Severity.WARNING, "The kubelet does not look at metrics-server's token")
ANONYMOUS_ALLOWED = declare("kubelet-anonymous", Severity.INFO, "The kubelet takes requests without credentials")
