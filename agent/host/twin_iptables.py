"""iptables' tables in the twin: loaded from the text of the save tools, read back by them, compared and counted.

Text that came out of a save tool is not safe to feed to a restore tool: a comment may hold a line break and then a rule of a
stranger's making (measured), and `--modprobe` names a program to run. What looks like either is not loaded.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.host import command
from agent.model.ruleset import Backend
from agent.model.twin import TwinInsert, TwinRule

_COUNTED = re.compile(r"\[(\d+):\d+\] ")
_RULE = re.compile(r"-A (\S+)")
_CHAIN = re.compile(r":(\S+) (\S+)(?: \[(\d+):\d+\])?")
# getopt_long(3) takes clusters of short options and any unambiguous beginning of a long one; quotes are looked through.
_MODPROBE = re.compile(r"""(?:^|[\s"'])(?:-[A-Za-z0-9]*M|--m(?:o(?:d(?:p\S*)?)?)?(?=["'\s=]|$))""")
# Matches whose answer depends on what the kernel remembers or draws; in the twin that memory is empty.
_REMEMBERING = re.compile(r"-m (limit|hashlimit|recent|connlimit|quota|statistic|connbytes|nfacct|cluster|rateest|mac)\b")
_QUOTES = re.compile(r"\\.")  # xtables_save_string (libxtables/xtables.c) puts a backslash before quote and backslash
_DEADLINE = 3.0


@dataclass(frozen=True, slots=True)
class Section:
    """One table's part of a save: policies of base chains, and its rules without their counters, in order."""

    table: str
    policies: Mapping[str, str]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One backend in one family, and its tools."""

    backend: Backend
    version: int

    @property
    def family(self) -> str:
        """`ip` or `ip6`."""
        return "ip" if self.version == 4 else "ip6"

    def tool(self, suffix: str = "") -> tuple[str, ...]:
        """The argv's beginning: the tool, or the multi-call binary where a distribution ships only that."""
        program = "iptables" if self.version == 4 else "ip6tables"
        name = f"{program}-{self.backend}{suffix}"
        multi = f"xtables-{self.backend}-multi"
        if command.find(name) is None and command.find(multi) is not None:
            return (multi, f"{program}{suffix}")
        return (name,)


def sections(text: str) -> dict[str, str]:
    """The tables of a save by name, each with its own lines from `*name` to `COMMIT`."""
    found: dict[str, str] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("*"):
            lines = []
        lines.append(line)
        if line.strip() == "COMMIT" and lines[0].startswith("*"):
            found[lines[0][1:].strip()] = "\n".join((*lines, ""))
    return found


def refusal(section: str) -> str:
    """Why this text must not be fed to a restore tool, or nothing.

    A save with counters has one on every rule, escapes quotes inside quotes, and no remark inside a table; a line that is
    not so is the rest of a comment.
    """
    for line in section.splitlines():
        counter = _COUNTED.match(line)
        if counter is None and not line.startswith("*") and line.strip() != "COMMIT" and not _CHAIN.fullmatch(line.rstrip()):
            return "a line of its save is neither a chain nor a rule"
        if counter and (not _RULE.match(line, counter.end()) or _QUOTES.sub("", line).count('"') % 2):
            return "a rule of its save goes over more than one line"
        if counter and _MODPROBE.search(line):
            return "a rule of its save holds what the restore tool may read as --modprobe"
    return ""


def load(kind: Kind, texts: Sequence[str]) -> str:
    """Feeds tables to the restore tool, counters at zero. Returns what went wrong, or nothing."""
    done = command.run(kind.tool("-restore"), "".join(texts).encode("utf-8", "surrogateescape"), _DEADLINE)
    return "" if done.status == 0 else _said(done)


def insert(kind: Kind, wanted: TwinInsert) -> str:
    """Inserts the rule that is to be tried. Returns what went wrong, or nothing."""
    if any(_MODPROBE.search(word) for word in wanted.spec):
        return "a rule that names a program to run is not tried"
    argv = (*kind.tool(), "-t", wanted.table, "-I", wanted.chain, str(wanted.position), *wanted.spec)
    done = command.run(argv, timeout=_DEADLINE)
    return "" if done.status == 0 else _said(done)


def save(kind: Kind) -> str:
    """The twin's own tables as text, with counters; empty when the tool failed, which no comparison then survives."""
    done = command.run((*kind.tool("-save"), "-c"), timeout=_DEADLINE)
    return done.stdout.decode("utf-8", "surrogateescape") if done.status == 0 else ""


def differences(
    kind: Kind, original: Mapping[str, str], twin: Mapping[str, str], watched: frozenset[tuple[str, str]] = frozenset()
) -> Iterator[str]:
    """A sentence for each table that did not come out of the twin as it stands on the node; `watched` (table, chain) aside."""
    for name, text in original.items():
        here, there = _parse(text), _parse(twin.get(name, ""))
        aside = {chain for table, chain in watched if table == name}
        ours, theirs = (_by_chain(each.rules, aside) for each in (here, there))
        same = ours == theirs and all(there.policies.get(chain) == word for chain, word in here.policies.items())
        if not same:
            yield f"the table {name} of iptables-{kind.backend} reads otherwise once it is loaded again"


def counted(kind: Kind, texts: Mapping[str, str]) -> Iterator[TwinRule]:
    """The rules and policies whose counters are not zero."""
    for table, text in texts.items():
        numbers: dict[str, int] = {}
        for line in text.splitlines():
            counter, rule = _COUNTED.match(line), _RULE.match(_COUNTED.sub("", line, count=1))
            if rule:
                numbers[rule[1]] = numbers.get(rule[1], 0) + 1
                if counter and int(counter[1]):
                    yield _met(kind, table, rule[1], numbers[rule[1]], int(counter[1]))
            elif (chain := _CHAIN.match(line)) and chain[2] != "-" and int(chain[3] or 0):
                yield _met(kind, table, chain[1], None, int(chain[3]))


def text_of(texts: Mapping[str, str], rule: TwinRule) -> str:
    """The rule as the save tool prints it; for a policy, its word."""
    section = _parse(texts.get(rule.table, ""))
    if rule.policy:
        return section.policies.get(rule.chain, "")
    own = [line for line in section.rules if (match := _RULE.match(line)) and match[1] == rule.chain]
    return own[rule.rule_number - 1] if rule.rule_number and rule.rule_number <= len(own) else ""


def remembering(texts: Sequence[str]) -> tuple[str, ...]:
    """Names of the matches in these tables that depend on the kernel's memory."""
    return tuple(sorted({name for text in texts for name in _REMEMBERING.findall(text)}))


def _met(kind: Kind, table: str, chain: str, number: int | None, packets: int) -> TwinRule:
    return TwinRule(
        backend=kind.backend,
        family=kind.family,
        table=table,
        chain=chain,
        rule_number=number,
        policy=number is None,
        packets=packets,
    )


def _parse(text: str) -> Section:
    lines = text.splitlines()
    bare = [_COUNTED.sub("", line, count=1).rstrip() for line in lines]
    chains = [match for line in lines if (match := _CHAIN.match(line))]
    return Section(
        table=lines[0][1:].strip() if lines else "",
        policies={match[1]: match[2] for match in chains if match[2] != "-"},
        rules=tuple(line for line in bare if line.startswith("-A ")),
    )


def _by_chain(rules: Sequence[str], aside: Collection[str]) -> dict[str, list[str]]:
    """Rules in their order, of the chains that are not `aside`; the order of chains says nothing."""
    found: dict[str, list[str]] = {}
    for line in rules:
        if (match := _RULE.match(line)) and match[1] not in aside:
            found.setdefault(match[1], []).append(line)
    return found


def _said(done: command.Completed) -> str:
    first = next((line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()), "")
    return done.problem or first or f"{done.argv[0]} ended with status {done.status}"
