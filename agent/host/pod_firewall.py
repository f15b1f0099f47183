"""The firewall of one pod's own namespace: a mesh's redirects, or rules that somebody with NET_ADMIN in the pod made.

The tools run in that namespace through an inherited descriptor of it (`nsenter --net=/proc/self/fd/N`): they cannot end up in
another one. What they print is a stranger's, and is returned as text. Like `agent.host.firewall` it makes no table by looking.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from agent.host import command
from agent.host.fixing import snapshot
from agent.host.namespaces import Directory
from agent.host.room import MIB, Claim, NoRoomError, Room
from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6, Firewall, Problem, Reading

# A pod has a handful of rules, a mesh a hundred (20 KiB); who has more than this to list wants to keep us waiting.
_DEADLINE = 3.0
_LIMIT = 1024 * 1024
# Of legacy tables in the kernel: what a list of that length is there. iptables-legacy-save takes several times as much at once.
_TABLES = 4 * 1024 * 1024
# What nft takes for 1,500 rules, and for none. For 100,000 it would take 900 MiB before it prints one, of what our cgroup has.
_MEMORY, _LEAST = 16 * MIB, 6 * MIB
_LISTS = {"ip": "/proc/thread-self/net/ip_tables_names", "ip6": "/proc/thread-self/net/ip6_tables_names"}
_FAMILY = re.compile(r'"table":\s*\{"family":\s*"(\w+)"')


def capture(directory: Directory, namespace: int, room: Room) -> Firewall:
    """Every live backend of that namespace. Raises `NamespaceGone` and `HostError`; what else fails is in `problems`."""
    entered = directory.inside(namespace, _enter)
    handle, legacy, legacy6 = entered.handle, entered.legacy, entered.legacy6
    try:
        readings = [_read(room, handle, NFT_JSON, "nft", "-j", "list", "ruleset")]
        families = set(_FAMILY.findall(readings[0].stdout))
        readings += [_read(room, handle, NFT_SAVE, "iptables-nft-save", "-c")] if "ip" in families else []
        readings += [_read(room, handle, NFT_SAVE6, "ip6tables-nft-save", "-c")] if "ip6" in families else []
        for names, name, tool, version in ((legacy, LEGACY_SAVE, "iptables", 4), (legacy6, LEGACY_SAVE6, "ip6tables", 6)):
            size = entered.sizes.get(version, 0)
            if names and size > _TABLES:
                problem = f"its tables have {size} bytes in the kernel; more than {_TABLES} are not read"
                readings.append(Reading(name=name, argv=(f"{tool}-legacy-save", "-c"), status=None, problem=problem))
            elif names:
                readings.append(_read(room, handle, name, f"{tool}-legacy-save", "-c"))
    finally:
        os.close(handle)
    problems = tuple(
        Problem(what=f"the pod's {reading.name}", why=reading.problem or reading.stderr.strip() or f"status {reading.status}")
        for reading in readings
        if reading.status != 0
    )
    return Firewall(readings=tuple(readings), legacy_tables=legacy, legacy_tables6=legacy6, problems=problems)


@dataclass(frozen=True, slots=True)
class _Entered:
    """The namespace, open; its legacy tables' names, and by IP version how many bytes they have together."""

    handle: int
    legacy: tuple[str, ...]
    legacy6: tuple[str, ...]
    sizes: dict[int, int]


def _enter() -> _Entered:
    legacy, legacy6 = _tables("ip"), _tables("ip6")
    sizes = {version: sum(_size(version, table) for table in names) for version, names in ((4, legacy), (6, legacy6))}
    return _Entered(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), legacy, legacy6, sizes)


def _size(version: int, table: str) -> int:
    try:
        return snapshot.legacy_size(version, table)
    except OSError:
        return 0  # it went meanwhile, or we may not ask: then the tool says so


def _tables(family: str) -> tuple[str, ...]:
    try:
        return tuple(Path(_LISTS[family]).read_text(encoding="ascii").split())
    except FileNotFoundError:
        return ()  # this kernel has no legacy tables


def _read(room: Room, handle: int, name: str, *argv: str) -> Reading:
    enter = command.find("nsenter")
    whole = (enter or "nsenter", f"--net=/proc/self/fd/{handle}", "--", *argv)
    if enter is None:
        return Reading(name=name, argv=whole, status=None, problem="nsenter is not installed")
    try:
        with room.claimed(_MEMORY, _LEAST) as claim:
            done = _list(whole, handle, claim)
    except NoRoomError as error:
        return Reading(name=name, argv=whole, status=None, problem=f"{argv[0]} was not started: {error}")
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


def _list(argv: tuple[str, ...], handle: int, claim: Claim) -> command.Completed:
    try:
        child = command.spawn(argv, pass_fds=(handle,), environment={"LC_ALL": "C"})
    except OSError as error:
        return command.Completed(argv=argv, status=None, problem=f"nsenter could not be started: {error.strerror}")
    claim.pid = child.pid
    return child.converse(b"", _DEADLINE, _LIMIT, claim.size)
