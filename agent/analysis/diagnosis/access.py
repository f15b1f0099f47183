"""Who the kubelet lets in, told from its answer to a request without credentials, and from its flags and configuration.

No token is ever sent, so a 401 says nothing against metrics-server: it is what a kubelet in order answers. What can be known is
whether the kubelet would look at a token at all (kubelet authentication: anonymous, X.509, webhook).
"""

from collections.abc import Iterator
from http import HTTPStatus

from agent.analysis.diagnosis.catalog.kubelet import ANONYMOUS_ALLOWED, HTTP_FAILED, KUBELET_SLOW, WEBHOOK_OFF
from agent.analysis.diagnosis.rung import Fault
from agent.analysis.diagnosis.scrape import Scrape, switch, told
from agent.model.capture import Processes
from agent.model.identity import Identity
from agent.model.probe import Tls
from agent.model.report import Fact, Remedy

# A kubelet answers in milliseconds; one that needs this long is in trouble, though a scrape waits ten times longer.
SLOW = 1.0
_LATE = "no answer in time"
_KUBELET_STATUS = (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_WEBHOOK_KEY = "authentication.webhook.enabled"
_WHO_MAY_ASK = (
    *(_WEBHOOK_KEY, "authentication.anonymous.enabled", "authorization.mode"),
    *("serverTLSBootstrap", "readOnlyPort"),
)
_WEBHOOK = Remedy(
    persistent={
        "kubelet (/var/lib/kubelet/config.yaml)": "authentication: {webhook: {enabled: true}}; authorization: {mode: Webhook}",
        "kubelet flags": "--authentication-token-webhook=true --authorization-mode=Webhook",
    },
    owner="kubelet",
    note="Then restart the kubelet: systemctl restart kubelet",
)
_LOOK = Remedy(command="systemctl status kubelet; journalctl -u kubelet -n 50 --no-pager", owner="kubelet")


def judge_answer(tls: Tls, scrape: Scrape, waited: float) -> Fault | None:
    """What is wrong with the HTTP answer itself; `waited` is how long it was waited for, in seconds."""
    if tls.http_error == _LATE:
        return Fault(
            cause=KUBELET_SLOW,
            message=f"TCP and TLS work, and within {waited:g} s not one byte of an answer came. metrics-server gives up after "
            f"{scrape.timeout}; a longer timeout only hides that the kubelet is short of CPU, disk or its container runtime.",
            go_error="context deadline exceeded",
            remedy=_LOOK,
        )
    if tls.http_error:
        message = f"TCP and TLS work; an unauthenticated GET is answered with: {tls.http_error}."
        return Fault(cause=HTTP_FAILED, message=message, remedy=_LOOK)
    if tls.http_status is not None and tls.http_status not in _KUBELET_STATUS:
        message = f"TCP and TLS work; an unauthenticated GET is answered with: HTTP {tls.http_status}."
        return Fault(cause=HTTP_FAILED, message=message, go_error=_refused(tls.http_status), remedy=_LOOK)
    if tls.first_byte_seconds is not None and tls.first_byte_seconds > SLOW:
        message = f"The kubelet needed {tls.first_byte_seconds:.1f} s for the first byte of a refusal, which costs it nothing."
        return Fault(cause=KUBELET_SLOW, message=message, remedy=_LOOK, hurts=False)
    return None


def judge_access(tls: Tls, identity: Identity, processes: Processes) -> Fault | None:
    """Whether the kubelet would look at metrics-server's token, and whether it lets in who has none."""
    off, source = _webhook_off(identity, processes)
    status = tls.http_status
    if off and status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        asked_as = "nobody" if status == HTTPStatus.UNAUTHORIZED else "system:anonymous"
        return Fault(
            cause=WEBHOOK_OFF,
            message=f"{source}: the kubelet does not ask the API server whose token it was sent, so metrics-server stays "
            f"{asked_as} to it and gets HTTP {status}.",
            go_error=_refused(status),
            remedy=_WEBHOOK,
        )
    if status == HTTPStatus.FORBIDDEN and "system:anonymous" in tls.http_excerpt:
        message = (
            "The kubelet took the request without credentials for user system:anonymous and refused it: anonymous "
            "authentication is on. This says nothing against a caller with a token; if metrics-server itself is refused as "
            "system:anonymous, its token is not looked at (authentication.webhook)."
        )
        return Fault(cause=ANONYMOUS_ALLOWED, message=message)
    if status == HTTPStatus.OK:
        message = "The kubelet answered a request without credentials: whoever reaches the port may read it (AlwaysAllow)."
        return Fault(cause=ANONYMOUS_ALLOWED, message=message)
    return None


def facts(processes: Processes) -> Iterator[Fact]:
    """What the kubelet's configuration file says of who may ask it."""
    for key in _WHO_MAY_ASK:
        item = told(processes, key)
        if item is not None:
            yield Fact(name=f"kubelet {key}", value=item.value, source=item.path)


def _webhook_off(identity: Identity, processes: Processes) -> tuple[bool, str]:
    """Whether token review is switched off in so many words, and where that is said. A flag outranks the file."""
    given = switch(identity.kubelet, "authentication-token-webhook")
    if given is not None:
        return not given, "kubelet --authentication-token-webhook=false"
    item = told(processes, _WEBHOOK_KEY)
    if item is not None:
        return item.value == "false", f"{item.path} has {_WEBHOOK_KEY}: false"
    return False, ""


def _refused(status: int) -> str:
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:  # a number that has no name
        words = str(status)
    return f'request failed, status: "{words}"'
