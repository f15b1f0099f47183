"""nft's JSON has no text, but people must recognise a rule: one readable line each, close to what `nft list` prints."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_DEEP = 40  # nft nests a handful of levels; beyond that somebody plays


def render_rule(expressions: Sequence[Any], comment: str = "") -> str:
    """The statements of a rule as one line; never raises."""
    found = [render_statement(each) for each in expressions]
    return " ".join([*found, f'comment "{comment}"'] if comment else found)


def render_statement(statement: Any) -> str:
    """One statement, such as `tcp dport 22` or `reject with icmp host-prohibited`; numbers that move by themselves (counters,
    used quota) are left out, so that a rule has the same text in every reading.
    """
    if not isinstance(statement, dict) or len(statement) != 1:
        return _plain(statement)
    name, body = next(iter(statement.items()))
    write = _STATEMENTS.get(name)
    if write is not None and isinstance(body, dict):
        return write(name, body)
    return f"{name} {_pairs(body)}".strip()


def render(expression: Any, depth: int = 0) -> str:
    """One expression: a key such as `ip saddr`, or a value such as `{ 22, 80-90 }`."""
    if isinstance(expression, list) and depth < _DEEP:
        return ",".join(render(each, depth + 1) for each in expression)
    if not isinstance(expression, dict) or len(expression) != 1 or depth >= _DEEP:
        return _plain(expression)
    name, body = next(iter(expression.items()))
    if name in _JOINED and isinstance(body, list):
        return _JOINED[name].join(render(each, depth + 1) for each in body)
    if name == "set" and isinstance(body, list):
        return "{ " + ", ".join(_element(each, depth + 1) for each in body) + " }"
    write = _EXPRESSIONS.get(name)
    if write is not None and isinstance(body, dict):
        return write(body, depth + 1)
    return f"{name} {_pairs(body)}".strip()


def _plain(value: Any) -> str:
    if isinstance(value, bool):  # nft writes these words where its JSON has true and false
        return "exists" if value else "missing"
    return value if isinstance(value, str) else json.dumps(value)


def _pairs(body: Any) -> str:
    if isinstance(body, dict):
        return " ".join(f"{key} {_plain(value)}" for key, value in body.items())
    return "" if body is None else _plain(body)


def _element(element: Any, depth: int) -> str:
    if isinstance(element, list) and len(element) == 2:
        return f"{render(element[0], depth)} : {render(element[1], depth)}"
    return render(element, depth)


def _match(_name: str, body: Mapping[str, Any]) -> str:
    operator = body.get("op")
    middle = "" if operator in ("==", "in") else f"{operator} "
    return f"{render(body.get('left'))} {middle}{render(body.get('right'))}"


def _vmap(name: str, body: Mapping[str, Any]) -> str:
    return f"{render(body.get('key'))} {name} {render(body.get('data'))}"


def _mangle(_name: str, body: Mapping[str, Any]) -> str:
    return f"{render(body.get('key'))} set {render(body.get('value'))}"


def _reject(name: str, body: Mapping[str, Any]) -> str:
    return f"{name} with {' '.join(map(_plain, body.values()))}"


def _limit(name: str, body: Mapping[str, Any]) -> str:
    over = "over " if body.get("inv") else ""
    return f"{name} rate {over}{_plain(body.get('rate'))}/{_plain(body.get('per'))} burst {_plain(body.get('burst'))}"


def _translate(name: str, body: Mapping[str, Any]) -> str:
    address = render(body["addr"]) if "addr" in body else ""
    port = f":{render(body['port'])}" if "port" in body else ""
    return f"{name} to {address}{port}" if address or port else name


def _jump(name: str, body: Mapping[str, Any]) -> str:
    return f"{name} {_plain(body.get('target'))}"


def _xt(name: str, body: Mapping[str, Any]) -> str:
    return f"{name} {_plain(body.get('type'))} {_plain(body.get('name'))}"


def _meta(body: Mapping[str, Any], _depth: int) -> str:
    key = _plain(body.get("key"))
    return key if key.startswith(("iif", "oif")) else f"meta {key}"


def _option(body: Mapping[str, Any], _depth: int) -> str:
    return " ".join(_plain(each) for each in ("tcp option", body.get("name"), body.get("field")) if each is not None)


def _ct(body: Mapping[str, Any], _depth: int) -> str:
    return " ".join(_plain(each) for each in ("ct", body.get("dir"), body.get("key")) if each is not None)


def _payload(body: Mapping[str, Any], _depth: int) -> str:
    known = "protocol" in body and "field" in body
    return f"{_plain(body['protocol'])} {_plain(body['field'])}" if known else f"payload {_pairs(body)}"


def _fib(body: Mapping[str, Any], _depth: int) -> str:
    flags = body.get("flags")
    joined = " . ".join(map(_plain, flags)) if isinstance(flags, list) else _plain(flags)
    return f"fib {joined} {_plain(body.get('result'))}"


def _map(body: Mapping[str, Any], depth: int) -> str:
    return f"{render(body.get('key'), depth)} map {render(body.get('data'), depth)}"


_STATEMENTS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "counter": lambda name, _body: name,
    "last": lambda name, _body: name,
    "quota": lambda name, body: f"{name} {_pairs({key: value for key, value in body.items() if key != 'used'})}",
    "dnat": _translate,
    "goto": _jump,
    "jump": _jump,
    "limit": _limit,
    "mangle": _mangle,
    "match": _match,
    "redirect": _translate,
    "reject": _reject,
    "snat": _translate,
    "vmap": _vmap,
    "xt": _xt,
}
_EXPRESSIONS: dict[str, Callable[[Mapping[str, Any], int], str]] = {
    "ct": _ct,
    "elem": lambda body, depth: render(body.get("val"), depth),
    "fib": _fib,
    "goto": lambda body, _depth: _jump("goto", body),
    "jump": lambda body, _depth: _jump("jump", body),
    "map": _map,
    "meta": _meta,
    "payload": _payload,
    "tcp option": _option,
    "prefix": lambda body, _depth: f"{_plain(body.get('addr'))}/{_plain(body.get('len'))}",
}
_JOINED = {"&": " & ", "|": " | ", "^": " ^ ", "<<": " << ", ">>": " >> ", "range": "-", "concat": " . "}
