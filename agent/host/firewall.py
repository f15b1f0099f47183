"""Every live firewall backend, as its own tools print it. Nothing is interpreted here and nothing is changed.

Looking must not create: a legacy table comes into being when it is named (`iptables-legacy -L`, `-save -t filter`), but not by
`iptables-legacy-save` without `-t`, nor by `nft list` (measured). So legacy tools run only where the kernel lists a legacy
table, iptables-nft only where nft shows a table that iptables may have made, and ipset only where a rule asks for a set.
"""

import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.host import command, legacy_room, nftnetlink
from agent.host.room import NO_ROOM, Room
from agent.model.capture import (
    IPSET_SAVE,
    LEGACY_SAVE,
    LEGACY_SAVE6,
    NFT_JSON,
    NFT_PART,
    NFT_RULES,
    NFT_SAVE,
    NFT_SAVE6,
    Firewall,
    PartReading,
    Problem,
    Reading,
)
from agent.model.outline import Outline, Part

# 50,000 rules in one chain take nft 10 s (measured); whoever has more hears that it was not read.
_DEADLINE = 10.0
# Up to this measure (`Outline.rules`) the whole is read as quickly as its parts: a program for each chain takes 3 ms.
WHOLE = 2000
_AT_ONCE = 2
_NFT: tuple[str, ...] = ("nft", "-j", "list", "ruleset")
# The tables that iptables-nft makes (iptables/nft.c); any other table is native and would be misprinted.
_TABLE_NAMES = frozenset(("filter", "nat", "mangle", "raw", "security"))
_TABLE = re.compile(r'"table":\s*\{([^{}]*)\}')
_NAME = re.compile(r'"name":\s*"([^"]*)"')
_FAMILIES = frozenset(("ip", "ip6", "inet", "arp", "bridge", "netdev"))
_PROGRAMS = {"ip": "iptables", "ip6": "ip6tables"}
_SAVES = {"ip": NFT_SAVE, "ip6": NFT_SAVE6}
# What iptables itself lets a chain be called; of another one it prints nothing.
_PRINTABLE = re.compile(r"[^-!\s][^\s]{0,28}")
_PACKAGES = {NFT_JSON: "nftables", IPSET_SAVE: "ipset"}
# As iptables-save prints the match of xt_set. A comment may say the same: then sets are read that no rule asks for.
MENTION = "--match-set "
_LISTS = {"ip": Path("/proc/thread-self/net/ip_tables_names"), "ip6": Path("/proc/thread-self/net/ip6_tables_names")}


def capture(room: Room | None = None, *, again: bool = False) -> Firewall:
    """Reads each live backend once, known ones at the same time. What could not be read is in `problems`.

    Large legacy tables are read where there is `room` for them; `again`: the same look has read them before.
    """
    return _capture(read_outline(), room, legacy_room.AGAIN if again else legacy_room.LOOK, whole=True)


def survey(room: Room | None = None) -> Firewall:
    """The same without the rules of nftables, where these are so many that reading them all takes its time.

    `outline` then says what there is, and `read_parts` reads it. A look begins with it.
    """
    outline = read_outline()
    return _capture(outline, room, legacy_room.LOOK, whole=outline is None or outline.rules <= WHOLE)


def frame(outline: Outline, room: Room | None = None) -> Firewall:
    """All but the rules of nftables, which has this outline."""
    return _capture(outline, room, legacy_room.AGAIN, whole=False)


def save_table(family: str, table: str) -> Reading:
    """One table of iptables-nft, `family` ip or ip6, as iptables-save prints it."""
    return _reading((_SAVES[family], (*_save(_PROGRAMS[family], "nft"), "-t", table)))


def read_outline() -> Outline | None:
    """What nftables holds, without its rules. None where the kernel tells nothing: nft will say why."""
    try:
        with nftnetlink.Reader() as reader:
            return reader.outline()
    except OSError:
        return None


def read_parts(generation: int, wanted: Sequence[Part]) -> tuple[PartReading, ...] | None:
    """These chains, sets and maps, all at this generation of nftables; None where the rules are not those any more.

    Names go to nft as JSON and to iptables as one argument, so that none can be taken for anything else. Raises `OSError`.
    """
    with nftnetlink.Reader() as reader:
        if reader.generation() != generation:
            return None
        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="firewall") as pool:
            parts = tuple(pool.map(_read_part, wanted))
        return parts if reader.generation() == generation else None


def may_ask(part: Part) -> bool:
    """Whether that can be the name of a part: NFT_NAME_MAXLEN is 256 with its end (linux/netfilter/nf_tables.h)."""
    names = (part.table, part.name)
    return (
        part.kind in ("chain", "set", "map")
        and part.family in _FAMILIES
        and all(0 < len(name.encode("utf-8", "surrogateescape")) < 256 and "\0" not in name for name in names)
    )


def _read_part(part: Part) -> PartReading:
    named = {"family": part.family, "table": part.table, "name": part.name}
    asked = json.dumps({"nftables": [{"list": {part.kind: named}}]}).encode()
    listing = _reading((NFT_PART, ("nft", "-j", "-f", "-")), asked)
    save = None
    if part.kind == "chain" and part.family in _PROGRAMS and part.table in _TABLE_NAMES and _PRINTABLE.fullmatch(part.name):
        program = _tool(_PROGRAMS[part.family], "nft")
        save = _reading((NFT_RULES, (*program, "-t", part.table, "-S", part.name, "-v")))
    return PartReading(part=part, listing=listing, save=save)


