"""MARK and CONNMARK: arithmetic on the packet's and the connection's mark (xt_mark.c, xt_connmark.c)."""

from agent.analysis.readers.iptables_options import Extension
from agent.analysis.readers.numerals import parse_masked, parse_number
from agent.model.packet import Field
from agent.model.ruleset import Action, CopyMark, Forget, SetMark

_ALL = 0xFFFFFFFF


def read_mark(target: Extension, _family: str) -> list[Action]:
    """`-j MARK` on the packet's mark."""
    return [_arithmetic(target, Field.MARK) or _forget(target, (Field.MARK,))]


def read_connmark(target: Extension, _family: str) -> list[Action]:
    """`-j CONNMARK`: arithmetic on the connection's mark, or a copy between the two."""
    first = target.options[0].name if target.options else ""
    if first not in ("--save-mark", "--restore-mark"):
        return [_arithmetic(target, Field.CT_MARK) or _forget(target, (Field.MARK, Field.CT_MARK))]
    masks = {"--nfmask": _ALL, "--ctmask": _ALL}
    for option in target.options[1:]:
        value = parse_number(option.value, _ALL)
        if value is None or option.name not in (*masks, "--mask"):
            return [_forget(target, (Field.MARK, Field.CT_MARK))]
        masks |= {"--nfmask": value, "--ctmask": value} if option.name == "--mask" else {option.name: value}
    if first == "--save-mark":
        return [CopyMark(Field.MARK, Field.CT_MARK, masks["--nfmask"], masks["--ctmask"])]
    return [CopyMark(Field.CT_MARK, Field.MARK, masks["--ctmask"], masks["--nfmask"])]


def _forget(target: Extension, fields: tuple[Field, ...]) -> Forget:
    return Forget(fields, str(target), f"{target} is not understood by this version")


def _arithmetic(target: Extension, field: Field) -> SetMark | None:
    """--set-mark, --set-xmark, --and-mark, --or-mark, --xor-mark; None for anything else."""
    if len(target.options) != 1:
        return None
    option = target.options[0]
    found = parse_masked(option.value)
    if found is None or option.negate:
        return None
    value, mask = found
    if option.name == "--set-mark":
        return SetMark(field, _ALL & ~(mask | value), value)
    if option.name == "--set-xmark":
        return SetMark(field, _ALL & ~mask, value)
    if "/" in option.value:
        return None
    steps = {"--and-mark": (value, 0), "--or-mark": (_ALL & ~value, value), "--xor-mark": (_ALL, value)}
    return SetMark(field, *steps[option.name]) if option.name in steps else None
