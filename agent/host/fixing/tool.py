"""iptables' own tools for one backend and IP version: save, test, restore. The only writer of rules there is here."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from agent.host import command, operations
from agent.host.errors import FixRefused, HostError

# A save or restore of 10,000 rules takes a tenth of a second; a tool that needs this long hangs.
_DEADLINE = 10.0


@dataclass(frozen=True, slots=True)
class Tool:
    """One backend (legacy or nft) and IP version (4 or 6)."""

    backend: str
    version: int

    @property
    def program(self) -> str:
        """`iptables-legacy`, `ip6tables-nft`, ..."""
        return f"ip{'6' if self.version == 6 else ''}tables-{self.backend}"

    def argv(self, verb: str, *options: str) -> tuple[str, ...]:
        """The command line of `save` or `restore`; through the multi-call binary where a distribution ships only that."""
        multi = f"xtables-{self.backend}-multi"
        name = f"{self.program}-{verb}"
        if command.find(name) is None and command.find(multi) is not None:
            return (multi, f"ip{'6' if self.version == 6 else ''}tables-{verb}", *options)
        return (name, *options)

    def save(self) -> str:
        """The filter table as iptables-save prints it, without counters. Raises `HostError`, `FixRefused`."""
        argv = self.argv("save", "-t", "filter")
        done = command.run(argv, timeout=_DEADLINE)
        text = done.stdout.decode("utf-8", "surrogateescape")
        if done.problem.endswith("is not installed"):
            raise FixRefused(operations.NO_TOOL, f"{done.problem}: no rule can be put in or read back.")
        if done.status != 0 or "is incompatible" in text:
            said = done.problem or " ".join(done.stderr.decode("utf-8", "replace").split()) or text[:200].strip()
            raise HostError(f"{argv[0]} could not read the filter table: {said}")
        return text

    def test(self, lines: tuple[str, ...]) -> str:
        """What is wrong with a change of the filter table, empty where it would be taken. Changes nothing, holds up nobody."""
        with self.prepared("--test") as child:
            return child.finish(lines)

    @contextlib.contextmanager
    def prepared(self, *options: str) -> Iterator["Writer"]:
        """A restore that is started, so that its start costs no time under a lock, and waits for what to change.

        It holds a lock of its own that nobody shares: whoever writes to legacy tables holds the real one around `finish`.
        """
        lock = os.memfd_create("xtables.lock")
        try:
            # -w, or iptables-restore would fail where its lock is taken for a moment; here nobody takes it.
            argv = self.argv("restore", "--noflush", "-w", "1", *options)
            path = command.find(argv[0])
            if path is None:
                raise FixRefused(operations.NO_TOOL, f"{argv[0]} is not installed: apt-get install iptables.")
            environment = {"LC_ALL": "C", "XTABLES_LOCKFILE": f"/proc/{os.getpid()}/fd/{lock}"}
            try:
                child = command.spawn([path, *argv[1:]], environment=environment)
            except OSError as error:
                raise HostError(f"{argv[0]} could not be started: {error.strerror}") from error
            writer = Writer(child)
            try:
                yield writer
            finally:
                writer.close()
        finally:
            os.close(lock)


class Writer:
    """A waiting iptables-restore."""

    def __init__(self, child: command.Child) -> None:
        self._child = child
        self._done = False

    def finish(self, lines: tuple[str, ...], seconds: float = _DEADLINE) -> str:
        """Makes the change, all lines of it or none; what the tool said where it refused.

        After `seconds` it is killed. Whether the kernel has taken the change then has to be read.
        """
        self._done = True
        text = "".join(f"{line}\n" for line in ("*filter", *lines, "COMMIT"))
        done = self._child.converse(text.encode("utf-8", "surrogateescape"), min(seconds, _DEADLINE))
        if done.status == 0:
            return ""
        return done.problem or " ".join(done.stderr.decode("utf-8", "replace").split()) or f"exit code {done.status}"

    def close(self) -> None:
        """Ends it, unless it has ended."""
        if not self._done:
            self._child.end(0)
