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
from agent.lab.cast import Actor, furnish, kubelets, supporting
from agent.lab.errors import LabError
from agent.lab.handover import READY_VARIABLE
from agent.lab.incidents import Incident
from agent.lab.rules import Rules
from agent.lab.topology import ETC_DIR, METRICS_SERVER, NODE, WEB, LabPod, build, perform, within
from agent.model.ruleset import Backend
from agent.model.settings import KUBELET_PORT

# Two interpreters with TLS start in a quarter of a second; a machine that needs this long is stuck.
_START_SECONDS = 20.0
_KNOCK_SECONDS = 1.0


def stage(incident: Incident, backend: Backend, cgroup_name: str = "") -> None:
    """Builds everything and returns when the kubelets listen. `cgroup_name` is for the kubelet's own. Raises `LabError`."""
    build(incident.pod_cidrs, ipv6="6" in incident.stack)
    group = _fenced(cgroup_name) if incident.denied_by_cgroup else None
    _write(incident.etc)
    _run(NODE.namespace, incident.node)
    for pod in (METRICS_SERVER, WEB):
        _run(pod.namespace, incident.pods)
    if incident.metrics_server is not None:
        furnish(incident.hosts)
    started = [(actor.name, _start(actor)) for actor in (*kubelets(incident, group), *supporting(incident))]
    if incident.dropped_by_program:
        _program(incident.dropped_by_program)
    _load(incident.rules[backend])
    for name, ready in started:
        _await(name, ready)
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


def _start(actor: Actor) -> int:
    """Starts one process; returns a descriptor that becomes readable when it is ready or dead."""
    ready, theirs = os.pipe()
    # `0` is the shell itself: it joins before the process makes a socket, which stays in the cgroup of its making.
    join = ("sh", "-c", 'echo 0 > "$0" && exec "$@"', str(actor.group / "cgroup.procs")) if actor.group else ()
    argv = within(actor.namespace, *join, sys.executable, "-P", "-m", actor.module, *actor.arguments)
    environment = {**actor.environment, READY_VARIABLE: str(theirs)}
    try:
        command.spawn(argv, pass_fds=(theirs,), piped=False, environment=environment)
    except OSError as error:
        raise LabError(f"{actor.name} could not be started: {error}") from error
    finally:
        os.close(theirs)
    return ready


def _await(name: str, ready: int) -> None:
    try:
        readable, _, _ = select.select([ready], [], [], _START_SECONDS)
        if not readable or not os.read(ready, 1):
            raise LabError(f"{name} does not listen")
    finally:
        os.close(ready)
