"""A large nftables for the twin and for a fix: the chains that count as they stand, all others by their names alone.

There are the chains that somebody names. The others are `unread`: who loads the rules puts a watch into each, and takes no
verdict of a packet that came to one. So whoever names too few of them is told, and never believed. For a fix, which stands on
every chain that INPUT leads to, all tables of iptables but nat are read whole.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.host import firewall
from agent.host.errors import HostError
from agent.host.room import Room
from agent.model.assembly import Assembled, assemble
from agent.model.capture import IPSET_SAVE, NFT_JSON, NFT_SAVE, NFT_SAVE6, Firewall, PartReading, Problem, Reading
from agent.model.outline import Outline, Part

Place = tuple[str, str, str]  # family, table, chain
Saved = tuple[str, str, Reading]  # family, table, its iptables-nft-save
Read = Callable[[int, Sequence[Part]], Sequence[PartReading] | None]

# Rules that change more often than this within a look are not to be read in parts.
_ATTEMPTS = 3
_SAVES = {"ip": NFT_SAVE, "ip6": NFT_SAVE6}
_WHOLE = ("raw", "mangle", "filter", "security")
# What `iptables -S CHAIN -v` begins with, and iptables-save's form of it.
_POLICY = re.compile(r"-P (\S+) (\S+)(?: -c (\d+) (\d+))?")
_INCOMPATIBLE = "is incompatible"
_POLICIES = {0: "DROP", 1: "ACCEPT"}  # the kernel's verdicts
_NEW = re.compile(r"-N (\S+)")


@dataclass(frozen=True, slots=True)
class Held:
    """Rules as they were read. `in_part`: iptables' text has chains that nft's JSON names only; `unread` are so in both."""

    firewall: Firewall
    unread: tuple[Place, ...] = ()
    in_part: bool = False


def hold(
    parts: Sequence[Part],
    outlined: Callable[[], Outline | None],
    read: Read,
    *,
    whole: bool = False,
    room: Room | None = None,
) -> Held:
    """These parts of nftables as they are now, and what is around them. Raises `HostError`, `OSError`.

    `outlined` tells what there is, `read` reads parts of that generation.
    """
    for _ in range(_ATTEMPTS):
        outline = outlined()
        if outline is None:
            raise HostError("what nftables holds is not told by the kernel")
        found = firewall.frame(outline, room)
        tables = tuple(_whole(outline)) if whole else ()
        readings = read(outline.generation, parts)
        if readings is not None:
            return put_together(_with_sets(replace(found, parts=tuple(readings)), tables), outline, tables)
    raise HostError(f"the rules of nftables changed during each of {_ATTEMPTS} readings")


def put_together(found: Firewall, outline: Outline, whole: Sequence[Saved]) -> Held:
    """One firewall like a whole one, of its parts and the `whole` tables. Pure."""
    assembled = assemble(found, outline)
    shown = {
        (family, table): reading.stdout
        for family, table, reading in whole
        if reading.status == 0 and _INCOMPATIBLE not in reading.stdout
    }
    listing = Reading(name=NFT_JSON, argv=("nft",), status=0, stdout=json.dumps({"nftables": assembled.items}))
    saves = (
        Reading(name=name, argv=(name,), status=0, stdout=text)
        for family, name in _SAVES.items()
        if (text := "".join(_texts(family, shown, assembled, outline)))
    )
    problems = (*found.problems, *_problems(assembled))
    held = replace(found, readings=(listing, *saves, *found.readings), problems=problems, outline=None, parts=())
    unread = tuple(sorted(place for place in assembled.unread if place[:2] not in shown))
    return Held(held, unread, in_part=True)


def _texts(family: str, shown: Mapping[tuple[str, str], str], assembled: Assembled, outline: Outline) -> Iterator[str]:
    """The tables of one family as iptables-save prints them: whole ones, then what was read of others."""
    yield from (text for (of, _), text in shown.items() if of == family)
    for lines in _sections(assembled.saves.get(family, "")):
        table = lines[0].removeprefix("*")
        if (family, table) not in shown:
            own = (chain for chain in outline.chains if (chain.family, chain.table) == (family, table))
            bases = [
                f":{chain.name} {_POLICIES.get(chain.policy, 'ACCEPT')} [0:0]"
                for chain in own
                if chain.hook is not None and (family, table, chain.name) in assembled.unread
            ]
            yield _as_saved(lines, bases)


def _whole(outline: Outline) -> Iterator[Saved]:
    there = {(table.family, table.name) for table in outline.tables}
    for family in _SAVES:
        for table in _WHOLE:
            if (family, table) in there:
                yield family, table, firewall.save_table(family, table)


def _with_sets(found: Firewall, whole: Sequence[Saved]) -> Firewall:
    if found.reading(IPSET_SAVE) is not None:
        return found
    saves = (*(reading for *_, reading in whole), *(part.save for part in found.parts if part.save is not None))
    asked = any(firewall.MENTION in save.stdout for save in saves)
    return replace(found, readings=(*found.readings, *firewall.read_sets())) if asked else found


def _sections(text: str) -> Iterator[list[str]]:
    """The tables of a text, each as its lines from `*name` on, without COMMIT."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line == "COMMIT" and lines:
            yield lines
            lines = []
        elif line.startswith("*") or lines:
            lines.append(line)


def _as_saved(lines: Sequence[str], bases: Sequence[str]) -> str:
    """What chain by chain was printed of one table, in iptables-save's order and form: chains first, `bases` among them."""
    chains = list(bases)
    rules: list[str] = []
    for line in filter(None, lines[1:]):
        if policy := _POLICY.fullmatch(line):
            chains.append(f":{policy[1]} {policy[2]} [{policy[3] or 0}:{policy[4] or 0}]")
        elif new := _NEW.fullmatch(line):
            chains.append(f":{new[1]} - [0:0]")
        else:
            (chains if line.startswith(":") else rules).append(line)
    return "\n".join((lines[0], *chains, *rules, "COMMIT", ""))


def _problems(assembled: Assembled) -> Iterator[Problem]:
    for part in sorted(assembled.lacking, key=lambda each: (each.family, each.table, each.name)):
        yield Problem(what=f"the {part.kind} {part.family} {part.table} {part.name}", why="it was not read")
    for reading in assembled.failed:
        yield Problem(what=reading.name, why=reading.problem or f"it ended with status {reading.status}")
