"""nft's JSON in a few words, for the tests of its reader."""

import json
from typing import Any

from agent.analysis.readers.parse_nft import parse
from agent.model.packet import Field
from agent.model.ruleset import (
    Chain,
    Compare,
    Intervals,
    Statement,
)

IPV4 = Compare(Field.NFPROTO, Intervals(((2, 2),)))

IPV6 = Compare(Field.NFPROTO, Intervals(((10, 10),)))

TCP = Compare(Field.PROTOCOL, Intervals(((6, 6),)))

ALL = 0xFFFFFFFF


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
