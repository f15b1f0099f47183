"""Every cause kubereach can name, once: its code, its title and how bad it is.

A code is an interface: alerts, runbooks and scripts match on it. `docs/findings.md` has a section for each, and a test holds
the two together.
"""

from dataclasses import dataclass

from agent.model.report import Severity


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of the catalogue. `code` is kebab-case and never changes its meaning."""

    code: str
    severity: Severity
    title: str


CATALOG: dict[str, Cause] = {}


def _declare(code: str, severity: Severity, title: str) -> Cause:
    if code in CATALOG:
        raise ValueError(f"the finding {code} is declared twice")
    CATALOG[code] = Cause(code, severity, title)
    return CATALOG[code]


_CRITICAL, _WARNING, _INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO

INPUT_REJECT = _declare("input-reject", _CRITICAL, "A firewall rule rejects pods on their way to the kubelet")
INPUT_DROP = _declare("input-drop", _CRITICAL, "A firewall rule drops pods on their way to the kubelet")
INPUT_POLICY_DROP = _declare("input-policy-drop", _CRITICAL, "No rule accepts pods, and the chain's policy drops them")
ACCEPT_TOO_NARROW = _declare("accept-too-narrow", _CRITICAL, "The kubelet's port is opened, but not for pods")
ACCEPT_AFTER_BLOCK = _declare("accept-after-block", _CRITICAL, "The accept for pods stands after the rule that stops them")
MIXED_BACKENDS = _declare("mixed-backends", _CRITICAL, "The rule that stops pods is in the backend that nobody looks at")
FIREWALLD_REJECT = _declare(
    "firewalld-reject", _CRITICAL, "firewalld rejects pods: their network is in no zone that lets them in"
)
UFW_BLOCK = _declare("ufw-block", _CRITICAL, "ufw blocks pods on their way to the kubelet")
POLICY_ENGINE_BLOCK = _declare("policy-engine-block", _CRITICAL, "A network policy stops pods on their way to the kubelet")
KUBELET_NOT_LISTENING = _declare("kubelet-not-listening", _CRITICAL, "Nobody listens on the kubelet's port")
KUBELET_BOUND_ELSEWHERE = _declare(
    "kubelet-bound-elsewhere", _CRITICAL, "The kubelet listens on another address than the node's"
)
POD_ROUTE = _declare("pod-route", _CRITICAL, "The pod's own routes refuse the way to the node")
BLOCKED_OUTSIDE_INPUT = _declare(
    "blocked-outside-input", _CRITICAL, "The firewall rules accept the packet, and still it does not arrive"
)
REPLY_DROPPED = _declare("reply-dropped", _CRITICAL, "The kubelet gets the packet, and a firewall rule stops its answer")
RULE_UNDECIDED = _declare("rule-undecided", _CRITICAL, "Pods are stopped, and which rule does it could not be decided")
WITNESSES_DISAGREE = _declare("witnesses-disagree", _CRITICAL, "The ruleset and the real packet tell different stories")
ACCEPT_DIES_WITH_POD = _declare(
    "accept-dies-with-pod", _WARNING, "The kubelet is opened for single pods' addresses, not for the pod network"
)
TLS_FAILED = _declare("tls-failed", _WARNING, "The kubelet's port is open, but the TLS handshake fails")
HTTP_FAILED = _declare("http-failed", _WARNING, "The kubelet's port is open, but it does not answer as a kubelet does")
FACTS_CONFLICT = _declare("facts-conflict", _INFO, "Two sources disagree about this node")
MODEL_UNDECIDED = _declare("model-undecided", _INFO, "The packet passed, though the rules alone could not say so")
