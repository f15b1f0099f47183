"""nft's `match` statements and the lookup half of verdict maps, from JSON to tests."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from agent.analysis.readers.intervals import between, exactly, masked
from agent.analysis.readers.nft_keys import Key, read_key
from agent.analysis.readers.nft_text import render, render_statement
from agent.analysis.readers.nft_values import read_number, read_test, unwrapped
from agent.model.packet import Field
from agent.model.ruleset import AnyBit, AnyOf, Compare, Lookup, Match, Names, Test, Unsure

_Made = TypeVar("_Made")
_OFFSET_MASK = 0x1FFF  # ip frag-off: what is not a flag is the fragment's offset


class Sets:
    """The named sets and maps of one table, each translated once per kind of key that asks for it."""

    def __init__(self, elements: Mapping[str, Any], family: str) -> None:
        """`elements` has the raw JSON elements by set or map name; `family` is the table's."""
        self.family = family
        self._elements = elements
        self._made: dict[object, Any] = {}

    def raw(self, data: Any) -> list[Any] | None:
        """The elements of an anonymous set or of `@name`. None when there is no such set."""
        if isinstance(data, str) and data.startswith("@"):
            data = self._elements.get(data[1:])
        elif isinstance(data, dict):
            data = data.get("set")
        return data if isinstance(data, list) else None

    def read(self, data: Any, keys: tuple[Key, ...]) -> tuple[tuple[Test, ...], ...] | None:
        """The elements as tests, one per key. None when the set or one element is not understood."""
        if isinstance(data, str):
            return self.once(("set", data, keys), lambda: self._elements_of(self.raw(data), keys))
        return self._elements_of(self.raw(data), keys)

    def once(self, name: object, make: Callable[[], _Made]) -> _Made:
        """What `make` gives, made once under that name: many rules may ask for one large set."""
        if name not in self._made:
            self._made[name] = make()
        made: _Made = self._made[name]
        return made

    def _elements_of(self, raw: list[Any] | None, keys: tuple[Key, ...]) -> tuple[tuple[Test, ...], ...] | None:
        if raw is None:
            return None
        if len(keys) == 1:
            test = _test([unwrapped(each) for each in raw], keys[0]) if raw else None
            return () if not raw else None if test is None else ((test,),)
        found = [read_element(each, keys) for each in raw]
        known = tuple(each for each in found if each is not None)
        return known if len(known) == len(found) else None


def read_keys(expression: Any, family: str) -> tuple[Key, ...] | None:
    """The keys of `ip saddr . tcp dport`, or the one key. None when one of them is not understood."""
    parts = expression.get("concat") if isinstance(expression, dict) else None
    keys = [read_key(each, family) for each in (parts if isinstance(parts, list) else [expression])]
    known = tuple(key for key in keys if key is not None)
    return known if known and len(known) == len(keys) else None


def implied_by(keys: Sequence[Key]) -> list[Match]:
    """The tests that hold before the keys can be read, each once."""
    return list(keys[0].implied) if len(keys) == 1 else list(dict.fromkeys(test for key in keys for test in key.implied))


def read_element(element: Any, keys: tuple[Key, ...]) -> tuple[Test, ...] | None:
    """One element of a set as one test per key. None when it is not understood."""
    value = unwrapped(element)
    if len(keys) > 1:
        values = value.get("concat") if isinstance(value, dict) else ["*"] * len(keys) if value == "*" else None
        if not isinstance(values, list) or len(values) != len(keys):
            return None
    else:
        values = [value]
    tests = [_test([each], key) for each, key in zip(values, keys, strict=True)]
    known = tuple(test for test in tests if test is not None)
    return known if len(known) == len(tests) else None


def _test(values: list[Any], key: Key) -> Test | None:
    test = read_test(values, key.kind)
    if key.literal and isinstance(test, Names) and any(each.endswith("*") for each in test.patterns):
        return None
    return test


def read_match(body: Any, sets: Sets) -> list[Match]:
    """A `match` statement as tests; `Unsure` when its key, operator or value is not understood."""
    if isinstance(body, dict):
        found = _read(body.get("op"), body.get("left"), body.get("right"), sets)
        if found is not None:
            return found
    text = render_statement({"match": body})
    return [Unsure(text, f"{text} asks for what only the kernel knows, or is not understood by this version")]


