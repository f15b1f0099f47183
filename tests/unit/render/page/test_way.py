"""agent.render.page.way: where the packet went, and where it ended."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import Capture
from agent.model.probe import Outcome, Vantage
from agent.model.report import Finding, Report, Severity, State
from agent.render.page.way import Mark, draw_way
from tests.unit.analysis.diagnosis.captures import SEED, capture, firewall, probe

DROPPED_ANSWER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
[{hits}:0] -A OUTPUT -d 10.9.1.0/24 -j DROP
COMMIT
"""


def marks(report: Report) -> list[tuple[str, Mark]]:
    return [(station.name, station.mark) for station in draw_way(report)]


def blocked_by(code: str, seen: Capture) -> Report:
    finding = Finding(code=code, severity=Severity.CRITICAL, title="A title", message="m")
    return replace(analyse(seen), state=State.BLOCKED, findings=(finding,))


def test_a_rejected_packet_ends_in_the_table_of_its_rule() -> None:
    stations = draw_way(analyse(capture()))
    assert [station.name for station in stations] == ["pod", "interface", "prerouting nat", "input filter", "kubelet"]
    assert [station.mark for station in stations] == [*[Mark.PASSED] * 3, Mark.DIED, Mark.UNREACHED]
    assert stations[3].said == "INPUT rule 5: reject with icmp-host-prohibited"
    assert stations[4].said == ""


def test_where_a_witness_contradicts_the_rule_it_may_have_ended_there_and_did_not_arrive() -> None:
    still = firewall(SEED.format(hits=0))
    assert marks(analyse(capture(still, still)))[-2:] == [("input filter", Mark.UNSURE), ("kubelet", Mark.UNREACHED)]
    arrived = analyse(capture(still, still, probe(Vantage.POD, Outcome.OPEN)))
    assert marks(arrived)[-2:] == [("input filter", Mark.UNSURE), ("kubelet", Mark.PASSED)]
    still = firewall(DROPPED_ANSWER.format(hits=0))
    unanswered = analyse(capture(still, still, probe(Vantage.POD, Outcome.TIMEOUT, errno="ETIMEDOUT")))
    assert marks(unanswered)[-1] == ("its answer", Mark.UNSURE)


def test_a_packet_that_arrives_passes_everything() -> None:
    rules = firewall("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")
    seen = capture(rules, pod=probe(Vantage.POD, Outcome.OPEN))
    assert {mark for _, mark in marks(analyse(seen))} == {Mark.PASSED}


def test_an_answer_that_is_dropped_is_a_station_of_its_own() -> None:
    timed_out = probe(Vantage.POD, Outcome.TIMEOUT, errno="ETIMEDOUT")
    report = analyse(capture(firewall(DROPPED_ANSWER.format(hits=0)), firewall(DROPPED_ANSWER.format(hits=1)), timed_out))
    assert marks(report)[-2:] == [("kubelet", Mark.PASSED), ("its answer", Mark.DIED)]
    assert draw_way(report)[-1].said == "OUTPUT rule 1: drop"


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("kubelet-not-listening", [("kubelet", Mark.DIED)]),
        ("rp-filter", [("outside the rules", Mark.DIED), ("kubelet", Mark.UNREACHED)]),
    ],
)
def test_what_no_rule_explains_ends_where_its_cause_lies(code: str, end: list[tuple[str, Mark]]) -> None:
    report = blocked_by(code, capture(firewall("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")))
    assert marks(report)[-len(end) :] == end
    assert Mark.DIED not in {mark for _, mark in marks(report)[: -len(end)]}


def test_what_could_not_be_decided_is_not_sure() -> None:
    rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m bpf --bytecode 1 -j DROP\nCOMMIT\n"
    report = replace(analyse(capture(firewall(rules), pod=None, probes=())), state=State.UNKNOWN)
    assert ("input filter", Mark.UNSURE) in marks(report)
    assert marks(report)[-1] == ("kubelet", Mark.UNSURE)


def test_a_report_of_nothing_has_no_way() -> None:
    assert draw_way(Report(node="n", state=State.UNKNOWN, summary="s", taken_at="t", version="0")) == ()
