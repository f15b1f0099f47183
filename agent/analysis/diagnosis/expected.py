"""What a client must meet where the model is right."""

from agent.model.explanation import Explanation, Verdict
from agent.model.probe import Outcome
from agent.model.tri import Tri


def expected_outcomes(explanation: Explanation, *, listening: Tri) -> tuple[Outcome, ...]:
    """The outcomes that the model's verdict allows (facts of the kernel: errno and error queue per kind of reject)."""
    reply = explanation.reply
    if explanation.verdict is Verdict.DROP or (reply is not None and reply.lost):
        return (Outcome.TIMEOUT,)
    if explanation.verdict is Verdict.ACCEPT and (reply is None or reply.verdict is Verdict.ACCEPT):
        return {Tri.YES: (Outcome.OPEN,), Tri.NO: (Outcome.RESET,), Tri.UNKNOWN: (Outcome.OPEN, Outcome.RESET)}[listening]
    if explanation.verdict is Verdict.UNDECIDED or explanation.reject_with is None:
        return ()
    if explanation.reject_with == "tcp-reset":
        return (Outcome.RESET,)
    named = {
        "icmp-port-unreachable": Outcome.PORT_UNREACHABLE,
        "icmp6-port-unreachable": Outcome.PORT_UNREACHABLE,
        "icmp-host-prohibited": Outcome.HOST_PROHIBITED,
        "icmp-admin-prohibited": Outcome.ADMIN_PROHIBITED,
        "icmp6-adm-prohibited": Outcome.ADMIN_PROHIBITED,
        "icmp-net-unreachable": Outcome.NET_UNREACHABLE,
        "icmp6-no-route": Outcome.NET_UNREACHABLE,
    }
    return (named.get(explanation.reject_with, Outcome.OTHER_ICMP),)
