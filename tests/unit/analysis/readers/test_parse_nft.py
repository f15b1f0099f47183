"""nft's JSON, statement by statement."""

from typing import Any

import pytest

from agent.analysis.readers.iptables_matches import TRACKED
from agent.model.packet import Field
from agent.model.ruleset import (
    Accept,
    AnyBit,
    AnyOf,
    Base,
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
    Unsure,
    VerdictMap,
    Words,
)
from tests.unit.analysis.readers.listings import ALL, IPV4, IPV6, TCP, chain, ct, listing, match, meta, payload, read, span


def test_a_base_chain_and_its_rule() -> None:
    text = listing(match(payload("tcp dport"), 22), {"counter": {"packets": 3, "bytes": 180}}, {"accept": None}, comment="hi")
    assert chain(text).base == Base("filter", Hook.INPUT, -10, "drop")
    assert chain(text).rules == (
        Rule(
            1,
            'tcp dport 22 counter accept comment "hi"',
            (TCP, span(Field.DPORT, 22, 22), Accept()),
            handle=7,
            counter=Counter(3, 180),
            comment="hi",
        ),
    )


@pytest.mark.parametrize(
    ("expression", "statements"),
    [
        (match(payload("tcp dport"), 22, "!="), (TCP, span(Field.DPORT, 22, 22, True))),
        (match(payload("tcp dport"), 1024, ">="), (TCP, span(Field.DPORT, 1024, 65535))),
        (match(payload("tcp dport"), 1024, "<"), (TCP, span(Field.DPORT, 0, 1023))),
        (match(payload("tcp dport"), {"range": [80, 90]}), (TCP, span(Field.DPORT, 80, 90))),
        (match(payload("tcp dport"), {"set": [22, {"range": [23, 25]}]}), (TCP, span(Field.DPORT, 22, 25))),
        (match(payload("tcp sport"), "ssh"), (TCP, span(Field.SPORT, 22, 22))),
        (match(payload("th dport"), 53), (span(Field.DPORT, 53, 53),)),
        (
            match(payload("ip saddr"), {"prefix": {"addr": "10.0.0.0", "len": 8}}),
            (IPV4, span(Field.SADDR, 10 << 24, (11 << 24) - 1)),
        ),
        (match(payload("ip6 daddr"), "::1"), (IPV6, span(Field.DADDR, 1, 1))),
        (
            match({"&": [payload("ip saddr"), "255.0.255.0"]}, "10.0.1.0"),
            (IPV4, Compare(Field.SADDR, Masked(0xFF00FF00, 0x0A000100))),
        ),
        (match(payload("ip protocol"), "tcp"), (IPV4, TCP)),
        (
            match(payload("icmpv6 type"), "nd-neighbor-solicit"),
            (IPV6, span(Field.PROTOCOL, 58, 58), span(Field.ICMP_TYPE, 135, 135)),
        ),
        (match(payload("icmp code"), "host-prohibited"), (IPV4, span(Field.PROTOCOL, 1, 1), span(Field.ICMP_CODE, 10, 10))),
        (match(meta("l4proto"), {"set": ["tcp", "udp"]}), (Compare(Field.PROTOCOL, Intervals(((6, 6), (17, 17)))),)),
        (match(meta("nfproto"), "ipv6"), (IPV6,)),
        (match(meta("protocol"), "ip"), (IPV4,)),
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
        (match(payload("tcp flags"), "syn", "in"), (TCP, Compare(Field.TCP_FLAGS, Masked(2, 0), negate=True))),
        (match(payload("tcp flags"), "syn", "!"), (TCP, Compare(Field.TCP_FLAGS, Masked(2, 0)))),
        # `meta mark & 0 == 15`, as nft prints it: never
        (match({"meta": {"key": "mark"}}, {"prefix": {"addr": 15, "len": 0}}), (Compare(Field.MARK, Intervals(())),)),
        (
            match({"&": [payload("tcp flags"), ["fin", "syn", "rst", "ack"]]}, "syn"),
            (TCP, Compare(Field.TCP_FLAGS, Masked(23, 2))),
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
        (match({"&": [payload("ip frag-off"), 8191]}, 0, "!="), (IPV4, span(Field.FRAGMENT, 1, 1))),
        (
            match({"concat": [payload("ip saddr"), payload("tcp dport")]}, {"set": [{"concat": ["0.0.0.1", 22]}]}),
            (IPV4, TCP, Lookup((Field.SADDR, Field.DPORT), ((Intervals(((1, 1),)), Intervals(((22, 22),))),))),
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
        ("ipv4_addr", ["*"], span(Field.SADDR, 0, ALL)),
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
    assert read(data, sets=(("map", {"name": "m", "elem": entries}),)) == (TCP, VerdictMap((Field.DPORT,), expected))


@pytest.mark.parametrize(
    ("expression", "statements"),
    [
        ({"drop": None}, (Drop(),)),
        ({"return": None}, (Return(),)),
        ({"continue": None}, (Pass("continue"),)),
        ({"jump": {"target": "other"}}, (Jump("other"),)),
        ({"reject": None}, (Reject("icmpx-port-unreachable"),)),
        ({"reject": {"type": "icmpx", "expr": "admin-prohibited"}}, (Reject("icmpx-admin-prohibited"),)),
        ({"reject": {"type": "icmp", "expr": "host-prohibited"}}, (IPV4, Reject("icmp-host-prohibited"))),
        ({"reject": {"type": "icmpv6", "expr": "admin-prohibited"}}, (IPV6, Reject("icmp6-adm-prohibited"))),
        ({"reject": {"type": "tcp reset"}}, (TCP, Reject("tcp-reset"))),
        ({"mangle": {"key": meta("mark"), "value": 1}}, (SetMark(Field.MARK, 0, 1),)),
        ({"mangle": {"key": meta("mark"), "value": {"|": [meta("mark"), 4]}}}, (SetMark(Field.MARK, ALL & ~4, 4),)),
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
        ({"dnat": {"family": "ip", "addr": "10.0.0.1", "port": 80}}, (IPV4, Translate("dnat", "10.0.0.1", 80))),
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


def test_a_named_set_is_translated_once_for_all_rules_that_ask_for_it() -> None:
    asks = match(payload("tcp dport"), "@ports")
    text = listing(asks, asks, sets=(("set", {"name": "ports", "elem": [22, 80]}),))
    _, first, second = chain(text).rules[0].statements
    assert first == Compare(Field.DPORT, Intervals(((22, 22), (80, 80))))
    assert isinstance(second, Compare)
    assert second.test is first.test
