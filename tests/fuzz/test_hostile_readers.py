"""Texts made to exhaust: they are read and answered in time that grows with their length; what is quadratic times out."""

import json
from ipaddress import ip_address
from itertools import pairwise

import pytest

from agent.analysis.path.explain import explain
from agent.analysis.readers import parse_iptables, parse_nft, slots
from agent.analysis.readers.read import RefusedInput, read_texts
from agent.model.explanation import Verdict
from agent.model.packet import Packet
from agent.model.ruleset import Backend, Ruleset, Unclear

_PACKET = Packet(source=ip_address("10.244.4.5"), destination=ip_address("172.31.16.124"), iif="cni0", sport=40000, dport=10250)
# A loop within a loop over so many words, or over so many rules of as many elements, takes minutes.
_MANY = 20_000
_RULES = 6_000


def read(*lines: str) -> Ruleset:
    return parse_iptables.parse("\n".join(("*filter", ":INPUT DROP [0:0]", *lines, "COMMIT")), Backend.LEGACY, "ip")


def test_a_loop_of_jumps_is_answered() -> None:
    ruleset = read(":A - [0:0]", ":B - [0:0]", "-A INPUT -j A", "-A A -j B", "-A B -j A")
    assert explain(ruleset, _PACKET).verdict is Verdict.UNDECIDED


def test_jumps_to_the_depth_of_512_are_followed() -> None:
    names = ["INPUT", *(f"C{number}" for number in range(512))]
    jumps = [f"-A {name} -j {after}" for name, after in pairwise(names)]
    explanation = explain(read(*(f":{name} - [0:0]" for name in names[1:]), *jumps, "-A C511 -j ACCEPT"), _PACKET)
    assert explanation.decided_by is not None
    assert (explanation.verdict, explanation.decided_by.chain) == (Verdict.ACCEPT, "C511")


def test_64000_chains_are_read_and_walked() -> None:
    names = [f"C{number}" for number in range(64_000)]
    text = "\n".join(
        (
            "*filter",
            ":INPUT DROP [0:0]",
            *(f":{each} - [0:0]" for each in names),
            *(f"-A INPUT -j {each}" for each in names[::64]),
        )
    )
    save = parse_iptables.parse(text, Backend.LEGACY, "ip")
    assert len(save.tables[0].chains) == 64_001
    assert explain(save, _PACKET).verdict is Verdict.DROP


def test_64000_chains_in_both_readings_of_nft_are_joined() -> None:
    names = [f"C{number}" for number in range(64_000)]
    place = {"family": "ip", "table": "filter"}
    objects = [{"table": {"family": "ip", "name": "filter"}}, *({"chain": {**place, "name": each}} for each in names)]
    save = "\n".join(("*filter", *(f":{each} - [0:0]" for each in names), "COMMIT"))
    nft = parse_nft.parse(json.dumps({"nftables": objects}))
    assert len(slots.fill(nft, parse_iptables.parse(save, Backend.NFT, "ip"), "ip").tables[0].chains) == 64_000


