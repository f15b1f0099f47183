"""What we have done to this node, on disk before it is done: one small file for each fix, and the audit log beside them.

Every write reaches the disk before it returns (fsync of file and directory). A file that does not hold what was written is put
aside and its fix is taken for ended: its rule then goes at the next sweep.
"""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.host import operations
from agent.host.errors import FixRefused
from agent.host.fixing import lease, lock
from agent.model import audit
from agent.model.codec import CodecError, from_plain, to_plain
from agent.model.fix import AuditCheck, Fix, Fixes

_AUDIT, _HEAD = "audit.jsonl", "audit.head"
_SUFFIX = ".fix"
# Fixes that have ended are kept for `fix list`; their whole story is in the audit log.
_KEPT = 50
# Another kubereach holds the directory for one change of the firewall, and xtables' lock may take it seconds.
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Journal:
    """An open state directory. Use what changes it under `held()` only."""

    path: str

    @contextlib.contextmanager
    def held(self) -> Iterator["Writer"]:
        """The directory for this caller alone, among all processes. Raises `FixRefused` (NO_DISK, BUSY)."""
        directory = self._open()
        try:
            with self._locked(directory):
                yield Writer(directory)
        finally:
            os.close(directory)

    def check(self) -> AuditCheck:
        """Whether the audit log is whole."""
        directory = self._open()
        try:
            head = _head(directory)
            try:
                text = _read(directory, _AUDIT).decode("utf-8", "replace")
            except FileNotFoundError:
                return audit.verify((), head)
            return audit.verify(text.removesuffix("\n").split("\n"), head)
        finally:
            os.close(directory)

    @contextlib.contextmanager
    def _locked(self, directory: int) -> Iterator[None]:
        try:
            held = contextlib.ExitStack()
            held.enter_context(lock.state(directory, _PATIENCE))
        except OSError as error:
            raise _no_disk(self.path, error) from error
        with held:
            yield

    def _open(self) -> int:
        try:
            with contextlib.suppress(FileExistsError):
                os.makedirs(self.path, mode=0o700)  # noqa: PTH103  as a descriptor's, below
            directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _no_disk(self.path, error) from error
        state = os.fstat(directory)
        if state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o022:
            os.close(directory)
            sentence = f"{self.path} must belong to the user that kubereach runs as, and be writable for nobody else."
            raise FixRefused(operations.NO_DISK, sentence)
        return directory


@dataclass(frozen=True, slots=True)
class Writer:
    """The state directory while it is ours alone."""

    directory: int

    def fixes(self) -> Fixes:
        """Every fix that is kept, newest first; files that are damaged are put aside and named."""
        found: list[Fix] = []
        problems: list[str] = []
        for name in sorted(os.listdir(self.directory)):  # noqa: PTH208  of a descriptor
            if name.endswith(_SUFFIX):
                try:
                    found.append(_decode(_read(self.directory, name)))
                except (CodecError, ValueError, OSError) as error:
                    os.replace(name, f"{name}.damaged", src_dir_fd=self.directory, dst_dir_fd=self.directory)
                    problems.append(f"the journal's {name} is damaged ({error}); it was put aside, and its fix counts as ended")
        found.sort(key=lambda fix: fix.started, reverse=True)
        return Fixes(fixes=tuple(found), problems=tuple(problems))

    def put(self, fix: Fix) -> None:
        """Writes a fix down; when this returns it is on disk. Raises `FixRefused` (NO_DISK)."""
        text = json.dumps(to_plain(fix), sort_keys=True)
        body = json.dumps({"sum": hashlib.sha256(text.encode()).hexdigest(), "fix": text}).encode()
        try:
            self._replace(f"{fix.id}{_SUFFIX}", body)
        except OSError as error:
            raise _no_disk("the state directory", error) from error

    def forget(self, fixes: Fixes) -> None:
        """Deletes the oldest of those that ended."""
        ended = [fix for fix in fixes.fixes if not fix.live]
        for fix in ended[_KEPT:]:
            os.unlink(f"{fix.id}{_SUFFIX}", dir_fd=self.directory)

    def note(self, what: str, who: str, fix: str, **more: Any) -> None:
        """Adds a record to the audit log; when this returns it is on disk. Raises `FixRefused` (NO_DISK)."""
        try:
            self._note({"at": lease.iso(lease.now().wall), "what": what, "who": who, "fix": fix, **more})
        except OSError as error:
            raise _no_disk("the audit log", error) from error

    def _note(self, record: dict[str, Any]) -> None:
        descriptor = os.open(
            _AUDIT, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.directory
        )
        try:
            number, previous = self._tail(descriptor)
            line, digest = audit.seal(record, number + 1, previous)
            data = f"{line}\n".encode()
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, data) != len(data):
                os.ftruncate(descriptor, size)
                raise OSError(28, "no space left")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._replace(_HEAD, f"{number + 1} {digest}\n".encode())

    def _tail(self, descriptor: int) -> tuple[int, str]:
        """Number and hash of the last record that is whole. What a crash left half-written behind it is put aside."""
        size = os.fstat(descriptor).st_size
        window = min(size, 64 * 1024)
        data = os.pread(descriptor, window, size - window)
        whole, end, rest = data.rpartition(b"\n")
        if rest:
            self._replace(f"{_AUDIT}.torn", rest)
            os.ftruncate(descriptor, size - len(rest))
        if not end:
            return _head(self.directory) or (0, audit.START)
        try:
            last = json.loads(whole.rpartition(b"\n")[2])
            return int(last["number"]), str(last["hash"])
        except (ValueError, TypeError, KeyError):
            # Damaged: the check will name it; the log goes on from what it is known to have held.
            return _head(self.directory) or (0, audit.START)

    def _replace(self, name: str, data: bytes) -> None:
        """A whole new file under that name, or the old one; never half of it."""
        temporary = f"{name}.new"
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.directory
        )
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(28, "no space left")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, name, src_dir_fd=self.directory, dst_dir_fd=self.directory)
        os.fsync(self.directory)


def _decode(data: bytes) -> Fix:
    outer = json.loads(data)
    if not isinstance(outer, dict) or hashlib.sha256(str(outer.get("fix")).encode()).hexdigest() != outer.get("sum"):
        raise ValueError("its checksum is wrong")
    return from_plain(Fix, json.loads(outer["fix"]))


def _head(directory: int) -> tuple[int, str] | None:
    try:
        number, digest = _read(directory, _HEAD).split()
        return int(number), digest.decode()
    except (OSError, ValueError):
        return None


def _read(directory: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _no_disk(what: str, error: OSError) -> FixRefused:
    why = error.strerror or str(error)
    return FixRefused(operations.NO_DISK, f"{what} cannot be written ({why}), and nothing is changed that is not written down.")
