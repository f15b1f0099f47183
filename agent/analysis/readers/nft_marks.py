"""nft's `... set ...` statements: arithmetic on marks, and what other writes make unknown."""

from typing import Any

from agent.analysis.readers.nft_keys import read_key
from agent.analysis.readers.nft_text import render, render_statement
from agent.model.packet import Field
from agent.model.ruleset import Action, CopyMark, Forget, Pass, SetMark

_ALL = 0xFFFFFFFF
_DEEP = 20  # operators that nft chains for one mark are two or three
# Writes that no rule here asks about afterwards.
_HARMLESS = {
    "meta nftrace", "meta priority", "meta secmark", "ct label", "ct event", "ct secmark", "ct helper", "ct zone", "ip ecn",
    "ip6 ecn", "tcp option maxseg size",
}  # fmt: skip
_MARKS = {"meta mark": Field.MARK, "ct mark": Field.CT_MARK}


def read_write(body: Any, family: str) -> list[Action]:
    """A `mangle` statement: what it does to a mark, or which field is not known afterwards."""
    text = render_statement({"mangle": body})
    if not isinstance(body, dict):
        return [Forget(tuple(Field), text, f"{text} is not understood by this version")]
    target = render(body.get("key"))
    if target in _MARKS:
        return _read_mark(_MARKS[target], body.get("value"), text)
    if target in _HARMLESS:
        return [Pass(text)]
    key = read_key(body.get("key"), family)
    return [Forget(tuple(Field) if key is None else (key.field,), text, f"{text} rewrites the packet")]


def _read_mark(target: Field, value: Any, text: str) -> list[Action]:
    found = _arithmetic(value, _DEEP)
    if found is None:
        return [Forget((target,), text, f"what {text} writes is not understood by this version")]
    source, keep, flip = found
    if source in (None, target):
        return [SetMark(target, keep if source else 0, flip)]
    copied: list[Action] = [CopyMark(source, target, keep, _ALL)] if source else []
    return [*copied, SetMark(target, _ALL, flip)] if flip else copied


def _arithmetic(value: Any, depth: int) -> tuple[Field | None, int, int] | None:
    """A value as `(source & keep) ^ flip`, the source None for a constant. None when it is anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _ALL:
        return None, 0, value
    if not isinstance(value, dict) or len(value) != 1 or depth == 0:
        return None
    source = _MARKS.get(render(value))
    if source is not None:
        return source, _ALL, 0
    operator, operands = next(iter(value.items()))
    if not isinstance(operands, list) or len(operands) != 2:
        return None
    left, right = _arithmetic(operands[0], depth - 1), _arithmetic(operands[1], depth - 1)
    if left is None or right is None or right[0] is not None:
        return None
    source, keep, flip = left
    steps = {
        "&": (keep & right[2], flip & right[2]),
        "|": (keep & ~right[2] & _ALL, (flip & ~right[2] & _ALL) | right[2]),
        "^": (keep, flip ^ right[2]),
    }
    return (source, *steps[operator]) if operator in steps else None
