"""What a phantom pod's CNI network must be asked to take back, on disk before it is asked to give anything.

One file for each phantom, locked by whoever looks after it (flock(2)): a record that nobody holds is one whose maker is dead.
"""

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent.host.phantom import cni, stand_in
from agent.host.phantom.makers import Maker, namespace

_DIRECTORY = "phantoms"
_RECORD, _RESULT, _BROKEN = ".json", ".result", ".broken"


@dataclass(frozen=True, slots=True)
class _Kept:
    joint: cni.Joint
    maker: Maker


class Record:
    """A record that is held, of what CNI joins for the phantom of `maker`. Raises `OSError` where it cannot be written."""

    def __init__(self, state_dir: str, joint: cni.Joint, maker: Maker) -> None:
        directory = Path(state_dir, _DIRECTORY)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / f"{joint.container}{_RECORD}"
        self._held = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        _write(self._held, asdict(_Kept(joint, maker)))
        _sync(directory)

    def note(self, result: dict[str, Any]) -> None:
        """Keeps what ADD answered, which DEL is given."""
        handle = os.open(self.path.with_suffix(_RESULT), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(handle, result)
        finally:
            os.close(handle)

    def let_go(self) -> None:
        """From now on whoever settles it may have it."""
        os.close(self._held)


def where(state_dir: str, container: str) -> Path:
    """The place of a record."""
    return Path(state_dir, _DIRECTORY, f"{container}{_RECORD}")


def settle(path: Path, *, wait: bool = True) -> None:
    """Takes back what a record speaks of, and removes it. Does nothing where it is gone or (without `wait`) held.

    Raises `cni.CniError` where a plugin failed: the record stays.
    """
    try:
        held = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.fstat(held).st_nlink == 0:
            return
        with os.fdopen(os.dup(held), "rb") as file:
            kept = _read(path, file.read())
        if kept is None:
            return
        result = _result(path)
        with namespace(kept.maker) as netns:
            if netns:
                cni.delete(replace(kept.joint, netns=netns), result)
            else:
                stand_in.delete(kept.joint, result)
        path.with_suffix(_RESULT).unlink(missing_ok=True)
        path.unlink()
    except BlockingIOError:
        return
    finally:
        os.close(held)


def sweep(state_dir: str) -> list[str]:
    """Settles every record that nobody holds; a sentence for each that could not be."""
    problems = []
    for path in sorted(Path(state_dir, _DIRECTORY).glob(f"*{_RECORD}")):
        try:
            settle(path, wait=False)
        except (cni.CniError, OSError) as error:
            problems.append(f"a phantom pod of an earlier look could not be taken back: {error}")
    return problems


def _read(path: Path, data: bytes) -> _Kept | None:
    """The record's words; one that was cut off before anything was asked for is put aside."""
    try:
        kept = json.loads(data)
        joint, network, maker = kept["joint"], kept["joint"]["network"], kept["maker"]
        network |= {"plugins": tuple(network["plugins"]), "bins": tuple(network["bins"])}
        joined = cni.Joint(network=cni.Network(**network), container=str(joint["container"]), netns=str(joint["netns"]))
        return _Kept(joined, Maker(int(maker["pid"]), int(maker["started"])))
    except (ValueError, KeyError, TypeError):
        path.rename(path.with_suffix(_BROKEN))
        return None


def _result(path: Path) -> dict[str, Any]:
    """Without it plugins find by the container's id what is theirs."""
    with suppress(OSError, ValueError):
        found = json.loads(path.with_suffix(_RESULT).read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def _write(handle: int, value: dict[str, Any]) -> None:
    os.write(handle, json.dumps(value).encode())
    os.fsync(handle)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
