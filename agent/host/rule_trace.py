"""Which nft rules a packet meets, told by the kernel: nftrace, switched on for our own connection alone, in a table of our own.

The table belongs to the process that made it (`flags owner`, Linux 5.12): the kernel removes it when that process ends, however
it ends. No table of anybody else is touched. iptables-legacy's rules are not traced: the same switch makes the kernel write
them to its log (net/ipv4/netfilter/ip_tables.c, trace_packet), so where legacy tables are live nothing is switched on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from agent.host import command
from agent.host.drop_events import TraceError

TABLE = "kubereach-trace"
# Before every chain that iptables makes (raw is -300) and connection tracking's defragmentation (-400).
_PRIORITY = -500
_NETLINK_NETFILTER, _TRACE_GROUP = "12", 1 << 8  # NFNLGRP_NFTRACE is group 9
# Starting nft takes milliseconds; a machine in trouble gets this long.
_PATIENCE = 2.0
# What the kernel has to tell is there when the connect has ended; nft prints it as it comes.
_LAST_WORDS = 0.2
_HOME = {"HOME": "/nonexistent", "LC_ALL": "C"}  # an interactive nft keeps a history in its user's home


class RuleTrace:
    """A trace under way."""

    def __init__(self, monitor: command.Child) -> None:
        self._monitor = monitor

    def text(self) -> str:
        """What was seen; ends the trace."""
        return self._monitor.converse(b"", _LAST_WORDS).stdout.decode("utf-8", "surrogateescape")


@contextmanager
def rule_trace(
    source: IPv4Address | IPv6Address, sport: int, target: IPv4Address | IPv6Address, port: int, legacy: Sequence[str]
) -> Iterator[RuleTrace]:
    """Traces the connection's packets, both ways, in this network namespace while it is open. Raises `TraceError`.

    `legacy` are the live tables of iptables-legacy.
    """
    if legacy:
        raise TraceError(f"iptables-legacy's tables are live here ({', '.join(legacy)}): a trace would fill the kernel's log")
    nft = command.find("nft")
    if nft is None:
        raise TraceError("nft is not installed")
    if command.run(("nft", "list", "table", "inet", TABLE)).status == 0:
        raise TraceError(f"another trace is under way: table inet {TABLE} exists")
    listeners = _listeners()
    monitor = _start(nft, "-a", "monitor", "trace")
    try:
        _await(lambda: _listeners() > listeners, monitor, "nft monitor did not begin to listen")
        owner = _start(nft, "-i")
        try:
            owner.tell(_table(source, sport, target, port))
            _await(lambda: command.run(("nft", "list", "table", "inet", TABLE)).status == 0, owner, "the table was not taken")
            yield RuleTrace(monitor)
        finally:
            owner.end(0)
    finally:
        monitor.end(0)


def _table(source: IPv4Address | IPv6Address, sport: int, target: IPv4Address | IPv6Address, port: int) -> bytes:
    """One line, so that it is one transaction: the table is never there without its rules."""
    ip = "ip" if source.version == 4 else "ip6"
    there = f"{ip} saddr {source} {ip} daddr {target} tcp sport {sport} tcp dport {port} meta nftrace set 1"
    back = f"{ip} saddr {target} {ip} daddr {source} tcp sport {port} tcp dport {sport} meta nftrace set 1"
    chains = "".join(
        f"chain {hook} {{ type filter hook {hook} priority {_PRIORITY}; {rule}; }}; "
        for hook, rule in (("prerouting", there), ("output", back))
    )
    return f"add table inet {TABLE} {{ flags owner; {chains}}}\n".encode()


def _start(nft: str, *arguments: str) -> command.Child:
    try:
        return command.spawn([nft, *arguments], environment=_HOME)
    except OSError as error:
        raise TraceError(f"nft could not be started: {error.strerror}") from error


def _await(holds: Callable[[], bool], child: command.Child, otherwise: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        if child.status is not None or time.monotonic() > deadline:
            done = child.converse(b"", 0)
            said = " ".join((done.stderr or done.stdout).decode(errors="replace").split())
            raise TraceError(f"{otherwise}: {said}" if said else otherwise)
        time.sleep(0.002)


def _listeners() -> int:
    """How many sockets of this namespace listen to traces: columns of /proc/net/netlink are sk, Eth, Pid, Groups, ..."""
    lines = (line.split() for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:])
    return sum(1 for line in lines if line[1] == _NETLINK_NETFILTER and int(line[3], 16) & _TRACE_GROUP)
