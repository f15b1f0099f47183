"""Two rules that stop a packet alike: the counters say which it was, and neither is named without them."""

import json
from dataclasses import replace

import pytest

from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.diagnosis.reach import reach_of
from agent.analysis.diagnosis.scene import read_scene
from agent.analysis.fixing.case import NoPlanError, make_case
from agent.model.capture import Capture, Firewall
from agent.model.explanation import Verdict
from agent.model.probe import Outcome, ProbeResult, Vantage
from agent.model.report import Word
from agent.model.twin import TwinReply, TwinResult, TwinRule, TwinVerdict
from agent.render import text
from tests.unit.analysis.diagnosis.captures import PROHIBITED, SEED, capture, firewall, probe

LEGACY, NFT = "rule 5 of filter INPUT (iptables-legacy)", "rule 1 of ip host-fw in (nft)"
REJECT, DROP = "-A INPUT -j REJECT --reject-with icmp-host-prohibited", "-A INPUT -j DROP"
SILENCE = probe(Vantage.POD, Outcome.TIMEOUT, errno="ETIMEDOUT")
TWIN = TwinResult(
    verdict=TwinVerdict.REJECT,
    reply=TwinReply.ICMP,
    icmp=(3, 10),
    rules=(TwinRule(backend="nft", family="ip", table="host-fw", chain="in", rule_number=1),),
)


def both(legacy: int, nft: int | None, priority: int = 0, end: str = REJECT) -> Firewall:
    """The seed's REJECT in legacy and one in a table of nft's own, each with what it has counted; None has no counter.

    `end` is the legacy rule's own.
    """
    place = {"family": "ip", "table": "host-fw"}
    chain = {**place, "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": priority, "policy": "accept"}
    counter = [] if nft is None else [{"counter": {"packets": nft, "bytes": 0}}]
    reject = {"reject": {"type": "icmp", "expr": "host-prohibited"}}
    rule = {**place, "chain": "in", "handle": 2, "expr": [*counter, reject]}
    objects = [{"table": {"family": "ip", "name": "host-fw", "handle": 1}}, {"chain": chain}, {"rule": rule}]
    return firewall(SEED.format(hits=legacy).replace(REJECT, end), json.dumps({"nftables": objects}))


def look(legacy: int, nft: int, **parts: object) -> Capture:
    """What was seen where so many packets were counted during the probe."""
    return capture(both(7, 7), both(7 + legacy, 7 + nft), **{"twin": TWIN, **parts})  # type: ignore[arg-type]


@pytest.mark.parametrize(("legacy", "nft", "rule", "other"), [(1, 0, LEGACY, NFT), (0, 1, NFT, LEGACY)])
def test_the_one_that_counted_decides(legacy: int, nft: int, rule: str, other: str) -> None:
    report = analyse(look(legacy, nft))
    assert report.cause is not None
    assert report.summary.endswith(f"{rule} answers icmp-host-prohibited.")
    assert {report.cause.witnesses[name] for name in ("model", "probe", "counters", "icmp", "twin")} == {Word.AGREES}
    assert f"An opening there is not enough: {other} stops the packet as well" in report.cause.message
    assert report.explanation is not None
    assert report.explanation.or_by == ()
    assert "the rule that decides\n" in text.report(report)


def test_the_twin_may_come_first_to_the_other_one() -> None:
    words = {item.witness: item.text for item in analyse(look(1, 0)).findings[0].evidence}
    assert words["twin"].endswith(f"{NFT} counted it there, which stops it alike and came first")


@pytest.mark.parametrize(("legacy", "nft"), [(0, 0), (2, 3)])
def test_where_the_counters_do_not_tell_both_are_named(legacy: int, nft: int) -> None:
    seen = look(legacy, nft)
    report = analyse(seen)
    if legacy:
        assert report.summary.endswith(f"{LEGACY} or {NFT} answers icmp-host-prohibited.")
    assert report.cause is not None
    assert report.cause.witnesses["counters"] == (Word.SILENT if legacy else Word.DISAGREES)
    page = text.report(report)
    assert "the rule that decides" not in page
    assert page.index("filter INPUT rule 5 (iptables-legacy)") < page.index("ip host-fw in rule 1 (nft)")
    assert report.explanation is not None
    assert f"or, where the packet comes to it first, by {text.place(report.explanation.or_by[0])}" in text.explanation(
        report.explanation
    )


@pytest.mark.parametrize(("legacy", "word"), [(0, Word.SILENT), (1, Word.AGREES)])
def test_one_without_a_counter_may_always_have_been_it(legacy: int, word: Word) -> None:
    report = analyse(capture(both(7, None), both(7 + legacy, None), twin=TWIN))
    assert report.cause is not None
    assert report.cause.witnesses["counters"] is word
    assert report.summary.endswith(f"{LEGACY} or {NFT} answers icmp-host-prohibited.")


def test_without_a_second_reading_both_are_named() -> None:
    report = analyse(replace(look(0, 0), between=None))
    assert report.summary.endswith(f"{LEGACY} or {NFT} answers icmp-host-prohibited.")


def test_the_nodes_object_and_a_single_line_name_none_where_it_is_not_known() -> None:
    report = analyse(look(2, 3))
    assert report.explanation is not None
    identity = read_scene(look(2, 3)).identity
    assert reach_of("n1", report, identity, "f").rule is None
    known = analyse(look(0, 1))
    rule = reach_of("n1", known, identity, "f").rule
    assert rule is not None
    assert rule.place == NFT


