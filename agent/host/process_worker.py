"""The worker that owns psutil: who runs in the host's network namespace, and who listens there.

A process of its own because psutil is third party and needs privilege (SYS_PTRACE to see other users' sockets); the broker
stays standard library only.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import psutil

from agent.host import configured, job, listeners
from agent.model.capture import Listener, Process, Processes

# Those whose flags or presence say something about the way to the kubelet: kubelets (alone or inside a distribution's one
# process), what they talk to, what programs the firewall.
INTERESTING = frozenset(
    (
        *(
            "kubelet",
            "kubelite",
            "k3s",
            "k3s-server",
            "k3s-agent",
            "rke2",
            "k0s",
            "hyperkube",
            "microk8s",
            "openshift",
            "talos",
        ),
        *("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-router", "metrics-server"),
        *("calico-node", "calico-felix", "cilium-agent", "flanneld", "antrea-agent", "weaver", "kindnetd", "ovnkube"),
        *("firewalld", "ufw", "dockerd", "cri-dockerd", "containerd", "crio", "tailscaled", "fail2ban-server"),
    )
)
# Those that run in pods, whose flags decide how the kubelet is asked.
_IN_PODS = frozenset(("metrics-server",))
# Those whose proxy decides whether metrics arrive (net/http, ProxyFromEnvironment: upper case, then lower).
_PROXIED = frozenset(("kube-apiserver", "metrics-server"))
_PROXY = re.compile(r"(?i)^(https?_proxy|no_proxy)=")
_SECRET_FLAG = re.compile(r"(?i)^--?[a-z0-9_.-]*(token|passw|secret|key|credential)[a-z0-9_.-]*")
# Values that no secret has: kubelet --authentication-token-webhook=true is a switch.
_SWITCHES = ("true", "false")
_USERINFO = re.compile(r"(://)[^/@\s]+@")
_NAMESPACE = "ns/net"


def look(_: dict[str, Any]) -> Processes:
    """One look at /proc. Processes that end meanwhile are left out; those that may not be seen are counted in `problem`."""
    started = time.monotonic()
    own = Path("/proc/self", _NAMESPACE).stat().st_ino
    found: list[Process] = []
    hidden: list[str] = []
    for process in psutil.process_iter():
        try:
            name = process.name()
            if name not in INTERESTING:
                continue
            inode = Path("/proc", str(process.pid), _NAMESPACE).stat().st_ino
            if inode == own or name in _IN_PODS:
                found.append(_described(process, name, 0 if inode == own else inode))
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
        except (psutil.AccessDenied, PermissionError):
            hidden.append(f"{name} ({process.pid})")
    values, cni_files, unread = configured.read(found)
    unseen = f"may not be seen without the capability SYS_PTRACE: {', '.join(hidden)}" if hidden else ""
    listening = tuple(sorted(_listeners(), key=lambda item: (item.port, item.address)))
    return Processes(
        processes=tuple(found),
        listeners=listening,
        configured=values,
        cni_files=cni_files,
        problem="; ".join(filter(None, (unseen, unread))),
        seconds=time.monotonic() - started,
    )


def _described(process: psutil.Process, name: str, namespace: int) -> Process:
    try:
        variables = process.environ() if name in _PROXIED else {}
    except psutil.AccessDenied:  # its flags may still be seen
        variables = {}
    shown = sorted(text for key, value in variables.items() if _PROXY.match(text := f"{key}={value}"))
    environment = tuple(_USERINFO.sub(r"\1***@", text) for text in shown)
    argv = redact(process.cmdline())
    return Process(pid=process.pid, name=name, argv=argv, namespace=namespace, environment=environment)


def redact(argv: Sequence[str]) -> tuple[str, ...]:
    """The arguments with secrets replaced by `***`: values of flags that are named like one, and passwords inside URLs."""
    shown: list[str] = []
    hide_next = False
    for argument in argv:
        flag = _SECRET_FLAG.match(argument)
        if hide_next and not argument.startswith("--"):
            shown.append("***")
        elif flag and "=" in argument and argument.partition("=")[2] not in _SWITCHES:
            shown.append(f"{argument.split('=', 1)[0]}=***")
        else:
            shown.append(_USERINFO.sub(r"\1***@", argument))
        hide_next = flag is not None and "=" not in argument
    return tuple(shown)


def _listeners() -> Iterator[Listener]:
    """TCP sockets in LISTEN of our own namespace, each address and port once."""
    try:
        sockets = listeners.everyone()
    except OSError:  # a kernel without tcp_diag: psutil reads /proc/net
        seen = ((*each.laddr, each.pid) for each in psutil.net_connections(kind="tcp") if each.status == psutil.CONN_LISTEN)
    else:
        owners = _owners({each.inode for each in sockets})
        seen = ((each.address, each.port, owners.get(each.inode)) for each in sockets)
    for address, port, pid in dict.fromkeys(seen):
        yield Listener(address=address, port=port, pid=pid, process=_name(pid))


def _owners(inodes: Set[int]) -> dict[int, int]:
    """Who holds these sockets; of several the one with the highest pid, as psutil says. Processes may hide what they hold."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for pid in psutil.pids():
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # closed meanwhile
                    # A Path for each of ten thousand descriptors would take longer than the kernel's answer.
                    if (inode := wanted.get(os.readlink(entry.path))) is not None:  # noqa: PTH115
                        found[inode] = pid
    return found


def _name(pid: int | None) -> str:
    if pid is None:
        return ""
    try:
        return psutil.Process(pid).name()
    except psutil.Error:  # it ended, or may not be seen: a listener without an owner
        return ""


if __name__ == "__main__":
    job.serve(look)