def _read(operator: Any, left: Any, right: Any, sets: Sets) -> list[Match] | None:
    if isinstance(left, dict) and "&" in left:
        return _read_masked(operator, left["&"], right, sets)
    keys = read_keys(left, sets.family)
    if keys is None:
        return None
    match: Match | None
    if operator in ("==", "!=") and (len(keys) > 1 or _is_set(right)):
        elements = sets.read(right, keys)
        match = None if elements is None else _looked_up(keys, elements, operator == "!=")
    else:
        match = _compare(operator, keys[0], right) if len(keys) == 1 else None
    return None if match is None else [*implied_by(keys), match]


def _is_set(right: Any) -> bool:
    return (isinstance(right, str) and right.startswith("@")) or (isinstance(right, dict) and "set" in right)


def _looked_up(keys: tuple[Key, ...], elements: tuple[tuple[Test, ...], ...], negate: bool) -> Match:
    if len(keys) == 1 and len(elements) == 1:
        return Compare(keys[0].field, elements[0][0], negate)
    return Lookup(tuple(key.field for key in keys), elements, negate)


def _compare(operator: Any, key: Key, right: Any) -> Match | None:
    if operator in ("in", "!"):
        bits = read_number(right, key.kind) if key.kind.flags else None
        if bits and key.field is Field.TCP_FLAGS:  # the same test as `--tcp-flags ... NONE`, so that the two readings are alike
            return Compare(key.field, masked(0, bits, key.kind.bits), operator == "in")
        return None if not bits else Compare(key.field, AnyBit(bits), operator == "!")
    if operator in ("==", "!="):
        # `== a,b` on flags would be a list, which nft means as "any of": only a single value is sure.
        test = None if isinstance(right, list) else _test([right], key)
        return None if test is None else Compare(key.field, test, operator == "!=")
    value = read_number(right, key.kind)
    if value is None or not isinstance(operator, str):
        return None
    limit = (1 << key.kind.bits) - 1
    spans = {"<": (0, value - 1), "<=": (0, value), ">": (value + 1, limit), ">=": (value, limit)}
    return Compare(key.field, between(*spans[operator])) if operator in spans else None


def _read_masked(operator: Any, operands: Any, right: Any, sets: Sets) -> list[Match] | None:
    """`key & mask` against a value, or against a set of values."""
    if not isinstance(operands, list) or len(operands) != 2 or operator not in ("==", "!="):
        return None
    fragment = _fragment(operands, right, sets.family)
    if fragment is not None:
        return [*fragment, Compare(Field.FRAGMENT, exactly(1), operator == "==")]
    key = read_key(operands[0], sets.family)
    mask = None if key is None else read_number(operands[1], key.kind)
    if key is None or mask is None:
        return None
    if isinstance(right, str) and right.startswith("@"):
        known = sets.once(("masked", right, key, mask), lambda: _masked(key, mask, sets.raw(right)))
    else:
        known = _masked(key, mask, sets.raw(right) if _is_set(right) else [right])
    if known is None:
        return None
    negate = operator == "!="
    match = Compare(key.field, known[0].test, negate) if len(known) == 1 else AnyOf(known, negate)
    return [*implied_by([key]), match]


def _masked(key: Key, mask: int, values: list[Any] | None) -> tuple[Compare, ...] | None:
    """One test for each value; None when one of them is not understood."""
    numbers = [read_number(unwrapped(each), key.kind) for each in values or ()]
    known = tuple(Compare(key.field, masked(each, mask, key.kind.bits)) for each in numbers if each is not None)
    return None if values is None or len(known) != len(numbers) else known


def _fragment(operands: list[Any], right: Any, family: str) -> list[Match] | None:
    """`ip frag-off & 0x1fff` against 0: how nft asks for later fragments. The family's own test, or None for anything else."""
    if render(operands[0]) != "ip frag-off" or operands[1] != _OFFSET_MASK or right != 0 or isinstance(right, bool):
        return None
    key = read_key({"payload": {"protocol": "ip", "field": "protocol"}}, family)
    return None if key is None else list(key.implied)
