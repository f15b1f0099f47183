"""The outer process: makes throwaway namespaces, runs the lab in them and stays to end it.

Nothing of the machine is touched: network, mounts and processes of the lab live in namespaces of their own, with a private
/run, and are gone with their last process. Three ties end that process, whoever is killed first: the lifeline pipe, the leash
on which `unshare` runs (PR_SET_PDEATHSIG), and `unshare --kill-child` for the first process inside.
"""

import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.host import command
from agent.host.privilege import in_user_namespace
from agent.lab import cgroup
from agent.lab.errors import LabError
from agent.lab.handover import Plan
from agent.lab.incidents import find_incident
from agent.model.codec import to_plain
from agent.model.ruleset import Backend

_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
_ROOTLESS = ("--user", "--map-root-user")
# capabilities(7): what unshare and the firewall tools need where no user namespace gives it to them.
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21
_NEEDED = 1 << _CAP_NET_ADMIN | 1 << _CAP_SYS_ADMIN
# Debian's ordinary users have no /usr/sbin in PATH, and there the firewall tools live.
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_FAREWELL_SECONDS = 5.0  # killing a dozen processes takes milliseconds


class Sandbox:
    """A lab that runs. A context manager: leaving it ends everything inside."""

    def __init__(self, incident: str, backend: Backend, argv: Sequence[str], keep: Sequence[int] = ()) -> None:
        """Starts the lab; `argv` runs on its node with the descriptors `keep`. Raises `LabError`."""
        needs = find_incident(incident).needs_root
        if needs and (not _privileged() or in_user_namespace()):
            raise LabError(f"{incident} needs the machine's own root: {needs}")
        cgroup.sweep()
        prefix = _prefix()
        _try_out(prefix)
        theirs, self._lifeline = os.pipe()
        plan = Plan(
            incident=incident, backend=backend, argv=tuple(argv), lifeline=theirs, keep=tuple(keep), cgroup=cgroup.name()
        )
        inside = [sys.executable, "-P", "-m", "agent.lab.inside", json.dumps(to_plain(plan))]
        path = os.pathsep.join((os.environ.get("PATH", ""), *_SBIN))
        try:
            self._child = command.spawn([*prefix, *inside], pass_fds=(theirs, *keep), piped=False, environment={"PATH": path})
        except OSError as error:
            os.close(self._lifeline)
            raise LabError(f"the lab could not be started: {error}") from error
        finally:
            os.close(theirs)

    def wait(self) -> int:
        """Waits for the end of the lab; returns the exit code of what ran inside. Raises `LabError` where it was killed."""
        # The lifeline hangs up when nobody inside holds its other end any more: no polling, and signals interrupt it.
        command.wait_for(self._child, self._lifeline)
        self._child.end(_FAREWELL_SECONDS)
        status = self._child.status
        if status is None or status < 0:
            raise LabError("the lab was killed before its end")
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # A second Ctrl-C must not interrupt the end that the first one brought.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            os.close(self._lifeline)
            self._child.end(_FAREWELL_SECONDS)
            cgroup.sweep()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _prefix() -> list[str]:
    unshare = command.find("unshare")
    if unshare is None:
        raise LabError("unshare is not installed, and the lab lives in namespaces: apt-get install util-linux")
    return [unshare, *(() if _privileged() else _ROOTLESS), *_NAMESPACES, "--"]


def _privileged() -> bool:
    """Whether this process may make namespaces and firewalls as it is; root in a container often may not."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return effective is not None and int(effective[1], 16) & _NEEDED == _NEEDED


def _try_out(prefix: Sequence[str]) -> None:
    """Makes the namespaces once with nothing in them: where that fails, the kernel's reason can be told in a sentence."""
    done = command.run([*prefix, "mount", "-t", "tmpfs", "lab", "/run"])
    if done.status != 0:
        said = done.problem or " ".join(done.stderr.decode(errors="replace").split()) or f"exit code {done.status}"
        raise LabError(f"this system gives the lab no namespaces ({said}): {remedy(rootless=not _privileged())}")


def remedy(rootless: bool, settings: Path = Path("/proc/sys")) -> str:
    """What lifts the restriction that is on, of those that distributions and administrators use."""
    for name, forbids, what_to_do in (
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor keeps user namespaces to root; run it with sudo"),
        ("kernel/unprivileged_userns_clone", "0", "user namespaces are kept to root; run it with sudo"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces is 0; raise it with sysctl, or run it with sudo"),
    ):
        setting = settings / name
        if rootless and setting.exists() and setting.read_text(encoding="ascii").strip() == forbids:
            return what_to_do
    return "run it as root, and in a container with --privileged"
