"""The leg from the API server to metrics-server, which looks the same to whoever types `kubectl top`."""

from agent.analysis.diagnosis.catalog.cause import declare
from agent.model.report import Severity

APISERVER_PROXY = declare(
    "apiserver-proxy", Severity.WARNING, "The API server sends requests for metrics-server to an HTTP proxy"
)
AGGREGATION_OFF = declare(
    "aggregation-off", Severity.WARNING, "The API server is not set up to pass requests on to metrics-server"
)
APISERVER_WITHOUT_RBAC = declare(
    "apiserver-without-rbac", Severity.WARNING, "The API server does not look at the roles that let metrics-server in"
)
METRICS_PORT_CLASH = declare("metrics-port-clash", Severity.WARNING, "metrics-server wants the kubelet's own port")
APISERVER_TUNNEL = declare("apiserver-tunnel", Severity.INFO, "The API server reaches this kubelet by a tunnel of its own")
AGGREGATION_LEG = declare(
    "aggregation-leg", Severity.INFO, "If metrics are missing all the same, the API server's way to metrics-server is left"
)
