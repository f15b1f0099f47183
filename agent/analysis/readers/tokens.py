"""Cuts the text of iptables-save and `iptables -S` into lines and words.

A rule's comment is a stranger's text that the tools print raw: it may hold newlines, so that a line is not a rule. A quoted
string therefore ends at its quote and nowhere else; only a quote that opens a word counts, as only those are printed.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# Each character is looked at once, however hostile the text: classes are possessive, and a group that repeats can match in one
# way only. No group is possessive: Python before 3.11.5 (Debian 12 has 3.11.2) loses what one matched (python/cpython#106052).
QUOTED = r'"(?:[^"\\]++|\\.)*"'
_ANY_LINE = rf'[ \t]*+[-\[](?:[^"\n]++|(?<=[ \t]){QUOTED}|")*|[^\n]++'
_LINE = re.compile(_ANY_LINE, re.DOTALL)
# Rules of one chain stand together in what the tools save, so nearly all of a large text is a few such stretches.
_COUNTS = r"(?:\[\d++:\d++\] )?"
_REST = rf'(?:[^"\n]++|(?<=[ \t]){QUOTED})*(?:\n|\Z)'
_STRETCH = re.compile(rf"{_COUNTS}-A (\S++) {_REST}(?:{_COUNTS}-A \1 {_REST})*|{_ANY_LINE}", re.DOTALL)
# Only these three part words, as in iptables-restore; Unicode has more blanks, and chain names may hold them.
_WORD = re.compile(rf"{QUOTED}(?=[ \t\n]|$)|[^ \t\n]++", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Stretch(NamedTuple):
    """A piece of a text, from `start` to `end`, that begins in line `number`: rules of one chain, or one line of any kind.

    `chain` is empty where it is such a line.
    """

    number: int
    start: int
    end: int
    chain: str


def stretches(text: str) -> Iterator[Stretch]:
    """All that `logical_lines` gives, uncut where rules of one chain follow each other."""
    number, at = 1, 0
    for found in _STRETCH.finditer(text):
        start, end = found.span()
        number += text.count("\n", at, start)
        at = start
        yield Stretch(number, start, end, found[1] or "")


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Every line that is not empty as (line number from 1, text), stripped; a quoted string keeps a rule's lines together."""
    number, at = 1, 0
    for found in _LINE.finditer(text):
        start = found.start()
        number += text.count("\n", at, start)
        at = start
        line = found[0].strip(" \t\r")
        if line:
            yield number, line


def words(line: str) -> list[str]:
    """The words of a line. A quoted word keeps its quotes, so that it is never taken for an option: see `unquoted`."""
    found: list[str] = _WORD.findall(line)
    return found


def without_words(line: str, at: int, count: int) -> str:
    """The line without the `count` words from the one at `at` on, of which there must be one before."""
    ends = [found.end() for found in _WORD.finditer(line)]
    return line[: ends[at - 1]] + line[ends[at + count - 1] :]


def unquoted(word: str) -> str:
    """The word without its quotes and backslash escapes, as iptables-restore reads it."""
    if len(word) < 2 or word[0] != '"' or word[-1] != '"':
        return word
    return _ESCAPED.sub(r"\1", word[1:-1]) if "\\" in word else word[1:-1]
