"""What a listing holds that is not understood: it is never dropped, never guessed, and never raises."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.analysis.readers import parse_nft
from agent.analysis.readers.parse_nft import parse
from agent.model.packet import Field
from agent.model.ruleset import (
    Forget,
    Unclear,
)
from tests.unit.analysis.readers.listings import chain, ct, listing, match, payload, read


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
