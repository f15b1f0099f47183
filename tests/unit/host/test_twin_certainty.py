"""What of the twin's words may be kept: what the packet came to says so, word by word."""

import json

import pytest

from agent.host.twin_certainty import is_certain_set, is_certain_table, is_certain_text

TABLE = ("inet", "own")


def section(*rules: str, late: str = "") -> str:
    lines = ["*filter", ":INPUT ACCEPT [1:60]", ":OUTPUT ACCEPT [1:60]", ":LATE - [0:0]", *rules]
    return "\n".join([*lines, *([late] if late else []), "COMMIT", ""])


@pytest.mark.parametrize(
    ("rules", "certain"),
    [
        (["[1:60] -A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 10250 -m comment --comment x -j DROP"], True),
        (["[0:0] -A INPUT -m limit --limit 1/sec -j DROP"], False),
        (["[1:60] -A INPUT -m time --datestop 2026-01-01T00:00:00 -j ACCEPT"], False),
        (["[0:0] -A INPUT -m from-a-future-kernel -j ACCEPT"], False),
        (["[0:0] -A INPUT -m conntrack --ctexpire 5 -j ACCEPT"], False),
        (["[1:60] -A INPUT -j FROM-A-FUTURE-KERNEL"], False),
        (["[0:0] -A INPUT -j FROM-A-FUTURE-KERNEL"], True),
        (["[1:60] -A INPUT -j SNAT --to-source 10.0.0.1"], False),
        (["[1:60] -A INPUT"], True),
        (['[0:0] -A INPUT -m comment --comment "who says -m limit" -j DROP'], False),
    ],
)
def test_a_table_of_iptables(rules, certain):
    assert is_certain_text(section(*rules)) is certain


@pytest.mark.parametrize("leads", ["-j LATE", "-g LATE"])
def test_chance_counts_where_the_packet_came_to_it(leads):
    late = "[0:0] -A LATE -m statistic --mode random --probability 0.5 -j DROP"
    assert is_certain_text(section(f"[0:0] -A INPUT -p udp {leads}", late=late))
    assert not is_certain_text(section(f"[1:60] -A INPUT -p tcp {leads}", late=late))


def test_members_that_end_by_themselves():
    assert is_certain_set("create a hash:ip timeout 0\nadd a 10.0.0.1 timeout 0\n")
    assert not is_certain_set("create a hash:ip timeout 300\nadd a 10.0.0.1 timeout 0\n")
    assert not is_certain_set("add a 10.0.0.1 timeout 7\n")


def counter(packets: int) -> dict[str, object]:
    return {"counter": {"packets": packets, "bytes": 60 * packets}}


def objects(*rules: list[object], late: object = None, elements: list[object] | None = None) -> list[tuple[str, dict]]:
    def rule(chain: str, expr: object) -> tuple[str, dict]:
        return "rule", {"family": "inet", "table": "own", "chain": chain, "expr": expr}

    place = {"family": "inet", "table": "own"}
    found = [
        ("table", {"family": "inet", "name": "own"}),
        ("chain", {**place, "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}),
        ("chain", {**place, "name": "late"}),
        ("map", {**place, "name": "ends", "type": "inet_service", "map": "verdict", "elem": elements or []}),
        *(rule("input", expr) for expr in rules),
        *([rule("late", late)] if late else []),
    ]
    return json.loads(json.dumps(found))


MATCH = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 10250}}
TO_LATE = {"jump": {"target": "late"}}
RANDOM = [{"match": {"op": "==", "left": {"numgen": {"mode": "random", "mod": 2}}, "right": 0}}, counter(0), {"drop": None}]


@pytest.mark.parametrize(
    ("rule", "certain"),
    [
        ([MATCH, counter(1), {"reject": {"type": "icmp", "expr": "host-prohibited"}}], True),
        ([{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["new"]}}, counter(1)], True),
        ([{"match": {"op": "==", "left": {"ct": {"key": "expiration"}}, "right": 5}}, counter(0)], False),
        ([{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "cni0"}}, counter(0)], True),
        ([{"match": {"op": "==", "left": {"meta": {"key": "cpu"}}, "right": 0}}, counter(0)], False),
        ([{"match": {"op": "==", "left": {"meta": {"key": "hour"}}, "right": "17:00"}}, counter(0)], False),
        ([{"meta": "broken"}, counter(0)], False),
        ([{"limit": {"rate": 5, "per": "second"}}, counter(1), {"accept": None}], False),
        ([{"set": {"op": "add", "elem": {"payload": {}}, "set": "@seen"}}, counter(1)], False),
        ([MATCH, counter(0), {"queue": {}}], True),
        ([MATCH, counter(1), {"queue": {}}], False),
        ([{"from a future nft": None}], False),
    ],
)
def test_a_rule_of_nft(rule, certain):
    assert is_certain_table(objects(rule), TABLE) is certain


@pytest.mark.parametrize(
    "leads",
    [TO_LATE, {"goto": {"target": "late"}}, {"vmap": {"key": {"payload": {}}, "data": {"set": [[10250, TO_LATE]]}}}],
    ids=["jump", "goto", "vmap"],
)
def test_chance_in_a_chain_of_nft_counts_where_the_packet_came_to_it(leads):
    assert is_certain_table(objects([MATCH, counter(0), leads], late=RANDOM), TABLE)
    assert not is_certain_table(objects([MATCH, counter(1), leads], late=RANDOM), TABLE)
    assert is_certain_table(objects([MATCH, counter(1), leads]), TABLE)


def test_a_named_map_leads_to_all_of_its_chains():
    leads = [counter(1), {"vmap": {"key": {"payload": {}}, "data": "@ends"}}]
    assert not is_certain_table(objects(leads, late=RANDOM, elements=[[10250, TO_LATE]]), TABLE)
    assert is_certain_table(objects(leads, late=RANDOM, elements=[[10250, {"drop": None}]]), TABLE)
    assert is_certain_table(objects([counter(1), TO_LATE], late=[counter(1), TO_LATE]), TABLE)


def test_an_element_that_ends_by_itself():
    element = {"elem": {"val": 10250, "timeout": 60, "expires": 7}}
    assert not is_certain_table(objects(elements=[[element, {"drop": None}]]), TABLE)
