"""What a pod hears when it looks the node's name up."""

from agent.analysis.diagnosis.catalog.cause import declare
from agent.model.report import Severity

NAME_NOT_FOUND = declare(
    "node-name-not-found", Severity.WARNING, "metrics-server asks for the node by a name that does not exist"
)
DNS_FAILED = declare("dns-failed", Severity.WARNING, "metrics-server's name server does not answer for the node's name")
NAME_ELSEWHERE = declare("node-name-elsewhere", Severity.WARNING, "The node's name leads metrics-server to another address")