def differ(legacy: int, nft: int, pod: ProbeResult, end: str = DROP) -> Capture:
    """Legacy drops and nft rejects, which of them first is not known; so many packets were counted."""
    return capture(both(7, 7, end=end), both(7 + legacy, 7 + nft, end=end), pod, twin=TWIN)


@pytest.mark.parametrize(
    ("legacy", "nft", "pod", "rule", "other", "twin"),
    [(1, 0, SILENCE, LEGACY, NFT, Word.SILENT), (0, 1, PROHIBITED, NFT, LEGACY, Word.AGREES)],
)
def test_of_two_that_stop_it_each_in_its_own_way_it_is_the_one_that_counted(
    legacy: int, nft: int, pod: ProbeResult, rule: str, other: str, twin: Word
) -> None:
    report = analyse(differ(legacy, nft, pod))
    assert report.cause is not None
    assert rule in report.summary
    assert f"An opening there is not enough: {other} stops the packet as well" in report.cause.message
    assert {report.cause.witnesses[name] for name in ("model", "probe", "counters")} == {Word.AGREES}
    assert report.cause.witnesses["twin"] is twin
    assert report.explanation is not None
    assert (report.explanation.client_sees, report.explanation.assumptions) == (pod.errno, ())


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(differ(0, 0, PROHIBITED), id="neither counted"),
        pytest.param(differ(1, 1, PROHIBITED), id="both counted"),
        pytest.param(differ(1, 0, PROHIBITED), id="the way that was met is the other's"),
        pytest.param(differ(1, 0, SILENCE, "-A INPUT -m mystery -j DROP"), id="more than the order is in doubt"),
        pytest.param(replace(differ(1, 0, SILENCE), probes=()), id="nobody tried"),
        pytest.param(differ(0, 1, PROHIBITED, "-A INPUT -j NFQUEUE"), id="it may get through"),
    ],
)
def test_without_proof_it_stays_open_and_says_what_may_become_of_it(seen: Capture) -> None:
    explanation = analyse(seen).explanation
    assert explanation is not None
    assert explanation.verdict is Verdict.UNDECIDED
    page = text.explanation(explanation)
    fates = page[page.index("what may become of it") : page.index("not decided")]
    assert "REJECT with icmp-host-prohibited by ip host-fw in rule 1 (nft)" in fates
    assert len(fates.strip().splitlines()) == 3


def answers_dropped(legacy: int, nft: int) -> Firewall:
    """Everything is let in, and both backends drop the answers."""
    place = {"family": "ip", "table": "host-fw"}
    chain = {**place, "name": "out", "handle": 1, "type": "filter", "hook": "output", "prio": 0, "policy": "accept"}
    rule = {**place, "chain": "out", "handle": 2, "expr": [{"counter": {"packets": nft, "bytes": 0}}, {"drop": None}]}
    objects = [{"table": {"family": "ip", "name": "host-fw", "handle": 1}}, {"chain": chain}, {"rule": rule}]
    text = SEED.format(hits=0).replace(f"[0:0] {REJECT}", f"[{legacy}:0] -A OUTPUT -d 10.9.1.0/24 -j DROP")
    return firewall(text, json.dumps({"nftables": objects}))


@pytest.mark.parametrize(
    ("legacy", "nft", "named"),
    [
        (1, 0, "rule 1 of filter OUTPUT (iptables-legacy) stops its answers"),
        (0, 1, "rule 1 of ip host-fw out (nft) stops its answers"),
        (1, 1, "rule 1 of filter OUTPUT (iptables-legacy) or rule 1 of ip host-fw out (nft) stops its answers"),
    ],
)
def test_so_it_is_with_the_answer(legacy: int, nft: int, named: str) -> None:
    report = analyse(capture(answers_dropped(7, 7), answers_dropped(7 + legacy, 7 + nft), SILENCE))
    assert report.cause is not None
    assert report.cause.code == "reply-dropped"
    assert named in report.summary
    page = text.report(report)
    assert ("one of these rules decides" in page) is (" or rule " in named)
    assert report.explanation is not None
    assert ("or ip host-fw out rule 1 (nft)" in text.explanation(report.explanation)) is (" or rule " in named)


def test_without_a_packet_both_are_named() -> None:
    report = analyse(replace(look(0, 0, twin=None), probes=(), between=None))
    assert f"({LEGACY} or {NFT}); no real packet was sent" in report.summary


def test_no_fix_is_planned_where_it_is_not_known_which() -> None:
    seen = look(2, 3)
    with pytest.raises(NoPlanError, match=r"Which rule stops the packet is not known, rule 5 .* or rule 1 "):
        make_case(analyse(seen), read_scene(seen))


def test_a_chain_behind_it_is_told_as_well() -> None:
    report = analyse(capture(both(7, 7, priority=10), both(8, 7, priority=10)))
    assert report.cause is not None
    assert f"An opening there is not enough: {NFT} stops the packet as well" in report.cause.message
    assert report.explanation is not None
    assert report.explanation.or_by == ()


def test_an_opening_that_is_enough_is_not_talked_down() -> None:
    report = analyse(capture())
    assert report.cause is not None
    assert "not enough" not in report.cause.message
