"""The firewall of one pod's own namespace: a mesh's redirects, or rules that somebody with NET_ADMIN in the pod made.

The tools run in that namespace through an inherited descriptor of it (`nsenter --net=/proc/self/fd/N`): they cannot end up in
another one. What they print is a stranger's, and is returned as text. Like `agent.host.firewall` it makes no table by looking.
"""

import os
import re
from pathlib import Path

from agent.host import command
from agent.host.namespaces import Directory
from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6, Firewall, Problem, Reading

# A pod has a handful of rules, a mesh a hundred (20 KiB); who has more than this to list wants to keep us waiting.
_DEADLINE = 3.0
_LIMIT = 1024 * 1024
# What nft takes for a list of almost that length; before it prints 100,000 rules it would take 900 MiB.
_MEMORY = 24 * 1024 * 1024
_LISTS = {"ip": "/proc/thread-self/net/ip_tables_names", "ip6": "/proc/thread-self/net/ip6_tables_names"}
_FAMILY = re.compile(r'"table":\s*\{"family":\s*"(\w+)"')


def capture(directory: Directory, namespace: int) -> Firewall:
    """Every live backend of that namespace. Raises `NamespaceGone` and `HostError`; what else fails is in `problems`."""
    handle, legacy, legacy6 = directory.inside(namespace, _enter)
    try:
        readings = [_read(handle, NFT_JSON, "nft", "-j", "list", "ruleset")]
        families = set(_FAMILY.findall(readings[0].stdout))
        readings += [_read(handle, NFT_SAVE, "iptables-nft-save", "-c")] if "ip" in families else []
        readings += [_read(handle, NFT_SAVE6, "ip6tables-nft-save", "-c")] if "ip6" in families else []
        readings += [_read(handle, LEGACY_SAVE, "iptables-legacy-save", "-c")] if legacy else []
        readings += [_read(handle, LEGACY_SAVE6, "ip6tables-legacy-save", "-c")] if legacy6 else []
    finally:
        os.close(handle)
    problems = tuple(
        Problem(what=f"the pod's {reading.name}", why=reading.problem or reading.stderr.strip() or f"status {reading.status}")
        for reading in readings
        if reading.status != 0
    )
    return Firewall(readings=tuple(readings), legacy_tables=legacy, legacy_tables6=legacy6, problems=problems)


def _enter() -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), _tables("ip"), _tables("ip6")


def _tables(family: str) -> tuple[str, ...]:
    try:
        return tuple(Path(_LISTS[family]).read_text(encoding="ascii").split())
    except FileNotFoundError:
        return ()  # this kernel has no legacy tables


def _read(handle: int, name: str, *argv: str) -> Reading:
    enter = command.find("nsenter")
    whole = (enter or "nsenter", f"--net=/proc/self/fd/{handle}", "--", *argv)
    if enter is None:
        return Reading(name=name, argv=whole, status=None, problem="nsenter is not installed")
    try:
        child = command.spawn(whole, pass_fds=(handle,), environment={"LC_ALL": "C"})
    except OSError as error:
        return Reading(name=name, argv=whole, status=None, problem=f"nsenter could not be started: {error.strerror}")
    done = child.converse(b"", _DEADLINE, _LIMIT, _MEMORY)
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
