"""Numbers as firewall tools print them: decimal, 0x hex and octal, as C's `strtoul(..., 0)` reads them. Never raises."""

import re

# Twenty digits hold any 64-bit counter; more is not a number that a kernel printed.
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")
_BASES = {"0x": 16, "0X": 16}


def parse_number(text: str, limit: int = 0xFFFFFFFFFFFFFFFF) -> int | None:
    """The value of `text` when it is a number between 0 and `limit`, else None. A leading zero means octal."""
    if len(text) < 6 and text.isdecimal() and text.isascii() and text[0] != "0":  # the common case, a port or a small count
        value = int(text)
        return value if value <= limit else None
    if not _NUMBER.fullmatch(text):
        return None
    base = _BASES.get(text[:2]) or (8 if len(text) > 1 and text[0] == "0" else 10)
    if base == 8 and ("8" in text or "9" in text):
        return None
    value = int(text, base)
    return value if value <= limit else None


def parse_masked(text: str) -> tuple[int, int] | None:
    """`value[/mask]` of 32 bits as (value, mask); a missing mask is all ones. None when it is neither."""
    value, slash, mask = text.partition("/")
    found = parse_number(value, 0xFFFFFFFF), parse_number(mask, 0xFFFFFFFF) if slash else 0xFFFFFFFF
    return None if found[0] is None or found[1] is None else (found[0], found[1])
