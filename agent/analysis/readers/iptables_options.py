"""Sorts the words of one iptables rule into what is built in, its extensions and its target, as iptables' own parser does.

Which word is a value and which an option depends on how many values each option takes, so the known ones are listed here;
of an unknown option the words up to the next option are taken. Words that fit nowhere are kept as `leftovers`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from agent.analysis.readers.tokens import unquoted

_BUILTIN = {
    "-s": "-s", "--source": "-s", "--src": "-s", "-d": "-d", "--destination": "-d", "--dst": "-d", "-p": "-p",
    "--protocol": "-p", "--proto": "-p", "-i": "-i", "--in-interface": "-i", "-o": "-o", "--out-interface": "-o",
    "-f": "-f", "--fragment": "-f",
}  # fmt: skip
_STARTS = {"-m": "-m", "--match": "-m", "-j": "-j", "--jump": "-j", "-g": "-g", "--goto": "-g"}
# Options of the protocol's own extension, which iptables loads by itself after `-p`.
_PROTOCOL = {
    "--sport",
    "--source-port",
    "--dport",
    "--destination-port",
    "--tcp-flags",
    "--syn",
    "--icmp-type",
    "--icmpv6-type",
}
_OWNERS = {"", "tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmp6", "icmpv6"}
# How many values an option takes, where it is not simply those up to the next option.
_VALUES = {
    "-f": 0, "--syn": 0, "--tcp-flags": 2, "--notrack": 0, "--socket-exists": 0, "--limit-iface-in": 0, "--limit-iface-out": 0,
    "--save-mark": 0, "--restore-mark": 0, "--random": 0, "--random-fully": 0, "--persistent": 0,
    "--return-nomatch": 0, "--update-counters": 0, "--update-subcounters": 0,
    **dict.fromkeys(
        (
            "-s", "-d", "-p", "-i", "-o", "--sport", "--source-port", "--dport", "--destination-port", "--sports",
            "--source-ports", "--dports", "--destination-ports", "--ports", "--icmp-type", "--icmpv6-type", "--state",
            "--ctstate", "--comment", "--mark", "--src-type", "--dst-type", "--src-range", "--dst-range", "--length",
            "--log-prefix", "--nflog-prefix", "--ulog-prefix", "--string", "--hex-string", "--name", "--helper",
            "--to-ports", "--to-destination", "--to-source", "--reject-with",
        ),
        1,
    ),
}  # fmt: skip
# The common case, which needs no further look.
_SINGLE = {name for name, count in _VALUES.items() if count == 1}


class Option(NamedTuple):
    """One option under its long name, its values, and whether a `!` stood before it or before its value.

    A named tuple, not a dataclass: there are several in every rule, and they are looked up in caches.
    """

    name: str
    values: tuple[str, ...]
    negate: bool = False

    @property
    def value(self) -> str:
        """The first value without its quotes, empty when there is none."""
        return unquoted(self.values[0]) if self.values else ""

    def __str__(self) -> str:
        return " ".join((*(("!",) if self.negate else ()), self.name, *self.values))


class Extension(NamedTuple):
    """A match or a target with the options that belong to it. The name is empty for options of the rule's protocol."""

    name: str
    options: list[Option]

    def __str__(self) -> str:
        return " ".join((self.name, *map(str, self.options))).strip()


@dataclass(slots=True)
class Specification:
    """A rule's words, sorted. `goto` tells `-g` from `-j`; `leftovers` were not understood.

    `counts` is what `-c` gave, and `counts_at` where it stands when the rule reads the same without it; `owner` is the first
    match that takes the options of the protocol.
    """

    builtin: list[Option] = field(default_factory=list)
    matches: list[Extension] = field(default_factory=list)
    owner: Extension | None = None
    target: Extension | None = None
    goto: bool = False
    counts: tuple[str, ...] = ()
    counts_at: int | None = None
    leftovers: list[str] = field(default_factory=list)


def sort_words(words: list[str]) -> Specification:
    """The words after `-A CHAIN`, sorted. Never raises; what cannot be placed is in `leftovers`."""
    found, at, end = Specification(), 0, len(words)
    current: Extension | None = None
    negate = False
    while at < end:
        word = words[at]
        at += 1
        start = _STARTS.get(word)
        if start is not None:
            name = words[at] if at < end else ""
            at += 1
            if negate or name in ("", "!") or (found.target is not None and start != "-m"):
                found.leftovers.append(word)
            current = Extension(name, [])
            if start == "-m":
                _append(found, current)
            else:
                found.target, found.goto = current, start == "-g"
        elif word in _SINGLE and at < end and words[at] != "!":
            _place(found, current, Option(_BUILTIN.get(word, word), (words[at],), negate))
            at += 1
        elif word == "!" and not negate:
            negate = True
            continue
        elif word in ("-c", "--set-counters"):
            if negate:
                found.leftovers.append("!")
            found.counts, at = tuple(words[at : at + 2]), at + 2
            # Where iptables prints it nothing before it can lay hold of what follows.
            found.counts_at = at - 3 if at >= end or words[at] in _STARTS else None
        elif word[0] == "-" and len(word) > 1:
            option, at = _take(found, words, at, negate)
            _place(found, current, option)
        else:
            found.leftovers.append(word)
        negate = False
    if negate:
        found.leftovers.append("!")
    return found


def _append(found: Specification, match: Extension) -> None:
    found.matches.append(match)
    if found.owner is None and match.name in _OWNERS:
        found.owner = match


def _take(found: Specification, words: list[str], at: int, negate: bool) -> tuple[Option, int]:
    """The option that stands before `at` with its values, and where the next word is; its faults go to the leftovers."""
    name = words[at - 1]
    if "=" in name and name.startswith("--"):
        name, _, value = name.partition("=")
        return Option(name, (value,), negate), at
    name = _BUILTIN.get(name, name)
    count = _VALUES.get(name)
    if count != 0 and at < len(words) and words[at] == "!":
        if negate:
            found.leftovers.append("!")
        negate, at = True, at + 1
    if count is None:
        end = at
        while end < len(words) and words[end] != "!" and not (words[end][0] == "-" and len(words[end]) > 1):
            end += 1
    else:
        end = at + count
        if end > len(words):
            found.leftovers.append(name)
    return Option(name, tuple(words[at:end]), negate), end


def _place(found: Specification, current: Extension | None, option: Option) -> None:
    """Puts an option with the extension it belongs to: mostly the one before it, ports to the protocol's."""
    name = option[0]
    if name in _BUILTIN:
        found.builtin.append(option)
    elif name in _PROTOCOL and (current is None or current.name not in _OWNERS):
        owner = found.owner or Extension("", [])
        if found.owner is None:
            _append(found, owner)
        owner.options.append(option)
    elif current is None or name[:2] != "--":
        found.leftovers.append(str(option))
    else:
        current.options.append(option)
