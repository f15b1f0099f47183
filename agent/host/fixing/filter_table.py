"""iptables' filter table as lines of text: chains, the way from INPUT, the rule that blocks. Pure.

The broker reads the text again for itself, and more narrowly than the analysis does: it has to know its own rules, the rule
that blocks, and whether a line names this traffic. What it does not know it refuses.
"""

import hashlib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_CHAIN = re.compile(r":(\S+) (\S+)(?: \[\d+:\d+\])?")
_RULE = re.compile(r"(?:\[\d+:\d+\] )?(-A (\S+) ?.*)")
# Exactly as we write it and iptables-save prints it back, and nothing else is ever taken for ours.
OURS = re.compile(
    r"-A (?P<chain>\S+) (?P<rule>-s (?P<source>\S+) -d (?P<destination>\S+) -p tcp -m tcp --dport (?P<port>\d+)"
    r"(?: -m set --match-set (?P<set>kubereach-[0-9a-f]{12}) src)?"
    r"(?: -m time --datestop (?P<stop>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d))?"
    r' -m comment --comment "?kubereach:(?P<id>[0-9a-f]{12})"? -j ACCEPT)'
)


@dataclass(frozen=True, slots=True)
class FilterTable:
    """Chains with their rules in order, each from `-A CHAIN` on as printed, and base chains' policies."""

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)

    def reached(self, *start: str) -> tuple[str, ...]:
        """The chains that a packet can come to from these (INPUT where none is named), in the order in which they are met."""
        waiting, seen = list(start or ("INPUT",)), list[str]()
        while waiting:
            name = waiting.pop(0)
            if name in self.chains and name not in seen:
                seen.append(name)
                waiting.extend(target for line in self.chains[name] if (target := target_of(line)) in self.chains)
        return tuple(seen)

    def leading_to(self, chain: str) -> tuple[str, ...]:
        """The rules that jump to a chain, and those that jump to theirs."""
        found: list[str] = []
        wanted, seen = [chain], {chain}
        while wanted:
            name = wanted.pop()
            for other in self.reached():
                lines = [line for line in self.chains[other] if target_of(line) == name]
                found += lines
                if lines and other not in seen:
                    seen.add(other)
                    wanted.append(other)
        return tuple(found)

    def lines(self, *start: str) -> tuple[str, ...]:
        """All that a packet can meet from these chains on (INPUT where none is named), without rules of ours."""
        policies = (f"-P {name} {self.policies[name]}" for name in start or ("INPUT",) if name in self.policies)
        rules = (line for name in self.reached(*start) for line in self.chains[name] if not OURS.fullmatch(line))
        return (*policies, *rules)

    def without_ours(self, chain: str) -> tuple[str, ...]:
        """A chain's rules, those of ours left out."""
        return tuple(line for line in self.chains.get(chain, ()) if not OURS.fullmatch(line))

    def ours(self) -> tuple[re.Match[str], ...]:
        """Every rule that we wrote, wherever it stands."""
        return tuple(found for lines in self.chains.values() for line in lines if (found := OURS.fullmatch(line)))

    def position(self, chain: str, before: str, nth: int) -> int | None:
        """The number, from 1, that a rule directly before the one that reads `before` would have; None: there is no such rule.

        An empty `before` is the end of the chain.
        """
        rules = self.chains.get(chain)
        if rules is None:
            return None
        if not before:
            return len(rules) + 1
        numbers = [number for number, line in enumerate(rules, 1) if line == before]
        if len(numbers) < nth:
            return None
        return numbers[nth - 1]


def parse(text: str, table: str = "filter") -> FilterTable:
    """One table of an iptables-save. A line that is neither chain nor rule is passed over: comments, COMMIT."""
    chains: dict[str, list[str]] = {}
    policies: dict[str, str] = {}
    inside = False
    for line in text.split("\n"):  # not splitlines: a comment may hold other line ends
        if line.startswith("*"):
            inside = line.strip() == f"*{table}"
        elif inside and (found := _CHAIN.fullmatch(line.rstrip())):
            chains.setdefault(found[1], [])
            if found[2] != "-":
                policies[found[1]] = found[2]
        elif inside and (found := _RULE.fullmatch(line)):
            chains.setdefault(found[2], []).append(found[1])
    return FilterTable({name: tuple(lines) for name, lines in chains.items()}, policies)


def target_of(line: str) -> str:
    """Where a rule goes on a match: a target, a chain, or nothing."""
    words = words_of(line)
    for option in ("-j", "-g"):
        if option in words[:-1]:
            return words[words.index(option) + 1]
    return ""


def words_of(line: str) -> list[str]:
    """The words of a rule. One that cannot be split is one word, which nothing matches."""
    try:
        return shlex.split(line)
    except ValueError:
        return [line]


def digest_of(lines: Iterable[str]) -> str:
    """A name for exactly these lines."""
    digest = hashlib.sha256()
    for line in lines:
        data = line.encode("utf-8", "surrogateescape")
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


def spec(  # noqa: PLR0913  what the rule is made of
    source: str, destination: str, port: int, fix: str, *, stop: str = "", set_name: str = ""
) -> str:
    """Our rule from the source on, as iptables-save prints it. `stop` is in UTC, to the second."""
    bits = 128 if ":" in destination else 32
    return " ".join(
        (
            *("-s", source, "-d", f"{destination}/{bits}", "-p tcp -m tcp --dport", str(port)),
            *(("-m set --match-set", set_name, "src") if set_name else ()),
            *(("-m time --datestop", stop) if stop else ()),
            *("-m comment --comment", f"kubereach:{fix}", "-j ACCEPT"),
        )
    )


def same_rule(line: str, chain: str, rule: str) -> bool:
    """Whether a printed line is this rule: iptables-legacy and -nft differ in the quotes around a comment."""
    return line.replace('"', "") == f"-A {chain} {rule}"


def count_same(lines: Sequence[str], chain: str, rule: str) -> int:
    """How often a rule stands in a chain."""
    return sum(same_rule(line, chain, rule) for line in lines)
