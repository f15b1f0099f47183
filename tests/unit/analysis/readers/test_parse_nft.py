import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.analysis.readers import parse_nft
from agent.analysis.readers.iptables_matches import TRACKED
from agent.analysis.readers.parse_nft import parse
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    AnyBit,
    AnyOf,
    Base,
    Chain,
    Compare,
    CopyMark,
    Counter,
    Drop,
    Forget,
    Hook,
    Intervals,
    Jump,
    Lookup,
    Masked,
    Names,
    NoTrack,
    Pass,
    Reject,
    Return,
    Rule,
    SetMark,
    Statement,
    Translate,
    Unclear,
    Unsure,
    VerdictMap,
    Words,
)

_IPV4 = Compare(Field.NFPROTO, Intervals(((2, 2),)))
_IPV6 = Compare(Field.NFPROTO, Intervals(((10, 10),)))
_TCP = Compare(Field.PROTOCOL, Intervals(((6, 6),)))
_ALL = 0xFFFFFFFF


def listing(*expressions: Any, family: str = "inet", sets: tuple[Any, ...] = (), **rule: Any) -> str:
    """A listing of one table with a base chain `input` that has one rule, and an empty chain `other`."""
    place = {"family": family, "table": "t"}
    body = {**place, "chain": "input", "handle": 7, "expr": list(expressions), **rule}
    hook = {"type": "filter", "hook": "input", "prio": -10, "policy": "drop"}
    return json.dumps(
        {
            "nftables": [
                {"metainfo": {"json_schema_version": 1}},
                {"table": {"family": family, "name": "t"}},
                {"chain": {**place, "name": "input", **hook}},
                {"chain": {**place, "name": "other"}},
                *({kind: {**place, **each}} for kind, each in sets),
                {"rule": body},
            ]
        }
    )


def chain(text: str) -> Chain:
    return parse(text).tables[0].chains[0]


def read(*expressions: Any, family: str = "inet", sets: tuple[Any, ...] = ()) -> tuple[Statement, ...]:
    return chain(listing(*expressions, family=family, sets=sets)).rules[0].statements


def match(left: Any, right: Any, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}


def payload(text: str) -> dict[str, Any]:
    protocol, field = text.split()
    return {"payload": {"protocol": protocol, "field": field}}


def meta(key: str) -> dict[str, Any]:
    return {"meta": {"key": key}}


def ct(key: str) -> dict[str, Any]:
    return {"ct": {"key": key}}


def span(field: Field, low: int, high: int, negate: bool = False) -> Compare:
    return Compare(field, Intervals(((low, high),)), negate)


def test_a_base_chain_and_its_rule() -> None:
    text = listing(match(payload("tcp dport"), 22), {"counter": {"packets": 3, "bytes": 180}}, {"accept": None}, comment="hi")
    assert chain(text).base == Base("filter", Hook.INPUT, -10, "drop")
    assert chain(text).rules == (
        Rule(
            1,
            'tcp dport 22 counter accept comment "hi"',
            (_TCP, span(Field.DPORT, 22, 22), Accept()),
            handle=7,
            counter=Counter(3, 180),
            comment="hi",
        ),
    )


