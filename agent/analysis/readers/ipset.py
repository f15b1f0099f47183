"""Reads `ipset save`: which sets exist, of which type, and their entries as they stand in the text.

A set's name and an entry's comment are strangers' bytes that ipset prints raw: names may hold blanks, quotes and newlines,
comments newlines. So a statement is recognised as a whole, from its first word to its last option, and not by where lines end.
Entries are understood by ipset_members.py, and only those of sets that a rule asks for.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Every type of ipset(8), with its dimensions; IPv4 is meant where a type with addresses has no family.
KINDS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(kind.partition(":")[2].split(","))
    for kind in (
        "bitmap:ip", "bitmap:ip,mac", "bitmap:port", "hash:ip", "hash:net", "hash:net,net", "hash:ip,port", "hash:net,port",
        "hash:ip,port,ip", "hash:ip,port,net", "hash:net,port,net", "hash:net,iface", "hash:mac", "hash:ip,mac", "hash:ip,mark",
        "list:set",
    )
}  # fmt: skip
_ANY_FAMILY = {"bitmap:port", "hash:mac", "list:set"}
_FAMILIES = {"inet": "ip", "inet6": "ip6"}
# IPSET_MAXNAMELEN of include/uapi/linux/netfilter/ipset/ip_set.h, without the zero at the end.
_LONGEST_NAME = 31
_NAME = rf".{{1,{_LONGEST_NAME}}}?"
_TYPES = "|".join(sorted(KINDS, key=len, reverse=True))
_END = r"[ \t]*+\r?(?:\n|\Z)"
_CREATE_FLAGS = {"counters", "comment", "skbinfo", "forceadd"}
_CREATE_VALUES = "family|range|netmask|bitmask|markmask|hashsize|maxelem|timeout|bucketsize|initval|size"
_CREATE = re.compile(
    rf'create ({_NAME}) ({_TYPES})((?: (?:(?:{_CREATE_VALUES}) [^\s"]+|{"|".join(sorted(_CREATE_FLAGS))}))*){_END}', re.DOTALL
)
_ADD_VALUES = "timeout|packets|bytes|skbmark|skbprio|skbqueue"
_ADD_OPTIONS = rf'((?: (?:(?:{_ADD_VALUES}) [^\s"]+|nomatch|wildcard|comment "[^"]*"))*){_END}'
_ENTRY = re.compile(r'[^\s"]+')
_OPTIONS = re.compile(_ADD_OPTIONS)
_COMMENT = re.compile(r' comment "[^"]*"')
_IDLE = re.compile(rf"[ \t]*+(?:#[^\n]*)?{_END}")


class Entry(NamedTuple):
    """One `add`. `nomatch`: what it covers is not in the set. `wildcard`: its interface is the start of a name."""

    text: str
    nomatch: bool = False
    wildcard: bool = False


@dataclass(frozen=True, slots=True)
class Ipset:
    """One set. `family` is `ip`, `ip6`, or empty for a type that has none; `options` are those of `create`, flags left out."""

    name: str
    kind: str
    family: str
    options: Mapping[str, str]
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Ipsets:
    """The sets by name. `problems` has a sentence for each piece of the text that was not understood: with one, which entries a
    set has is not certain.
    """

    sets: Mapping[str, Ipset]
    problems: tuple[str, ...] = ()


def looks_saved(text: str) -> bool:
    """Whether the first thing that the text says is what `ipset save` says; an empty text is a node without sets."""
    at = _skip_idle(text, 0)
    return at == len(text) or text.startswith(("create ", "add "), at)


def parse(text: str) -> Ipsets:
    """The sets of one reading. Never raises; linear in the length of the text."""
    reader = _Reader(text)
    number, counted = 1, 0
    problems: list[str] = []
    at = 0
    while (at := _skip_idle(text, at)) < len(text):
        end = reader.read_create(at) or reader.read_add(at)
        if end is None:
            newline = text.find("\n", at)
            end = newline + 1 if newline >= 0 else len(text)
            number, counted = number + text.count("\n", counted, at), at
            problems.append(f"Line {number} of ipset save is not understood: {text[at:end].strip()}")
        at = end
    return Ipsets({name: head.finish(name) for name, head in reader.heads.items()}, tuple(problems))


def _skip_idle(text: str, at: int) -> int:
    """Where the next statement begins: behind blank lines and lines of a person's own comment."""
    while at < len(text) and (idle := _IDLE.match(text, at)) is not None:
        at = idle.end()
    return at


@dataclass(slots=True)
class _Head:
    kind: str
    options: dict[str, str]
    entries: list[Entry]

    def finish(self, name: str) -> Ipset:
        family = "" if self.kind in _ANY_FAMILY else _FAMILIES.get(self.options.get("family", "inet"), "?")
        return Ipset(name, self.kind, family, self.options, tuple(self.entries))


class _Reader:
    """Takes the statements of one text, each from where it begins."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.heads: dict[str, _Head] = {}

    def read_create(self, at: int) -> int | None:
        """The end of the `create` that stands at `at`; None when there is none, or its name is taken."""
        found = _CREATE.match(self.text, at)
        if found is None or found[1] in self.heads:
            return None
        words = [word for word in found[3].split() if word not in _CREATE_FLAGS]
        self.heads[found[1]] = _Head(found[2], dict(zip(words[::2], words[1::2], strict=True)), [])
        return found.end()

    def read_add(self, at: int) -> int | None:
        """The end of the `add` that stands at `at`; None when there is none, or it can be read in two ways."""
        start = at + len("add ")
        if not self.text.startswith("add ", at):
            return None
        ways: list[tuple[_Head, str, re.Match[str]]] = []
        end = self.text.find(" ", start, start + _LONGEST_NAME + 1)
        while end > 0:
            head = self.heads.get(self.text[start:end])
            if head is not None:
                ways += [(head, *entry) for entry in self._entries(head, end + 1)]
            end = self.text.find(" ", end + 1, start + _LONGEST_NAME + 1)
        if len(ways) != 1:
            return None
        head, entry, options = ways[0]
        words = _COMMENT.sub("", options[1]).split() if options[1] else ()
        head.entries.append(Entry(entry, "nomatch" in words, "wildcard" in words))
        return options.end()

    def _entries(self, head: _Head, start: int) -> Iterator[tuple[str, re.Match[str]]]:
        """The entry that stands at `start`, with its options. A list's entry is a set's name, known or not."""
        found = _ENTRY.match(self.text, start)
        ends = [found.end()] if found is not None else []
        if head.kind == "list:set":
            known = range(start + 1, min(start + _LONGEST_NAME, len(self.text)) + 1)
            ends = [end for end in known if self.text[start:end] in self.heads] or ends
        for end in ends:
            options = _OPTIONS.match(self.text, end)
            if options is not None:
                yield self.text[start:end], options
