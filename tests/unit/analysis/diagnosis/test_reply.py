"""The packet is let in and its answer is not let out: how that is told, and what else it must not be taken for."""

from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.model.capture import LEGACY_SAVE, Capture, Firewall, Processes
from agent.model.probe import Outcome, ProbeResult, Tls, Vantage
from agent.model.report import Report, State, Word
from agent.render.text import report as page

from .captures import LISTENER, capture, firewall, probe

TIMED_OUT = probe(Vantage.POD, Outcome.TIMEOUT, errno="ETIMEDOUT")
RESET = probe(Vantage.POD, Outcome.RESET, errno="ECONNREFUSED")
OPEN = probe(Vantage.POD, Outcome.OPEN, tls=Tls(ok=True, version="TLSv1.3", http_status=401))
DROP = "-d 10.9.1.0/24 -j DROP"
CHANCE = "-m statistic --mode random --probability 0.5 -j DROP"


def outgoing(rule: str, *, hits: int = 0, chain: str = "OUTPUT") -> Firewall:
    heads = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    heads += f":{chain} - [0:0]\n[0:0] -A OUTPUT -j {chain}\n" if chain != "OUTPUT" else ""
    return firewall(f"*filter\n{heads}[{hits}:0] -A {chain} {rule}\nCOMMIT\n")


def look(rule: str, pod: ProbeResult | None, *, hits: int = 1, chain: str = "OUTPUT", **parts: object) -> Capture:
    return capture(outgoing(rule, chain=chain), outgoing(rule, hits=hits, chain=chain), pod, **parts)  # type: ignore[arg-type]


def code(report: Report) -> str | None:
    return report.cause.code if report.cause else None


@pytest.mark.parametrize("rule", [DROP, "-o cni0 -p tcp -j REJECT --reject-with tcp-reset"])
def test_the_rule_of_output_is_named_with_its_counter(rule: str) -> None:
    report = analyse(look(rule, TIMED_OUT))
    assert (report.state, code(report)) == (State.BLOCKED, "reply-dropped")
    assert report.cause is not None
    heard = {name: report.cause.witnesses[name] for name in ("model", "probe", "counters")}
    assert heard == dict.fromkeys(heard, Word.AGREES)
    assert report.summary.endswith("rule 1 of filter OUTPUT (iptables-legacy) stops its answers.")
    assert "only what this node sends itself passes OUTPUT" in report.why_only_this_node
    assert report.cause.remedy is not None
    assert report.cause.remedy.command.startswith(
        "iptables-legacy -w -I OUTPUT 1 -s 192.0.2.10 -d 10.9.1.0/24 -p tcp --sport 10250"
    )
    text = page(report)
    assert "the rule that decides\n  filter OUTPUT rule 1 (iptables-legacy)" in text
    assert "of its answer" in text


def test_a_counter_that_stood_still_takes_it_back() -> None:
    report = analyse(look(DROP, TIMED_OUT, hits=0))
    assert code(report) == "witnesses-disagree"
    assert report.cause is not None
    assert "for the answer" in report.cause.message


def test_an_answer_by_chance_is_undecided() -> None:
    report = analyse(look(CHANCE, TIMED_OUT))
    assert code(report) == "rule-undecided"
    assert report.cause is not None
    assert "chance or a packet count decides" in report.cause.message
    passed = analyse(look(CHANCE, OPEN))
    assert (passed.state, [finding.code for finding in passed.findings]) == (State.REACHABLE, ["model-undecided"])
    assert "not decided" in page(passed)


def test_an_answer_that_came_although_a_rule_stops_it_is_a_contradiction() -> None:
    assert code(analyse(look(DROP, OPEN))) == "witnesses-disagree"
    assert code(analyse(look(DROP, RESET))) == "witnesses-disagree"


def test_a_dead_kubelet_is_the_root_of_a_reset() -> None:
    assert code(analyse(look(DROP, RESET, listeners=()))) == "kubelet-not-listening"


def test_without_a_pod_the_rules_alone_say_so() -> None:
    report = analyse(look(DROP, None, hits=0))
    assert (report.state, code(report)) == (State.BLOCKED, "reply-dropped")
    assert "this node stops its answers to pods from 192.0.2.10:10250" in report.summary
    assert "no real packet was sent" in report.summary


@pytest.mark.parametrize(("chain", "tool"), [("ufw-user-output", "ufw"), ("OUT_direct", "")])
def test_an_owners_chain_is_left_to_its_owner(chain: str, tool: str) -> None:
    report = analyse(look(DROP, TIMED_OUT, chain=chain))
    assert code(report) == "reply-dropped"
    assert report.cause is not None
    assert report.cause.remedy is not None
    assert (tool in report.cause.remedy.note) is True
    assert bool(report.cause.remedy.command) is not bool(tool)


def test_a_native_rule_is_answered_in_nft() -> None:
    listing = (
        '{"nftables": [{"table": {"family": "inet", "name": "t", "handle": 1}},'
        '{"chain": {"family": "inet", "table": "t", "name": "out", "handle": 1, "type": "filter", "hook": "output", "prio": 0,'
        ' "policy": "accept"}},'
        '{"rule": {"family": "inet", "table": "t", "chain": "out", "handle": 7, "expr": [{"drop": null}]}}]}'
    )
    report = analyse(capture(firewall(nft=listing), firewall(nft=listing), TIMED_OUT))
    assert code(report) == "reply-dropped"
    assert report.cause is not None
    assert report.cause.remedy is not None
    assert "nft insert rule inet t out handle 7 ip saddr 192.0.2.10" in report.cause.remedy.command
    assert "tcp sport 10250" in report.cause.remedy.command


def test_the_policy_of_output_is_named_as_well() -> None:
    before = firewall("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n")
    between = firewall("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT DROP [3:0]\nCOMMIT\n")
    report = analyse(replace(capture(before, between, TIMED_OUT), processes=Processes(listeners=(LISTENER,))))
    assert code(report) == "reply-dropped"
    assert before.reading(LEGACY_SAVE) is not None
