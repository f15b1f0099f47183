"""nft's own JSON made loadable, and what is read off it afterwards."""

import json

import pytest

from agent.host import twin_nft
from agent.model.twin import TwinRule

FW = ("inet", "fw")


def match(value):
    return {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": value}}


def rule(*expr, chain="in", table="fw", **more):
    return {"rule": {"family": "inet", "table": table, "chain": chain, "handle": 9, "expr": list(expr), **more}}


def listing(*items):
    table = {"table": {"family": "inet", "name": "fw", "handle": 1, "flags": ["owner"]}}
    base = {"type": "filter", "hook": "input", "prio": 0, "policy": "drop"}
    chain = {"chain": {"family": "inet", "table": "fw", "name": "in", "handle": 2, **base}}
    return twin_nft.read(json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, table, *items, chain]}))


@pytest.mark.parametrize("text", ["{}", "[]", '{"nftables": 3}', '{"nftables": [{}]}', "no JSON", '{"nftables": ["x"]}'])
def test_what_is_no_listing_is_an_error(text):
    with pytest.raises(ValueError):  # noqa: PT011  either JSON's own or ours
        twin_nft.read(text)


def test_chains_come_before_rules_and_nothing_of_the_node_is_kept():
    objects = listing(rule({"counter": {"packets": 5, "bytes": 9}}, match(10250), {"drop": None}))
    prepared = list(twin_nft._prepared(objects))
    assert [kind for kind, _ in prepared] == ["table", "chain", "rule", "rule"]
    assert all("handle" not in body for _, body in prepared)
    assert prepared[0][1]["flags"] == []
    zero = {"counter": {"packets": 0, "bytes": 0}}
    assert prepared[2][1]["expr"] == [match(10250), zero, {"drop": None}]
    assert prepared[3][1]["expr"] == [zero]


@pytest.mark.parametrize(
    ("expr", "counting"),
    [
        ([], [-1]),
        ([{"counter": "named"}], [{"counter": "named"}, -1]),
        ([{"log": None}], [{"log": None}, -1]),
        ([{"jump": {"target": "x"}}], [-1, {"jump": {"target": "x"}}]),
    ],
)
def test_every_rule_counts_directly_before_its_last_word(expr, counting):
    assert twin_nft._counting(expr) == [twin_nft._ZERO if item == -1 else item for item in counting]


def test_rules_and_policies_that_counted_are_named():
    one = {"counter": {"packets": 1, "bytes": 60}}
    objects = listing(rule(match(22), {"accept": None}), rule(match(1), one, {"drop": None}), rule(one, comment=twin_nft._MARK))
    found = list(twin_nft.counted(objects, [FW]))
    place = {"backend": "nft", "family": "inet", "table": "fw", "chain": "in"}
    assert found == [TwinRule(**place, rule_number=2), TwinRule(**place, policy=True)]
    assert twin_nft.ending_of(objects, found[0]) == {"drop": None}
    assert twin_nft.ending_of(objects, found[1]) == {"drop": None}
    assert twin_nft.ending_of(objects, TwinRule(**place, rule_number=7)) == {}


XT = {"xt": {"type": "match", "name": "comment"}}


@pytest.mark.parametrize(
    ("there", "differ"),
    [
        ([rule(XT, match(22))], False),
        ([rule(XT, match(22), {"counter": {"packets": 3, "bytes": 1}})], False),
        ([rule(match(22), XT, {"accept": None})], False),
        ([rule(XT, match(23))], True),
        ([], True),
        ([rule(XT, match(22)), rule(match(22))], True),
    ],
)
def test_what_a_rule_shows_must_stand_in_the_twin_too(there, differ):
    found = list(twin_nft.differences(listing(rule(XT, match(22))), listing(*there), FW))
    assert bool(found) is differ


def test_a_rule_that_hides_nothing_must_be_equal_and_a_chain_always():
    assert list(twin_nft.differences(listing(rule(match(22))), listing(rule(match(22), XT)), FW))
    assert list(twin_nft.differences(listing(), (), FW)) == [
        "a chain of the table inet fw reads otherwise once it is loaded again"
    ]


def test_names_that_rules_hold_by_index_are_found():
    by_index = {"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": {"set": ["eth0", "eth1"]}}}
    by_name = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth2"}}
    assert list(twin_nft.looks_up(listing(rule(by_index), rule(by_name, match(1))))) == ["eth0", "eth1"]


def test_hooks_before_the_ip_layer_are_outside():
    ingress = {"chain": {"family": "netdev", "table": "n", "name": "c", "hook": "ingress", "dev": "cni0"}}
    bridge = {"chain": {"family": "bridge", "table": "b", "name": "c", "hook": "input"}}
    objects = listing(ingress, bridge)
    assert len(list(twin_nft.outside(objects, "cni0", ["veth1"]))) == 2
    assert len(list(twin_nft.outside(objects, "cni0", []))) == 1
    assert not list(twin_nft.outside(objects, "eth0", []))


def test_words_that_remember_are_named():
    assert twin_nft.remembering(listing(rule({"limit": {"rate": 5, "per": "second"}}))) == ("limit",)