@pytest.mark.parametrize(
    ("expression", "statements"),
    [
        (match(payload("tcp dport"), 22, "!="), (_TCP, span(Field.DPORT, 22, 22, True))),
        (match(payload("tcp dport"), 1024, ">="), (_TCP, span(Field.DPORT, 1024, 65535))),
        (match(payload("tcp dport"), 1024, "<"), (_TCP, span(Field.DPORT, 0, 1023))),
        (match(payload("tcp dport"), {"range": [80, 90]}), (_TCP, span(Field.DPORT, 80, 90))),
        (match(payload("tcp dport"), {"set": [22, {"range": [23, 25]}]}), (_TCP, span(Field.DPORT, 22, 25))),
        (match(payload("tcp sport"), "ssh"), (_TCP, span(Field.SPORT, 22, 22))),
        (match(payload("th dport"), 53), (span(Field.DPORT, 53, 53),)),
        (
            match(payload("ip saddr"), {"prefix": {"addr": "10.0.0.0", "len": 8}}),
            (_IPV4, span(Field.SADDR, 10 << 24, (11 << 24) - 1)),
        ),
        (match(payload("ip6 daddr"), "::1"), (_IPV6, span(Field.DADDR, 1, 1))),
        (
            match({"&": [payload("ip saddr"), "255.0.255.0"]}, "10.0.1.0"),
            (_IPV4, Compare(Field.SADDR, Masked(0xFF00FF00, 0x0A000100))),
        ),
        (match(payload("ip protocol"), "tcp"), (_IPV4, _TCP)),
        (
            match(payload("icmpv6 type"), "nd-neighbor-solicit"),
            (_IPV6, span(Field.PROTOCOL, 58, 58), span(Field.ICMP_TYPE, 135, 135)),
        ),
        (match(payload("icmp code"), "host-prohibited"), (_IPV4, span(Field.PROTOCOL, 1, 1), span(Field.ICMP_CODE, 10, 10))),
        (match(meta("l4proto"), {"set": ["tcp", "udp"]}), (Compare(Field.PROTOCOL, Intervals(((6, 6), (17, 17)))),)),
        (match(meta("nfproto"), "ipv6"), (_IPV6,)),
        (match(meta("protocol"), "ip"), (_IPV4,)),
        (match(meta("iifname"), "eth*"), (Compare(Field.IIF, Names(("eth*",))),)),
        (match(meta("iif"), "lo", "!="), (Compare(Field.IIF, Names(("lo",)), True),)),
        (match(meta("oifname"), {"set": ["a", "b"]}), (Compare(Field.OIF, Names(("a", "b"))),)),
        (match(meta("mark"), 1), (span(Field.MARK, 1, 1),)),
        (match({"&": [meta("mark"), 0x4000]}, 0, "!="), (Compare(Field.MARK, Masked(0x4000, 0), True),)),
        (
            match({"&": [meta("mark"), 3]}, {"set": [1, 2]}),
            (AnyOf((Compare(Field.MARK, Masked(3, 1)), Compare(Field.MARK, Masked(3, 2)))),),
        ),
        (match({"&": [meta("mark"), 3]}, "@marks"), (Compare(Field.MARK, Masked(3, 1)),)),
        (match(meta("skuid"), 0), (span(Field.SKUID, 0, 0),)),
        (match(meta("pkttype"), "host"), (Compare(Field.PKTTYPE, Words(("unicast",))),)),
        (match(meta("length"), {"range": [1, 9]}), (span(Field.LENGTH, 1, 9),)),
        (match(ct("state"), ["established", "related"], "in"), (Compare(Field.CT_STATE, AnyBit(6)),)),
        (match(ct("state"), "established", "!"), (Compare(Field.CT_STATE, AnyBit(2), True),)),
        (match(ct("state"), {"set": ["established", "new"]}), (Compare(Field.CT_STATE, Intervals(((2, 2), (8, 8)))),)),
        (match(ct("state"), {"|": ["established", "related"]}, "!="), (span(Field.CT_STATE, 6, 6, True),)),
        (match(ct("status"), "dnat", "in"), (TRACKED, Compare(Field.CT_STATUS, AnyBit(32)))),
        (match(ct("direction"), "reply"), (TRACKED, span(Field.CT_DIRECTION, 1, 1))),
        (match(payload("tcp flags"), "syn", "in"), (_TCP, Compare(Field.TCP_FLAGS, Masked(2, 0), negate=True))),
        (match(payload("tcp flags"), "syn", "!"), (_TCP, Compare(Field.TCP_FLAGS, Masked(2, 0)))),
        # `meta mark & 0 == 15`, as nft prints it: never
        (match({"meta": {"key": "mark"}}, {"prefix": {"addr": 15, "len": 0}}), (Compare(Field.MARK, Intervals(())),)),
        (
            match({"&": [payload("tcp flags"), ["fin", "syn", "rst", "ack"]]}, "syn"),
            (_TCP, Compare(Field.TCP_FLAGS, Masked(23, 2))),
        ),
        (match({"fib": {"result": "type", "flags": ["daddr"]}}, "local"), (Compare(Field.DADDR_TYPE, Words(("local",))),)),
        (
            match({"fib": {"result": "type", "flags": ["daddr"]}}, {"set": ["local", "unicast"]}),
            (Compare(Field.DADDR_TYPE, Words(("local", "only unicast"))),),
        ),
        (
            match({"fib": {"result": "type", "flags": "saddr"}}, "local", "!="),
            (Compare(Field.SADDR_TYPE, Words(("local",)), True),),
        ),
        (match({"&": [payload("ip frag-off"), 8191]}, 0, "!="), (_IPV4, span(Field.FRAGMENT, 1, 1))),
        (
            match({"concat": [payload("ip saddr"), payload("tcp dport")]}, {"set": [{"concat": ["0.0.0.1", 22]}]}),
            (_IPV4, _TCP, Lookup((Field.SADDR, Field.DPORT), ((Intervals(((1, 1),)), Intervals(((22, 22),))),))),
        ),
    ],
    ids=str,
)
def test_matches(expression: Any, statements: tuple[Statement, ...]) -> None:
    assert read(expression, sets=(("set", {"name": "marks", "elem": [1]}),)) == statements


