"""The service as it runs on a node, with its sockets out here: TCP on loopback, a Unix socket, its log in a file."""

import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx

from agent.api.own_certificate import now, self_signed
from agent.cli.doors import listen_unix, seal
from agent.lab.topology import CNI_DIR, NODE, STATE_DIR
from agent.model.access import Access, Secrets
from agent.model.codec import to_plain
from agent.model.settings import Settings
from tests.lab.staged import IS_ROOT, await_that, command_line, parent_of, pids, runs

CANARY = "canary-3c9d1be07f2a4856"
BEARER = {"Authorization": f"Bearer {CANARY}"}
# Into a control group, where there is one, before anything of it is in memory; then as argv says, its errors into the log.
TO_LOG = (
    "import os, sys; group, log = map(int, sys.argv[1:3]); group < 0 or (os.write(group, b'0'), os.close(group)); "
    "os.dup2(log, 2); os.execv(sys.argv[3], sys.argv[3:])"
)
PYTHON = (sys.executable, "-P", "-m")


@dataclass
class Service:
    """A service that runs."""

    pid: int
    port: int
    path: Path
    log: Path
    scheme: str = "https"

    def client(self, **more: object) -> httpx.Client:
        """A client with the token, over TCP."""
        headers = {**BEARER, **more.pop("headers", {})}  # type: ignore[dict-item]
        return httpx.Client(
            base_url=f"{self.scheme}://127.0.0.1:{self.port}", headers=headers, verify=False, **{"timeout": 30, **more}
        )

    def unix(self) -> httpx.Client:
        """A client over the Unix socket."""
        return httpx.Client(base_url="http://localhost", transport=httpx.HTTPTransport(uds=str(self.path)), timeout=30)

    def pid_of(self, module: str) -> int:
        """The process below that runs a module of ours."""
        found: list[int] = []

        def look() -> bool:
            family = {self.pid}
            parents = {pid: parent for pid in pids() if (parent := parent_of(pid)) is not None}
            while grown := {pid for pid, parent in parents.items() if parent in family} - family:
                family |= grown
            found[:] = sorted(pid for pid in family if runs(command_line(pid), module))
            return bool(found)

        await_that(look, f"nothing runs {module}")
        return found[0]

    def on_node(self, *argv: str, pod: Path | None = None) -> list[str]:
        """The command line that runs `argv` where kubereach lives: in the node's namespaces, or one of its pods' network."""
        there = self.pid_of("agent.host.supervisor")
        own, nodes = (Path(f"/proc/{process}/ns/net").readlink() for process in ("self", there))
        assert own != nodes, "that would be this machine's own network"
        enter = ["nsenter", "-t", str(there), *(() if IS_ROOT else ("-U", "--preserve-credentials")), "-m", "-n", "--"]
        return [*enter, *(("nsenter", f"--net={pod}", "--") if pod else ()), *argv]

    def resident(self, module: str = "agent.api.front") -> int:
        """The memory of a process below, in bytes."""
        status = Path(f"/proc/{self.pid_of(module)}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


@contextlib.contextmanager
def serving(
    directory: Path, incident: str = "centos-reject", *, insecure: bool = False, allow_fix: bool = False, group: int = -1
) -> Iterator[Service]:
    """Runs the service on the incident's node: with TLS and the token `CANARY`, or an insecure loopback.

    `group` is the open cgroup.procs of a control group for it.
    """
    access = Access(owner=os.geteuid(), insecure_loopback=insecure)
    secrets = Secrets()
    if not insecure:
        certificate, key = self_signed(["localhost", "127.0.0.1"], now())
        secrets = Secrets(token_sha256=sha256(CANARY.encode()).hexdigest(), certificate=certificate, key=key)
    path, log = directory / "own" / "kubereach.sock", directory / "log"
    with (
        socket.create_server(("127.0.0.1", 0), backlog=256) as tcp,
        listen_unix(path) as unix,
        log.open("wb") as stderr,
        os.fdopen(seal(secrets), "rb") as sealed,
    ):
        port, kept = tcp.getsockname()[1], (tcp.fileno(), unix.fileno(), sealed.fileno())
        argv = _serving(access, *kept, allow_fix=allow_fix)
        service = Service(0, port, path, log, "http" if insecure else "https")
        with _staged(incident, argv, kept, stderr.fileno(), group) as service.pid:
            for sock in (tcp, unix):
                sock.close()
            await_that(lambda: _answers(service), "the service does not answer", patience=60.0)
            yield service


def _serving(access: Access, tcp: int, unix: int, sealed: int, *, allow_fix: bool) -> list[str]:
    chosen = Settings(node_name=NODE.name, cni_dirs=(str(CNI_DIR),), allow_fix=allow_fix, state_dir=str(STATE_DIR))
    settings = json.dumps(to_plain(chosen))
    front = [*PYTHON, "agent.api.front", "--settings", settings, "--access", json.dumps(to_plain(access))]
    front += ["--secrets-fd", str(sealed), "--listen-fd", str(tcp), "--listen-fd", str(unix)]
    broker = [*PYTHON, "agent.host.broker", "--settings", settings]
    kept = [word for each in (tcp, unix, sealed) for word in ("--keep-fd", str(each))]
    return [*PYTHON, "agent.host.supervisor", "--broker", json.dumps(broker), "--front", json.dumps(front), *kept]


@contextlib.contextmanager
def _staged(incident: str, argv: list[str], kept: tuple[int, ...], stderr: int, group: int) -> Iterator[int]:
    from agent.host import command
    from agent.lab.handover import Plan
    from agent.lab.incidents import find_incident
    from agent.lab.sandbox import _prefix

    theirs, lifeline = os.pipe()
    opened = (*kept, stderr, *((group,) if group >= 0 else ()))
    plan = Plan(
        incident=incident,
        backend=find_incident(incident).default_backend,
        argv=(sys.executable, "-c", TO_LOG, str(group), str(stderr), *argv),
        lifeline=theirs,
        keep=opened,
    )
    inside = [*PYTHON, "agent.lab.inside", json.dumps(to_plain(plan))]
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    child = command.spawn([*_prefix(), *inside], pass_fds=(theirs, *opened), piped=False, environment={"PATH": path})
    os.close(theirs)
    try:
        yield child.pid
    finally:
        os.close(lifeline)
        child.end(10.0)


def _answers(service: Service) -> bool:
    try:
        with service.client() as client:
            return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False
