"""Puts one incident on stage: the world, its firewall, its kubelets. Runs inside the sandbox only."""

import os
import select
import sys
from pathlib import Path

from agent.host import command
from agent.lab.errors import LabError
from agent.lab.handover import READY_VARIABLE
from agent.lab.incidents import Incident
from agent.lab.rules import Rules
from agent.lab.topology import METRICS_SERVER, NODE, PEER, WEB, LabNode, build, perform, within
from agent.model.ruleset import Backend

# Two interpreters with TLS start in a quarter of a second; a machine that needs this long is stuck.
_KUBELET_SECONDS = 20.0


def stage(incident: Incident, backend: Backend) -> None:
    """Builds everything and returns when the kubelets listen. Raises `LabError`."""
    build()
    _run(NODE.namespace, incident.node)
    for pod in (METRICS_SERVER, WEB):
        _run(pod.namespace, incident.pods)
    kubelets = ((NODE, incident.flags), (PEER, ())) if incident.kubelet else ((PEER, ()),)
    started = [(node, _start_kubelet(node, flags)) for node, flags in kubelets]
    _load(incident.rules[backend])
    for node, ready in started:
        _await_kubelet(node, ready)


def _run(namespace: Path, lines: tuple[str, ...]) -> None:
    """Runs shell lines in a network namespace; the first that fails ends them."""
    if lines:
        perform(within(namespace, "sh", "-e"), stdin="\n".join((*lines, "")))


def _load(rules: Rules) -> None:
    """Loads the node's firewall. Each tool reads its whole input before it changes anything, and all of it or none."""
    for tool, text in (
        (("iptables-legacy-restore",), rules.legacy),
        (("iptables-nft-restore",), rules.nft),
        (("nft", "-f", "-"), rules.native),
    ):
        if text:
            perform(within(NODE.namespace, *tool), stdin=text)


def _start_kubelet(node: LabNode, more: tuple[str, ...]) -> int:
    """Starts a node's kubelet; returns a descriptor that becomes readable when it listens or is dead."""
    ready, theirs = os.pipe()
    flags = (f"--node-ip={node.address}", f"--hostname-override={node.name}", *more)
    argv = within(node.namespace, sys.executable, "-P", "-m", "agent.lab.kubelet", *flags)
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