def test_a_table_of_one_family_needs_no_test_for_it() -> None:
    assert read(match(payload("ip saddr"), "0.0.0.1"), family="ip") == (span(Field.SADDR, 1, 1),)


@pytest.mark.parametrize(
    ("kind", "elements", "statement"),
    [
        ("ipv4_addr", ["0.0.0.1", {"elem": {"val": "0.0.0.2", "timeout": 9, "expires": 1}}], span(Field.SADDR, 1, 2)),
        ("ipv4_addr", [{"prefix": {"addr": "0.0.0.0", "len": 30}}], span(Field.SADDR, 0, 3)),
        ("ipv4_addr", None, Lookup((Field.SADDR,), ())),
        ("ipv4_addr", ["*"], span(Field.SADDR, 0, _ALL)),
    ],
    ids=str,
)
def test_named_sets(kind: str, elements: Any, statement: Statement) -> None:
    body = {"name": "s", "type": kind} | ({} if elements is None else {"elem": elements})
    assert read(match(payload("ip saddr"), "@s"), family="ip", sets=(("set", body),)) == (statement,)


def test_verdict_maps() -> None:
    entries = [["*", {"drop": None}], [22, {"accept": None}], [{"range": [80, 81]}, {"goto": {"target": "other"}}]]
    data = {"vmap": {"key": payload("tcp dport"), "data": "@m"}}
    expected = (
        ((Intervals(((22, 22),)),), Accept()),
        ((Intervals(((80, 81),)),), Jump("other", goto=True)),
        ((Intervals(((0, 65535),)),), Drop()),
    )
    assert read(data, sets=(("map", {"name": "m", "elem": entries}),)) == (_TCP, VerdictMap((Field.DPORT,), expected))