def _capture(outline: Outline | None, room: Room | None, share: int, *, whole: bool) -> Firewall:
    """Without reading nftables unless `whole`. Its `outline` tells early which saves it will want; nft has the last word."""
    problems: list[Problem] = []
    legacy, legacy6 = legacy_tables("ip", problems), legacy_tables("ip6", problems)
    told = {table.family for table in outline.tables if table.name in _TABLE_NAMES} if outline and whole else set()
    native = [(NFT_JSON, _NFT)] if whole else []
    old = [(LEGACY_SAVE, _save("iptables", "legacy"))] if legacy else []
    old += [(LEGACY_SAVE6, _save("ip6tables", "legacy"))] if legacy6 else []
    with legacy_room.claimed(room, share * legacy_room.size_of(legacy, legacy6)) as refusal:
        found = _read([*native, *(() if refusal else old), *(_nft_save(family) for family in _SAVES if family in told)])
    if refusal:
        found |= {name: _unread(name, argv, refusal) for name, argv in old}
    nft = found[NFT_JSON].stdout if whole else ""
    wanted = [family for family in _SAVES if _may_be_iptables(nft, family)]
    found |= _read([_nft_save(family) for family in wanted if family not in told])
    readings = tuple(found[name] for name in (*(name for name, _ in (*native, *old)), *(_SAVES[family] for family in wanted)))
    # After the rules: a set that a rule asks for cannot be destroyed, so that each is still there.
    readings += read_sets() if any(MENTION in reading.stdout for reading in readings) else ()
    problems += [problem for reading in readings if (problem := _problem(reading)) is not None]
    return Firewall(
        readings=readings,
        legacy_tables=legacy,
        legacy_tables6=legacy6,
        problems=tuple(problems),
        outline=None if whole else outline,
    )


def read_sets() -> tuple[Reading, ...]:
    """All ipsets."""
    return (_reading((IPSET_SAVE, ("ipset", "save"))),)


def legacy_tables(family: str, problems: list[Problem]) -> tuple[str, ...]:
    """The legacy tables (family `ip` or `ip6`) that exist in our namespace, as the kernel lists them.

    Where the list may not be read, a problem is added: its emptiness then means nothing.
    """
    try:
        return tuple(_LISTS[family].read_text().split())
    except FileNotFoundError:
        return ()  # this kernel has no legacy tables, or never loaded them
    except OSError as error:
        why = f"whether legacy tables exist is not known: {error.strerror}"
        problems.append(Problem(what=_LISTS[family].name, why=why, remedy="run as root"))
        return ()


def _save(program: str, variant: str) -> tuple[str, ...]:
    """The argv of a save with counters; through the multi-call binary where a distribution ships only that."""
    return (*_tool(program, variant, "-save"), "-c")


def _nft_save(family: str) -> tuple[str, tuple[str, ...]]:
    return _SAVES[family], _save(_PROGRAMS[family], "nft")


def _tool(program: str, variant: str, suffix: str = "") -> tuple[str, ...]:
    name = f"{program}-{variant}{suffix}"
    multi = f"xtables-{variant}-multi"
    if command.find(name) is None and command.find(multi) is not None:
        return (multi, f"{program}{suffix}")
    return (name,)


def _read(wanted: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, Reading]:
    """Runs the commands side by side; each gives a reading of its own, by its name, whatever becomes of it."""
    if not wanted:
        return {}
    with ThreadPoolExecutor(max_workers=len(wanted), thread_name_prefix="firewall") as pool:
        return {reading.name: reading for reading in pool.map(_reading, wanted)}


def _unread(name: str, argv: tuple[str, ...], why: str) -> Reading:
    return Reading(name=name, argv=argv, status=None, problem=f"{argv[0]} was not started: {why}")


def _reading(named: tuple[str, tuple[str, ...]], stdin: bytes = b"") -> Reading:
    name, argv = named
    done = command.run(argv, timeout=_DEADLINE) if not stdin else command.run(argv, stdin, _DEADLINE)
    # Half a ruleset looks like a whole one that lacks its last rules: what was cut is not shown.
    stdout = done.stdout if done.status is not None else b""
    return Reading(
        name=name,
        argv=argv,
        status=done.status,
        stdout=stdout.decode("utf-8", "surrogateescape"),
        stderr=done.stderr.decode("utf-8", "surrogateescape"),
        seconds=done.seconds,
        problem=done.problem,
    )


def _may_be_iptables(nft: str, family: str) -> bool:
    """Whether nft's JSON shows a table in `family` under a name that iptables uses. Reads too much rather than too little."""
    found = False
    for table in _TABLE.findall(nft):
        name = _NAME.search(table)
        if re.search(rf'"family":\s*"{family}"', table):
            found |= name is not None and name[1] in _TABLE_NAMES
    return found


def _problem(reading: Reading) -> Problem | None:
    """The problem that a reading is, if it is one."""
    if reading.status == 0:
        return None
    first = next((line for line in reading.stderr.splitlines() if line.strip()), "")
    why = reading.problem or first or f"it ended with status {reading.status}"
    return Problem(what=reading.name, why=why, remedy=_remedy(reading, first))


def _remedy(reading: Reading, stderr: str) -> str:
    if reading.problem.endswith("is not installed"):
        return f"apt-get install {_PACKAGES.get(reading.name, 'iptables')}"
    if NO_ROOM in reading.problem:
        return "raise the memory limit of the agent's container"
    if "not permitted" in stderr or "denied" in stderr or "must be root" in stderr:
        return "run as root, or with the capability NET_ADMIN (and NET_RAW for legacy tables)"
    return ""
