"""Beside each story a ruleset that looks like it: what is told must be so, and nothing else may be told in its place."""

import json
from dataclasses import replace

import pytest

from agent.analysis.diagnosis.block import find_block, rules_before
from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.diagnosis.scene import read_scene
from agent.analysis.diagnosis.silence import silenced_by
from agent.analysis.diagnosis.verdict import judge
from agent.model.report import State

from .captures import NODE_IP, PROHIBITED, capture, firewall
from .test_owners import HOST_PROHIBITED, NO_ERRORS, OPEN, PODS_OPEN, RAW, TIMED_OUT, cause, seen, text, two_networks

BIT = "-j MARK --set-xmark 0x8000/0x8000"
OTHER_BIT = "-j MARK --set-xmark 0x4000/0x4000"
MARKED = "KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP"

KUBELET_PORT = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 10250}}


def nft(family: str, table: str, *rules: tuple[str, list[dict[str, object]]], base: str = "input") -> str:
    """A listing of one table: `base` is hung into input, other chains are user chains; rules are (chain, expressions)."""
    head = {"family": family, "table": table}
    hung = {"type": "filter", "hook": "input", "prio": 10, "policy": "accept"}
    chains = [{"chain": {**head, "name": base, "handle": 1, **hung}}]
    chains += [
        {"chain": {**head, "name": name, "handle": 2}} for name in dict.fromkeys(chain for chain, _ in rules) if name != base
    ]
    said = [
        {"rule": {**head, "chain": chain, "handle": 10 + number, "expr": expressions}}
        for number, (chain, expressions) in enumerate(rules)
    ]
    return json.dumps({"nftables": [{"table": {"family": family, "name": table, "handle": 1}}, *chains, *said]})


def source(address: str) -> dict[str, object]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": address}}


@pytest.mark.parametrize(
    ("marking", "named"),
    [
        pytest.param([f"INPUT {BIT}", f"INPUT {OTHER_BIT}"], 1, id="another bit is set later"),
        pytest.param([f"INPUT {BIT}", "INPUT -j CONNMARK --set-xmark 0x8000/0x8000"], 1, id="the connection's, never restored"),
        pytest.param(
            ["INPUT -j CONNMARK --set-xmark 0x8000/0x8000", "INPUT -j CONNMARK --restore-mark", f"INPUT {OTHER_BIT}"],
            1,
            id="restored from the connection",
        ),
        pytest.param([f"INPUT -s 192.0.2.0/24 {BIT}", f"INPUT {BIT}"], 2, id="another rule of the kind was not met"),
    ],
)
def test_the_rule_that_set_the_very_bit_that_kube_firewall_drops_is_named(marking: list[str], named: int) -> None:
    found = cause(analyse(seen(*marking, "INPUT -j KUBE-FIREWALL", MARKED, hit=("KUBE-FIREWALL", 1))))
    assert found.code == "kube-firewall-drop"
    assert f"got its mark from rule {named} of filter INPUT" in found.message


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((f"INPUT {BIT}", "INPUT -j KUBE-FIREWALL", "KUBE-FIREWALL -j DROP"), id="drops whatever comes"),
        pytest.param(
            ("INPUT -j KUBE-FIREWALL", "KUBE-FIREWALL -m mark ! --mark 0x4000/0x4000 -j DROP"), id="drops what bears no mark"
        ),
        pytest.param(
            (f"INPUT {OTHER_BIT}", "INPUT -j KUBE-FIREWALL", "KUBE-FIREWALL -m mark --mark 0x4000/0x4000 -j DROP"),
            id="drops another mark",
        ),
    ],
)
def test_a_rule_of_kube_firewall_that_does_not_ask_for_the_mark_has_not_that_story(lines: tuple[str, ...]) -> None:
    assert cause(analyse(seen(*lines, hit=("KUBE-FIREWALL", 1)))).code == "input-drop"


def test_a_policy_engine_without_a_story_of_its_own_is_still_somebodys_policy() -> None:
    found = cause(analyse(seen("INPUT -j CILIUM_INPUT", "CILIUM_INPUT -j DROP", hit=("CILIUM_INPUT", 1))))
    assert (found.code, "belongs to Cilium" in found.message) == ("policy-engine-block", True)