@pytest.mark.parametrize(
    ("expression", "statements"),
    [
        ({"drop": None}, (Drop(),)),
        ({"return": None}, (Return(),)),
        ({"continue": None}, (Pass("continue"),)),
        ({"jump": {"target": "other"}}, (Jump("other"),)),
        ({"reject": None}, (Reject("icmpx-port-unreachable"),)),
        ({"reject": {"type": "icmpx", "expr": "admin-prohibited"}}, (Reject("icmpx-admin-prohibited"),)),
        ({"reject": {"type": "icmp", "expr": "host-prohibited"}}, (_IPV4, Reject("icmp-host-prohibited"))),
        ({"reject": {"type": "icmpv6", "expr": "admin-prohibited"}}, (_IPV6, Reject("icmp6-adm-prohibited"))),
        ({"reject": {"type": "tcp reset"}}, (_TCP, Reject("tcp-reset"))),
        ({"mangle": {"key": meta("mark"), "value": 1}}, (SetMark(Field.MARK, 0, 1),)),
        ({"mangle": {"key": meta("mark"), "value": {"|": [meta("mark"), 4]}}}, (SetMark(Field.MARK, _ALL & ~4, 4),)),
        (
            {"mangle": {"key": meta("mark"), "value": {"^": [{"&": [meta("mark"), 0xF0]}, 1]}}},
            (SetMark(Field.MARK, 0xF0, 1),),
        ),
        ({"mangle": {"key": ct("mark"), "value": {"&": [meta("mark"), 0xFF]}}}, (CopyMark(Field.MARK, Field.CT_MARK, 0xFF),)),
        ({"mangle": {"key": meta("nftrace"), "value": 1}}, (Pass("meta nftrace set 1"),)),
        ({"notrack": None}, (NoTrack(),)),
        ({"counter": None}, ()),
        (
            {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": 1400}},
            (Pass("tcp option maxseg size set 1400"),),
        ),
        ({"log": {"prefix": "x"}}, (Pass("log prefix x"),)),
        ({"masquerade": None}, (Translate("masquerade"),)),
        ({"redirect": {"port": 80}}, (Translate("redirect", port=80),)),
        ({"dnat": {"family": "ip", "addr": "10.0.0.1", "port": 80}}, (_IPV4, Translate("dnat", "10.0.0.1", 80))),
        ({"dnat": {"addr": {"map": {"key": meta("mark"), "data": "@x"}}}}, (Translate("dnat", exact=False),)),
        ({"xt": {"type": "match", "name": "comment"}}, (Pass("xt match comment"),)),
        ({"xt": {"type": "target", "name": "LOG"}}, (Pass("xt target LOG"),)),
    ],
    ids=str,
)
def test_statements(expression: Any, statements: tuple[Statement, ...]) -> None:
    assert read(expression) == statements


@pytest.mark.parametrize(
    "expression",
    [
        {"limit": {"rate": 5, "per": "second", "burst": 5}},
        {"quota": {"val": 5, "val_unit": "mbytes"}},
        {"ct count": {"val": 5}},
        {"set": {"op": "add", "elem": payload("ip saddr"), "set": "@s"}},
        match(payload("ip saddr"), "@missing"),
        match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, False),
        match({"ct": {"key": "ip saddr", "dir": "original"}}, "10.0.0.1"),
        match({"numgen": {"mode": "random", "mod": 2}}, 0),
        match(meta("iif"), 5),
        match(meta("iif"), "eth*"),
        match(meta("iifname"), "eth\\*"),
        match(payload("tcp dport"), ["a"], "in"),
        match(payload("tcp dport"), True),
        match(payload("tcp dport"), {"strange": 1}),
        match(payload("tcp dport"), {"set": 5}),
        match(payload("ip saddr"), {"prefix": {"addr": "10.0.0.0", "len": 33}}),
        match(ct("state"), ["new", "nonsense"], "in"),
        match({"concat": [payload("ip saddr"), payload("tcp dport")]}, {"set": [{"concat": ["10.0.0.1"]}]}),
        match({"&": [meta("mark")]}, 1),
        match({"&": [meta("mark"), "x"]}, 1),
        match({"&": [meta("mark"), 1]}, {"set": ["x"]}),
        match({"meta": "mark"}, 1),
        match(5, 1),
        match(payload("tcp nonsense"), 1),
        match(ct("state"), ["established", "new"]),
        match(payload("ip saddr"), "node.example"),
        {"match": 5},
        {"xt": {"type": "match", "name": "conntrack"}},
    ],
    ids=str,
)
def test_what_only_the_kernel_knows_is_unsure(expression: Any) -> None:
    assert isinstance(read(expression)[-1], Unsure)


@pytest.mark.parametrize(
    "expression",
    [
        {"nonsense": None},
        {"queue": {"num": 3}},
        {"tproxy": {"port": 5}},
        {"jump": {"target": "missing"}},
        {"reject": {"type": "icmp", "expr": "nonsense"}},
        {"vmap": {"key": {"numgen": {"mod": 2}}, "data": {"set": []}}},
        {"vmap": {"key": payload("tcp dport"), "data": {"set": [[22, {"nonsense": None}]]}}},
        {"vmap": {"key": payload("tcp dport"), "data": {"set": [[22, "accept"]]}}},
        {"vmap": {"key": payload("tcp dport"), "data": "@missing"}},
        {"vmap": {"key": payload("tcp dport"), "data": 5}},
        {"xt": {"type": "target", "name": "REJECT"}},
        {"xt": None},
        "accept",
        {"accept": None, "drop": None},
    ],
    ids=str,
)
def test_what_is_not_understood_may_do_anything(expression: Any) -> None:
    assert isinstance(read(expression)[-1], Unclear)


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ({"mangle": {"key": meta("mark"), "value": {"jhash": {}}}}, (Field.MARK,)),
        ({"mangle": {"key": meta("mark"), "value": "x"}}, (Field.MARK,)),
        ({"mangle": {"key": meta("mark"), "value": {"^": [meta("mark"), meta("mark")]}}}, (Field.MARK,)),
        ({"mangle": {"key": {"payload": 5}, "value": 5}}, tuple(Field)),
        ({"mangle": 5}, tuple(Field)),
        ({"mangle": {"key": payload("ip daddr"), "value": "10.0.0.1"}}, (Field.DADDR,)),
        ({"mangle": {"key": payload("ip version"), "value": 4}}, tuple(Field)),
        ({"xt": {"type": "target", "name": "MARK"}}, (Field.MARK,)),
    ],
    ids=str,
)
def test_what_a_statement_rewrites_is_forgotten(expression: Any, fields: tuple[Field, ...]) -> None:
    (statement,) = read(expression)
    assert isinstance(statement, Forget)
    assert statement.fields == fields


