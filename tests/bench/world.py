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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.host import namespaces
from agent.lab.inside import SETTINGS
from agent.lab.sandbox import Sandbox
from agent.lab.topology import CNI_DIR, ETC_DIR, METRICS_SERVER, NODE, STATE_DIR
from agent.model.access import Access
from agent.model.codec import to_plain
from agent.model.ruleset import Backend
from agent.model.settings import Settings
from tests.bench.machine import search_path
from tests.bench.results import NotMeasured
from tests.lab.kube_shape import kube_proxy
from tests.lab.staged import command_line, parent_of, pids, runs

PYTHON = (sys.executable, "-P", "-m")
BROKER = "agent.host.broker"
# Longer than any one thing here may take: restoring and reading 100,000 rules takes seconds.
PATIENCE = 120.0


class Client:
    """One connection that is kept, whoever answers at its other end: the same for us and for those we are measured beside."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connection = http.client.HTTPConnection("localhost")
        self._connection.connect = self._open  # type: ignore[method-assign]  # the socket may be of another namespace
        self._connect = connect

    def ask(self, method: str, path: str, body: dict[str, object] | None = None) -> tuple[int, bytes]:
        """Status and content of the answer. Raises `OSError`, `http.client.HTTPException`."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else {}
        try:
            return self._once(method, path, content, headers)
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            return self._once(method, path, content, headers)  # servers hang up on a connection that is idle for some seconds

    def diagnose(self) -> dict[str, Any]:
        """The report of a new look."""
        status, content = self.ask("POST", "/v1/diagnoses", {})
        answer = json.loads(content)
        if status != http.client.CREATED or not answer.get("report"):
            raise NotMeasured(f"a diagnosis ended with HTTP {status}: {answer.get('detail') or answer.get('error')}")
        report: dict[str, Any] = answer["report"]
        return report

    def _once(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path, content, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # else it waits for the answer to this one for ever
            raise

    def _open(self) -> None:
        self._connection.sock = self._connect()


@dataclass(frozen=True, slots=True)
class World:
    """A lab that serves. `broker` is the pid of kubereach's privileged half, which lives on the node; `port` is on loopback."""

    port: int
    broker: int

    def client(self) -> Client:
        """A client of kubereach."""
        return Client(lambda: socket.create_connection(("127.0.0.1", self.port), PATIENCE))

    def pod_client(self, port: int) -> Client:
        """A client of what listens on the loopback of metrics-server's pod."""
        path = f"/proc/{self.broker}/root{METRICS_SERVER.namespace}"

        def connect() -> socket.socket:
            return namespaces.inside(
                path, Path(path).stat().st_ino, lambda: socket.create_connection(("127.0.0.1", port), PATIENCE)
            )

        return Client(connect)

    def on_node(self, *argv: str, stdin: str = "") -> str:
        """Runs a program on the node, among its processes; returns what it prints. Raises `NotMeasured`."""
        done = subprocess.run(
            [*self.entering(), *argv], input=stdin, capture_output=True, text=True, check=False, env=environment()
        )
        if done.returncode:
            said = " ".join((done.stderr.strip().splitlines() or ["it said nothing"])[-1].split())
            raise NotMeasured(f"{' '.join(argv[:4])} ended with exit code {done.returncode}: {said[:200]}")
        return done.stdout

    def entering(self, *, pod: bool = False, processes: bool = True) -> tuple[str, ...]:
        """What comes before a command line that is to run on the node, or in the pod's network."""
        target = ("nsenter", f"--target={self.broker}", "--mount", *(("--pid",) if processes else ()))
        net = f"--net=/proc/{self.broker}/root{METRICS_SERVER.namespace}" if pod else "--net"
        return (*target, net, "--")

    def load(self, backend: Backend, services: int, *, elsewhere: bool = True) -> None:
        """Adds kube-proxy's rules for so many services to the node's nat table."""
        self.on_node(f"iptables-{backend}-restore", "--noflush", stdin=nat_rules(services, elsewhere=elsewhere))

    def processes(self) -> list[int]:
        """The broker and all below it."""
        return descendants(self.broker)


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
        before = set(_brokers())
        stack.enter_context(Sandbox(incident, backend, argv, keep=(listener.fileno(),)))
        port = listener.getsockname()[1]
        world = World(port, _await_broker(before))
        world.client().ask("GET", "/livez")
        if rules:
            world.load(backend, rules)
        yield world


@contextlib.contextmanager
def beside(world: World, argv: Sequence[str], *, pod: bool = False, port: int) -> Iterator[int]:
    """Runs a server on the node, or in the pod's network, until the end; yields its pid once it answers on `port`."""
    prefix = world.entering(pod=pod, processes=False)
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen([*prefix, *argv], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment()) as child,
    ):
        try:
            _await_port(world, child, port, pod=pod)
            yield child.pid
        finally:
            child.terminate()


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
    fronting = [*PYTHON, front, "--settings", settings, "--access", access]
    argv = [*PYTHON, BROKER, "--settings", settings, "--listen-fd", str(listener.fileno()), "--front", json.dumps(fronting)]
    return ["sh", "-c", 'exec 2>>"$0"; exec "$@"', log, *argv]


def _brokers() -> Iterator[int]:
    return (pid for pid in descendants(os.getpid()) if runs(command_line(pid).strip(), BROKER))


def _await_broker(before: set[int]) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for pid in _brokers():
            if pid not in before:
                return pid
        time.sleep(0.02)
    raise NotMeasured(f"the lab's broker did not start within {PATIENCE:g} s")


def _await_port(world: World, child: "subprocess.Popen[bytes]", port: int, *, pod: bool) -> None:
    client = world.pod_client(port) if pod else node_client(world, port)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and child.poll() is None:
        try:
            client.ask("GET", "/")
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        else:
            return
    raise NotMeasured(f"nothing answers on port {port}")


def node_client(world: World, port: int) -> Client:
    """A client of what listens on the node's own loopback."""
    path = f"/proc/{world.broker}/ns/net"
    return Client(
        lambda: namespaces.inside(
            path, Path(path).stat().st_ino, lambda: socket.create_connection(("127.0.0.1", port), PATIENCE)
        )
    )
