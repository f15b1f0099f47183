"""What stops a packet outside netfilter's rules: routes, addresses, the kernel's own checks."""

from agent.analysis.diagnosis.catalog.cause import declare
from agent.model.report import Severity

POD_ROUTE = declare("pod-route", Severity.CRITICAL, "The pod's own routes refuse the way to the node")
BLOCKED_OUTSIDE_INPUT = declare(
    "blocked-outside-input", Severity.CRITICAL, "The firewall rules accept the packet, and still it does not arrive"
)
FACTS_CONFLICT = declare("facts-conflict", Severity.INFO, "Two sources disagree about this node")
