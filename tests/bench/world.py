"""A lab for the bench: an incident whose node serves kubereach, and what else is run there beside it.

Everything happens in the lab's namespaces, which end with it; the one thing outside is the loopback socket that kubereach
answers on, as with `kubereach lab serve`.
"""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.lab.inside import SETTINGS
from agent.lab.sandbox import Sandbox
from agent.lab.topology import CNI_DIR, ETC_DIR, METRICS_SERVER, NODE, STATE_DIR
from agent.model.access import Access
from agent.model.codec import to_plain
from agent.model.ruleset import Backend
from agent.model.settings import Settings
from tests.bench.client import PATIENCE, Client, connect, in_namespace
from tests.bench.machine import search_path
from tests.bench.results import NotMeasured
from tests.lab.kube_shape import kube_proxy
from tests.lab.staged import command_line, parent_of, pids, runs

PYTHON = (sys.executable, "-P", "-m")
SUPERVISOR, BROKER = "agent.host.supervisor", "agent.host.broker"


@dataclass(frozen=True, slots=True)
class World:
    """A lab that serves. `supervisor` is the pid of kubereach's first process, on the node; `port` is on loopback."""

    port: int
    supervisor: int

    def client(self) -> Client:
        """A client of kubereach."""
        return Client(lambda: connect(self.port))

    def pod_client(self, port: int) -> Client:
        """A client of what listens on the loopback of metrics-server's pod."""
        return Client(in_namespace(f"/proc/{self.supervisor}/root{METRICS_SERVER.namespace}", port))

    def node_client(self, port: int) -> Client:
        """A client of what listens on the node's own loopback."""
        return Client(in_namespace(f"/proc/{self.supervisor}/ns/net", port))

    def on_node(self, *argv: str, stdin: str = "") -> str:
        """Runs a program on the node, among its processes; returns what it prints. Raises `NotMeasured`."""
        return perform([*self.entering(), *argv], stdin)

    def entering(self, *, pod: bool = False, processes: bool = True) -> tuple[str, ...]:
        """What comes before a command line that is to run on the node, or in the pod's network."""
        target = ("nsenter", f"--target={self.supervisor}", "--mount", *(("--pid",) if processes else ()))
        net = f"--net=/proc/{self.supervisor}/root{METRICS_SERVER.namespace}" if pod else "--net"
        return (*target, net, "--")

    def load(self, backend: Backend, services: int, *, elsewhere: bool = True) -> None:
        """Adds kube-proxy's rules for so many services to the node's nat table."""
        self.on_node(f"iptables-{backend}-restore", "--noflush", stdin=nat_rules(services, elsewhere=elsewhere))

    def processes(self) -> list[int]:
        """The supervisor and all below it."""
        return descendants(self.supervisor)


@contextlib.contextmanager
def staged(
    incident: str,
    backend: Backend,
    *,
    allow_fix: bool = False,
    interval: float = 0.0,
    front: str = "agent.api.front",
    rules: int = 0,
) -> Iterator[World]:
    """Stages an incident and serves kubereach from its node; `rules` is for how many services there are rules elsewhere."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        log = stack.enter_context(tempfile.NamedTemporaryFile())
        argv = _serving(listener, allow_fix=allow_fix, interval=interval, front=front, log=log.name)
        before = set(_supervisors())
        stack.enter_context(Sandbox(incident, backend, argv, keep=(listener.fileno(),)))
        port = listener.getsockname()[1]
        world = World(port, _await_supervisor(before))
        with contextlib.closing(world.client()) as client:
            client.ask("GET", "/livez")
        if rules:
            world.load(backend, rules)
        yield world


@contextlib.contextmanager
def beside(world: World, argv: Sequence[str], *, pod: bool = False, port: int) -> Iterator[int]:
    """Runs a server on the node, or in the pod's network, until the end; yields its pid once it answers on `port`."""
    # It must not outlive a bench that was killed.
    prefix = (*world.entering(pod=pod, processes=False), "setpriv", "--pdeathsig", "KILL", "--")
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen([*prefix, *argv], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment()) as child,
    ):
        try:
            _await_port(world, child, port, pod=pod)
            yield child.pid
        finally:
            child.terminate()


def perform(argv: Sequence[str], stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """Runs a program to its end; returns what it prints. Raises `NotMeasured` where it fails or takes too long."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, check=False, env=env or environment(), timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"{_tail(argv)} took more than {PATIENCE:g} s") from error
    if done.returncode:
        said = " ".join((done.stderr.strip().splitlines() or ["it said nothing"])[-1].split())
        raise NotMeasured(f"{_tail(argv)} ended with exit code {done.returncode}: {said[:200]}")
    return done.stdout


def nat_rules(services: int, *, elsewhere: bool = True) -> str:
    """kube-proxy's nat table for iptables-restore."""
    text = kube_proxy(services, elsewhere=elsewhere)
    return text[text.index("*nat") :]


def environment() -> dict[str, str]:
    """What a program on the node is told: the node's settings, and where the tools are."""
    return {**os.environ, **SETTINGS, "PATH": search_path()}


def descendants(root: int) -> list[int]:
    """A process and all below it."""
    parents = {pid: parent_of(pid) for pid in pids()}
    found = {root}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return sorted(found)


def _tail(argv: Sequence[str]) -> str:
    return " ".join(argv)[-60:]


def _serving(listener: socket.socket, *, allow_fix: bool, interval: float, front: str, log: str) -> list[str]:
    settings = json.dumps(
        to_plain(
            Settings(
                node_name=NODE.name,
                cni_dirs=(str(CNI_DIR),),
                etc_dirs=(str(ETC_DIR),),
                allow_fix=allow_fix,
                state_dir=str(STATE_DIR),
            )
        )
    )
    access = json.dumps(to_plain(Access(owner=os.geteuid(), insecure_loopback=True, interval=interval)))
    kept = str(listener.fileno())
    fronting = json.dumps([*PYTHON, front, "--settings", settings, "--access", access, "--listen-fd", kept])
    broking = json.dumps([*PYTHON, BROKER, "--settings", settings])
    argv = [*PYTHON, SUPERVISOR, "--keep-fd", kept, "--broker", broking, "--front", fronting]
    return ["sh", "-c", 'exec 2>>"$0"; exec "$@"', log, *argv]


def _supervisors() -> Iterator[int]:
    return (pid for pid in descendants(os.getpid()) if runs(command_line(pid).strip(), SUPERVISOR))


def _await_supervisor(before: set[int]) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for pid in _supervisors():
            if pid not in before:
                return pid
        time.sleep(0.02)
    raise NotMeasured(f"the lab's supervisor did not start within {PATIENCE:g} s")


def _await_port(world: World, child: "subprocess.Popen[bytes]", port: int, *, pod: bool) -> None:
    client = world.pod_client(port) if pod else world.node_client(port)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and child.poll() is None:
        try:
            client.ask("GET", "/")
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        else:
            return
    raise NotMeasured(f"nothing answers on port {port}")
