"""Where kubereach itself cannot tell, or its witnesses differ."""

from agent.analysis.diagnosis.catalog.cause import declare
from agent.model.report import Severity

RULE_UNDECIDED = declare("rule-undecided", Severity.CRITICAL, "Pods are stopped, and which rule does it could not be decided")
WITNESSES_DISAGREE = declare("witnesses-disagree", Severity.CRITICAL, "The ruleset and the real packet tell different stories")
MODEL_UNDECIDED = declare("model-undecided", Severity.INFO, "The packet passed, though the rules alone could not say so")