def _table(**table: Any) -> str:
    return listing({"drop": None}).replace(
        '{"family": "inet", "name": "t"}', json.dumps({"family": "inet", "name": "t", **table})
    )


def test_a_dormant_table_hangs_on_no_hook() -> None:
    assert chain(_table(flags=["dormant"])).base is None


def test_flags_that_nft_prints_wrongly_leave_the_table_in_doubt() -> None:
    first, second = chain(_table(flags="t")).rules
    assert isinstance(first.statements[0], Unclear)
    assert second.number == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"nftables": 5}', "[" * 100_000, '{"nftables": ' + "1" * 5000 + "}"])
def test_a_text_that_is_no_listing_is_unread(text: str) -> None:
    assert parse(text).unread


@pytest.mark.parametrize(
    ("item", "word"),
    [
        (5, "5"),
        ({"chain": {}, "rule": {}}, "An object"),
        ({"rule": ["not", "a", "rule"]}, "a rule"),
        ({"chain": None}, "a chain"),
        ({"quantum": {}}, "a quantum"),
    ],
    ids=["a number", "two in one", "a rule that is a list", "a chain that is nothing", "a kind from tomorrow"],
)
def test_an_object_that_is_not_understood_leaves_the_listing_unread_and_the_rest_of_it_read(item: Any, word: str) -> None:
    given = json.loads(listing({"accept": None}))
    given["nftables"].append(item)
    found = parse(json.dumps(given))
    assert [word in each for each in found.unread] == [True]
    assert found.tables == parse(listing({"accept": None})).tables


@pytest.mark.parametrize("depth", [100, 350, 450, 480, 2000])
@pytest.mark.parametrize("place", ['"established"', '"input"', '"inet"', '"in"'])
def test_nesting_without_end_does_not_raise(depth: int, place: str) -> None:
    text = listing(match(ct("state"), "established", "in"))
    parse(text.replace(place, '{"|": [' * depth + '"new"' + "]}" * depth))


def test_a_rule_that_nests_too_deep_may_do_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def dive(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(parse_nft, "read_statement", dive)
    found = read({"accept": None})
    why = "the rule nests deeper than nft writes"
    assert found == (Forget((Field.MARK, Field.CT_MARK), "", why), Unclear("", why))


def test_a_named_set_is_translated_once_for_all_rules_that_ask_for_it() -> None:
    asks = match(payload("tcp dport"), "@ports")
    text = listing(asks, asks, sets=(("set", {"name": "ports", "elem": [22, 80]}),))
    _, first, second = chain(text).rules[0].statements
    assert first == Compare(Field.DPORT, Intervals(((22, 22), (80, 80))))
    assert isinstance(second, Compare)
    assert second.test is first.test


_KEYS = [
    "match", "op", "left", "right", "payload", "protocol", "field", "meta", "key", "ct", "set", "vmap", "data", "xt", "type",
    "name", "mangle", "value", "&", "|", "range", "prefix", "concat", "elem", "reject", "dnat", "jump", "target", "limit",
]  # fmt: skip
_WORDS = ["@s", "tcp", "ip", "new", "*", "lo", "input", "t"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(_WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_JSON, max_size=4), st.lists(_JSON, max_size=2), _JSON)
def test_no_listing_makes_it_raise(expressions: list[Any], objects: list[Any], elements: Any) -> None:
    data = json.loads(listing(*expressions, sets=(("set", {"name": "s", "elem": elements}),)))
    data["nftables"] += objects
    ruleset = parse(json.dumps(data))
    assert len(ruleset.tables[0].chains[0].rules[0].text) > -1
