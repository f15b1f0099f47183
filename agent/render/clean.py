"""Strangers' bytes, made harmless for a terminal: rule comments, chain names and process names are attacker-controlled.

A pod with NET_ADMIN can put newlines and escape sequences into a rule's comment, and iptables-save prints them raw.
"""

import unicodedata

# Control, format (bidirectional overrides, zero width), surrogate (undecodable bytes), private and unassigned characters.
_HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def clean(text: str) -> str:
    """The same text on one line, with every character that could steer a terminal written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) if _is_harmful(character) else character for character in text)


def _is_harmful(character: str) -> bool:
    return unicodedata.category(character) in _HARMFUL


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: an undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
