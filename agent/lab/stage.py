"""Puts one incident on stage: the world, its firewall, its kubelets. Runs inside the sandbox only."""

import contextlib
import os
import select
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.host import command, namespaces
from agent.lab import bpf, cgroup
from agent.lab.errors import LabError
from agent.lab.handover import READY_VARIABLE
from agent.lab.incidents import Incident
from agent.lab.rules import Rules
from agent.lab.topology import ETC_DIR, METRICS_SERVER, NODE, PEER, WEB, LabNode, LabPod, build, perform, within
from agent.model.ruleset import Backend
from agent.model.settings import KUBELET_PORT

# Two interpreters with TLS start in a quarter of a second; a machine that needs this long is stuck.
_KUBELET_SECONDS = 20.0
_KNOCK_SECONDS = 1.0


def stage(incident: Incident, backend: Backend, cgroup_name: str = "") -> None:
    """Builds everything and returns when the kubelets listen. `cgroup_name` is for the kubelet's own. Raises `LabError`."""
    build(incident.pod_cidrs, ipv6="6" in incident.stack)
    group = _fenced(cgroup_name) if incident.denied_by_cgroup else None
    _write(incident.etc)
    _run(NODE.namespace, incident.node)
    for pod in (METRICS_SERVER, WEB):
        _run(pod.namespace, incident.pods)
    kubelets = ((NODE, incident.flags), (PEER, ())) if incident.kubelet else ((PEER, ()),)
    started = [(node, _start_kubelet(node, incident.stack, flags, group if node is NODE else None)) for node, flags in kubelets]
    if incident.dropped_by_program:
        _program(incident.dropped_by_program)
    _load(incident.rules[backend])
    for node, ready in started:
        _await_kubelet(node, ready)
    for _ in range(incident.knocks):
        _knock(METRICS_SERVER)


def _run(namespace: Path, lines: tuple[str, ...]) -> None:
    """Runs shell lines in a network namespace; the first that fails ends them."""
    if lines:
        perform(within(namespace, "sh", "-e"), stdin="\n".join((*lines, "")))


def _load(rules: Rules) -> None:
    """Loads the node's firewall. Each tool reads its whole input before it changes anything, and all of it or none."""
    for tool, text in (
        (("ipset", "restore"), rules.ipset),
        (("iptables-legacy-restore",), rules.legacy),
        (("iptables-nft-restore",), rules.nft),
        (("ip6tables-legacy-restore",), rules.legacy6),
        (("ip6tables-nft-restore",), rules.nft6),
        (("nft", "-f", "-"), rules.native),
    ):
        if text:
            perform(within(NODE.namespace, *tool), stdin=text)


def _write(files: Sequence[tuple[str, str]]) -> None:
    for name, text in files:
        path = ETC_DIR / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _knock(pod: LabPod) -> None:
    """One connect from a pod, as an earlier scrape made it; whether it succeeds is the firewall's business."""
    with namespaces.inside(str(pod.namespace), pod.namespace.stat().st_ino, socket.socket) as sock:
        sock.settimeout(_KNOCK_SECONDS)
        with contextlib.suppress(OSError):
            sock.connect((NODE.address, KUBELET_PORT))


def _fenced(name: str) -> Path:
    """A cgroup whose filter drops pods."""
    place = cgroup.make(name)
    bpf.deny_pods(place)
    return place


def _program(interface: str) -> None:
    """Hangs the dropping program on an interface of the node. The index is the node's; so is the namespace it is found in."""
    perform(within(NODE.namespace, sys.executable, "-P", "-m", "agent.lab.bpf", interface))


def _start_kubelet(node: LabNode, stack: str, more: tuple[str, ...], group: Path | None) -> int:
    """Starts a node's kubelet, in the cgroup `group` if there is one; returns a descriptor that becomes readable when it
    listens or is dead.
    """
    ready, theirs = os.pipe()
    addresses = ",".join(address for version, address in (("4", node.address), ("6", node.address6)) if version in stack)
    own = () if any(flag.startswith("--node-ip=") for flag in more) else (f"--node-ip={addresses}",)
    flags = (*own, f"--hostname-override={node.name}", *more)
    # `0` is the shell itself: it joins before the socket is made, which stays in the cgroup of its making.
    join = ("sh", "-c", 'echo 0 > "$0" && exec "$@"', str(group / "cgroup.procs")) if group else ()
    argv = within(node.namespace, *join, sys.executable, "-P", "-m", "agent.lab.kubelet", *flags)
    try:
        command.spawn(argv, pass_fds=(theirs,), piped=False, environment={READY_VARIABLE: str(theirs)})
    except OSError as error:
        raise LabError(f"the kubelet of {node.name} could not be started: {error}") from error
    finally:
        os.close(theirs)
    return ready


def _await_kubelet(node: LabNode, ready: int) -> None:
    try:
        readable, _, _ = select.select([ready], [], [], _KUBELET_SECONDS)
        if not readable or not os.read(ready, 1):
            raise LabError(f"the kubelet of {node.name} does not listen")
    finally:
        os.close(ready)