def test_an_accept_in_iptables_does_not_overrule_firewalld_and_the_message_says_so() -> None:
    reject = {"reject": {"type": "icmpx", "expr": "host-unreachable"}}
    listing = nft("inet", "firewalld", ("filter_INPUT", [reject]), base="filter_INPUT")
    told = [
        cause(analyse(capture(firewall(accepts, listing), firewall(accepts, listing), None)))
        for accepts in (text(f"INPUT {PODS_OPEN}"), "")
    ]
    assert [found.code for found in told] == ["firewalld-reject", "firewalld-reject"]
    assert ["does not overrule it" in found.message for found in told] == [True, False]


def test_a_jump_to_a_chain_that_is_not_listed_does_not_hide_the_block_behind_it() -> None:
    elsewhere = [source("198.51.100.1"), {"jump": {"target": "gone"}}]
    too_narrow = [source("192.0.2.7"), KUBELET_PORT, {"accept": None}]
    listing = nft("ip", "mine", ("input", elsewhere), ("input", too_narrow), ("input", [{"drop": None}]))
    report = analyse(capture(firewall(nft=listing), firewall(nft=listing), TIMED_OUT))
    assert (cause(report).code, "Rule 2 of input opens port 10250" in cause(report).message) == ("accept-too-narrow", True)


def test_the_rules_before_a_block_are_those_of_the_chains_that_were_jumped_to_as_far_as_they_are_there() -> None:
    lines = ("INPUT -s 192.0.2.0/24 -j OPENINGS", "INPUT -j DROP", "OPENINGS -j ACCEPT")
    scene = read_scene(seen(*lines, hit=("INPUT", 2)))
    block = find_block(scene.ruleset, scene.packet, scene.explanation)
    assert block is not None
    bare = replace(block.table, chains=tuple(chain for chain in block.table.chains if chain.name != "OPENINGS"))
    before = [
        [(chain.name, rule.number) for chain, rule in rules_before(replace(block, table=each))] for each in (block.table, bare)
    ]
    assert before == [[("INPUT", 1), ("OPENINGS", 1)], [("INPUT", 1)]]


def test_notrack_is_not_blamed_where_no_accept_asks_for_new_connections() -> None:
    untracked = RAW.format(hits=0, rule="-p tcp -m tcp --dport 10250 -j CT --notrack")
    lines = ("INPUT -s 192.0.2.0/24 -j ACCEPT", f"INPUT {HOST_PROHIBITED}")
    assert cause(analyse(seen(*lines, hit=("INPUT", 2), pod=PROHIBITED, before=untracked))).code == "input-reject"


def test_two_limits_that_both_counted_leave_open_which_one_stopped_the_packet() -> None:
    first, second = (f"INPUT -p tcp -m limit --limit {rate}/hour -j DROP" for rate in (1, 2))
    quiet, one = (text(first, second, hit=("INPUT", 1), hits=hits) for hits in (0, 1))
    both = one.replace("[0:0] -A INPUT -p tcp -m limit --limit 2", "[1:0] -A INPUT -p tcp -m limit --limit 2")
    assert cause(analyse(capture(firewall(quiet), firewall(one), TIMED_OUT))).code == "rate-limited"
    assert cause(analyse(capture(firewall(quiet), firewall(both), TIMED_OUT))).code == "rule-undecided"


def test_an_answer_in_words_that_are_not_known_is_silenced_by_nobody() -> None:
    scene = read_scene(seen(f"INPUT {HOST_PROHIBITED}", NO_ERRORS, hit=("INPUT", 1)))
    assert scene.packet is not None
    assert scene.explanation is not None
    known, unknown = (
        silenced_by(scene.ruleset, scene.packet, replace(scene.explanation, reject_with=word), bridged=False, timed_out=True)
        for word in ("icmp-host-prohibited", "icmp-of-tomorrow")
    )
    assert known is not None
    assert (known.chain, unknown) == ("OUTPUT", None)


def test_a_second_pod_network_whose_interface_is_not_known_is_not_judged() -> None:
    known = two_networks(seen(f"INPUT {PODS_OPEN}", "INPUT -j DROP", hit=("INPUT", 1), pod=OPEN))
    assert cause(analyse(known)).code == "pod-cidr-left-out"
    links = tuple(link for link in known.node.interfaces if link.name != "cni1")
    report = analyse(replace(known, node=replace(known.node, interfaces=links)))
    assert (report.state, report.cause) == (State.REACHABLE, None)


def test_a_stop_that_nothing_explains_is_told_as_that() -> None:
    state, summary = judge(read_scene(capture()), ())
    assert state is State.BLOCKED
    assert summary == f"Pods cannot reach this node's kubelet at {NODE_IP}:10250: the cause could not be found."