def test_100000_sets_are_read() -> None:
    place = {"family": "ip", "table": "filter"}
    objects = [{"set": {**place, "name": f"s{number}", "type": "ipv4_addr", "elem": ["10.0.0.1"]}} for number in range(100_000)]
    ruleset = parse_nft.parse(json.dumps({"nftables": [{"table": {"family": "ip", "name": "filter"}}, *objects]}))
    assert (len(ruleset.tables), ruleset.problems) == (1, ())


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(
            {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@s"}}, id="set"
        ),
        pytest.param(
            {"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "ip", "field": "saddr"}}, 255]}, "right": "@s"}},
            id="masked",
        ),
        pytest.param({"vmap": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": "@m"}}, id="verdict map"),
    ],
)
def test_a_large_set_is_read_once_however_many_rules_ask_for_it(expression: object) -> None:
    place = {"family": "ip", "table": "filter"}
    addresses = [f"10.1.{number >> 8}.{number & 255}" for number in range(_RULES)]
    objects: list[object] = [
        {"set": {**place, "name": "s", "elem": addresses}},
        {"map": {**place, "name": "m", "elem": [[each, {"drop": None}] for each in addresses]}},
    ]
    objects += [{"rule": {**place, "chain": "c", "expr": [expression]}}] * _RULES
    (table,) = parse_nft.parse(json.dumps({"nftables": objects})).tables
    assert len(table.chains[0].rules) == _RULES


def test_one_line_of_50_megabytes_is_one_rule() -> None:
    comment = "x" * 50_000_000
    ruleset = read_texts([("text", f'*filter\n:INPUT DROP [0:0]\n-A INPUT -m comment --comment "{comment}" -j DROP\n')])
    (rule,) = ruleset.tables[0].chains[0].rules
    assert len(rule.comment) == 50_000_000


@pytest.mark.parametrize("text", ['"' * 5_000_000, "\n" * 5_000_000, " \t" * 2_500_000 + "x"])
def test_a_text_of_one_character_is_refused(text: str) -> None:
    with pytest.raises(RefusedInput):
        read_texts([("text", text)])


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("-s 10.0.0.1", id="addresses"),
        pytest.param("-m comment --comment some-words", id="comments"),
        pytest.param("-m limit", id="matches"),
        pytest.param("-m a --sport 5", id="ports behind other matches"),
        pytest.param("word", id="words without a place"),
        pytest.param("! !", id="negations"),
        pytest.param("--unknown", id="options"),
        pytest.param('--comment "', id="quotes that never close"),
        pytest.param('"\\\\"', id="escaped quotes"),
    ],
)
def test_a_rule_of_many_words_is_read_in_one_go(words: str) -> None:
    (rule,) = read(f"-A INPUT {' '.join([words] * _MANY)} -j DROP").tables[0].chains[0].rules
    assert len(rule.text) > _MANY


def test_distinct_states_in_one_match_are_read_in_one_go() -> None:
    states = " ".join(f"--ctstate S{number}" for number in range(_MANY))
    (rule,) = read(f"-A INPUT -m conntrack {states} -j DROP").tables[0].chains[0].rules
    assert len(rule.statements) == _MANY + 1


def test_a_rule_with_as_many_slots_as_words_is_filled_in_one_go() -> None:
    place = {"family": "ip", "table": "filter"}
    rule = {"rule": {**place, "chain": "INPUT", "expr": [{"xt": {"type": "match", "name": "limit"}}] * _MANY}}
    save = read(f"-A INPUT {'-m limit ' * _MANY}")
    nft = parse_nft.parse(json.dumps({"nftables": [{"table": {"family": "ip", "name": "filter"}}, rule]}))
    assert len(slots.fill(nft, save, "ip").tables[0].chains[0].rules[0].statements) == _MANY


def test_tests_that_nft_hides_are_sorted_out_in_one_go() -> None:
    matches = [
        {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": [each & 255, each >> 8]}}}
        for each in range(_MANY)
    ]
    body = {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": matches}}
    (rule,) = parse_nft.parse(json.dumps({"nftables": [body]})).tables[0].chains[0].rules
    assert len(rule.statements) > 1000


@pytest.mark.parametrize("text", ["[" * 200_000, '{"nftables": ' + "[" * 200_000, '{"nftables": [' + '{"rule":' * 100_000])
def test_json_nested_without_end_is_no_listing(text: str) -> None:
    assert parse_nft.parse(text).unread


def test_what_json_can_nest_and_python_cannot_follow_may_do_anything() -> None:
    place = '"family": "ip", "table": "t", "chain": "c"'
    for depth in range(400, 1000):
        deep = "[" * depth + "]" * depth
        ruleset = parse_nft.parse(
            f'{{"nftables": [{{"strange": {deep}}}, {{"rule": {{{place}, "expr": [{{"unknown": {deep}}}]}}}}]}}'
        )
        for rule in (rule for table in ruleset.tables for chain in table.chains for rule in chain.rules):
            assert isinstance(rule.statements[-1], Unclear)
        assert ruleset.unread
