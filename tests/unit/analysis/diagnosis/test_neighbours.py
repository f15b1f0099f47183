"""agent.analysis.diagnosis.neighbours: a rule for one pod's address is a fix that dies with the pod."""

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.probe import Outcome, Vantage
from agent.model.report import Finding, Report, Severity, State
from tests.unit.analysis.diagnosis.captures import KUBELET_TLS, NODE_IP, POD_IP, PROHIBITED, capture, firewall, probe

OPEN = probe(Vantage.POD, Outcome.OPEN, tls=KUBELET_TLS)
REJECT = "-A INPUT -j REJECT --reject-with icmp-host-prohibited"
CODE = "accept-dies-with-pod"


def report(*rules: str, policy: str = "ACCEPT", pod: object = OPEN) -> Report:
    lines = "".join(f"{rule}\n" for rule in rules)
    text = f"*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{lines}COMMIT\n"
    return analyse(capture(firewall(text), pod=pod))  # type: ignore[arg-type]


def told(found: Report) -> Finding | None:
    return next((finding for finding in found.findings if finding.code == CODE), None)


def allow(address: str) -> str:
    return f"-A INPUT -s {address} -p tcp --dport 10250 -j ACCEPT"


def test_an_open_pod_among_closed_ones_degrades_the_node() -> None:
    found = report(allow(POD_IP), REJECT)
    finding = told(found)
    assert finding is not None
    assert found.cause is finding
    assert (found.state, finding.severity) == (State.DEGRADED, Severity.WARNING)
    assert finding.message == (
        f"Rule 1 of filter INPUT (iptables-legacy) opens the kubelet for {POD_IP} only; the other 255 addresses of 10.9.1.0/24 "
        "are stopped by rule 2 of filter INPUT (iptables-legacy): this fix dies with the pod."
    )
    assert finding.remedy is not None
    assert "-I INPUT 2 -s 10.9.1.0/24" in finding.remedy.command


def test_several_addresses_are_named_up_to_three() -> None:
    finding = told(
        report(*(allow(f"10.9.1.{number}") for number in (5, 9, 12, 44, 70)), "-A INPUT -s 10.9.1.99 -j DROP", REJECT)
    )
    assert finding is not None
    assert "and 2 more open the kubelet for 10.9.1.5 and 10.9.1.9 and 10.9.1.12 and 2 more only" in finding.message
    assert "stopped by rule 7 of" in finding.message
    assert finding.message.endswith("this fix dies with the pods.")


def test_a_stopped_pod_hears_first_what_stops_it() -> None:
    found = report(allow("10.9.1.77"), REJECT, pod=PROHIBITED)
    assert [finding.code for finding in found.findings] == ["accept-too-narrow", CODE]
    assert found.state is State.BLOCKED


def test_without_a_probe_the_rules_speak_of_a_blocked_pod_alone() -> None:
    assert told(report(allow("10.9.1.77"), REJECT, pod=None)) is not None
    assert told(report(allow(POD_IP), allow("10.9.1.0/25"), pod=None)) is None


@pytest.mark.parametrize(
    "rules",
    [
        (allow("10.9.1.0/24"), REJECT),
        (allow("10.9.1.0/25"), REJECT),
        ("-A INPUT -s 10.9.1.77 -j DROP", "-A INPUT -j ACCEPT"),
        ("-A INPUT -s 10.9.1.77 -j DROP",),
        (allow(POD_IP), "-A INPUT -s 10.9.1.16/28 -m limit --limit 1/s -j ACCEPT", REJECT),
    ],
    ids=["all", "half", "one closed", "one closed by a policy's leave", "something undecided"],
)
def test_nothing_is_said_of_a_network_that_is_no_such_case(rules: tuple[str, ...]) -> None:
    assert told(report(*rules)) is None


def test_the_bridges_own_address_is_no_pod() -> None:
    bridge = "-A INPUT -s 10.9.1.1 -j ACCEPT"
    assert told(report(bridge, REJECT, pod=PROHIBITED)) is None
    finding = told(report(bridge, allow(POD_IP), REJECT))
    assert finding is not None
    assert "only; 254 addresses of" in finding.message


def test_witnesses_that_disagree_are_heard_first() -> None:
    # The rules say that this pod gets through, the real packet was rejected.
    assert told(report(allow("10.9.1.77"), "-A INPUT -j DROP", pod=PROHIBITED)) is None


def test_a_pod_from_elsewhere_has_no_neighbours_here() -> None:
    from dataclasses import replace

    request = replace(OPEN.request, source=NODE_IP)
    assert told(report(allow("10.77.0.1"), REJECT, pod=replace(OPEN, source="10.77.0.1", request=request))) is None
