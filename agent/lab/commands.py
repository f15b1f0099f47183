"""What `kubereach lab list|run|serve` do: stage an incident, and run kubereach or any other program on its node."""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

from agent.lab.errors import LabError, UnknownIncidentError
from agent.lab.incidents import INCIDENTS, Incident, find_incident
from agent.lab.sandbox import Sandbox
from agent.lab.topology import CNI_DIR, ETC_DIR, NODE, STATE_DIR
from agent.model.access import Access
from agent.model.codec import to_plain
from agent.model.exitcode import ExitCode
from agent.model.ruleset import Backend
from agent.model.settings import OnStop, Settings

_INTERRUPTED = 130  # as a shell tells it: 128 and SIGINT's number (POSIX 2.8.2)
_BACKLOG = 128
_ANSWER = b"HTTP/1.1 200"
_FIRST_ANSWER_SECONDS = 30.0  # an idle machine needs one or two; a reader that hangs must be told so
_PYTHON = (sys.executable, "-P", "-m")


def list_incidents() -> tuple[Incident, ...]:
    """Every incident that can be staged."""
    return INCIDENTS


def run(name: str, backend: str | None, argv: Sequence[str]) -> int:
    """Stages an incident and runs `kubereach diagnose` on its node; the exit code is what that exits with.

    `argv` is handed to `diagnose` where it is empty or starts with an option; otherwise it is a command to run there instead
    (its words may follow a `--`). What cannot be staged is told in one sentence on stderr, with exit code `BLIND`, and a name
    that nobody knows with `USAGE`.
    """
    try:
        incident, chosen = _choose(name, backend)
        with _interruptible(), Sandbox(incident.name, chosen, program(argv)) as sandbox:
            return sandbox.wait()
    except LabError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return _INTERRUPTED


def serve(name: str, backend: str | None, host: str, port: int, *, allow_fix: bool = False) -> int:
    """Stages an incident and serves kubereach from its node on `host`:`port` (0: any free one) until it is told to end.

    The socket is made here, outside, and stays in this network namespace whoever reads from it: so a plain curl reaches it.
    """
    try:
        incident, chosen = _choose(name, backend)
        with _listen(host, port) as listener, _interruptible():
            address = listener.getsockname()
            with Sandbox(incident.name, chosen, _serving(listener, allow_fix=allow_fix), keep=(listener.fileno(),)) as sandbox:
                listener.close()  # only the lab holds it now: where it dies, connects fail instead of hanging
                _await_answer(address)
                _announce(incident, chosen, address)
                return _unasked(sandbox.wait())
    except LabError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return ExitCode.FINE


def _choose(name: str, backend: str | None) -> tuple[Incident, Backend]:
    incident = find_incident(name)
    if backend is None:
        return incident, incident.default_backend
    for candidate in incident.backends:
        if candidate == backend:
            return incident, candidate
    raise UnknownIncidentError(f"{name} is not staged on {backend!r}: choose {' or '.join(incident.backends)}")


def program(argv: Sequence[str]) -> list[str]:
    """What runs on the node: a diagnosis with these options, or the command that they are."""
    command = list(argv)
    if command[:1] == ["--"]:
        command = command[1:]
    elif not command or command[0].startswith("-"):
        return [*_PYTHON, "agent.cli.app", "diagnose", *command]
    return command


def _serving(listener: socket.socket, *, allow_fix: bool, on_stop: OnStop = OnStop.KEEP) -> list[str]:
    chosen = Settings(
        node_name=NODE.name,
        cni_dirs=(str(CNI_DIR),),
        etc_dirs=(str(ETC_DIR),),
        allow_fix=allow_fix,
        state_dir=str(STATE_DIR),
        on_stop=on_stop,
    )
    settings = json.dumps(to_plain(chosen))
    access = json.dumps(to_plain(Access(owner=os.geteuid(), insecure_loopback=True)))
    broker = [*_PYTHON, "agent.host.broker", "--settings", settings]
    front = [*_PYTHON, "agent.api.front", "--settings", settings, "--access", access, "--listen-fd", str(listener.fileno())]
    argv = [*_PYTHON, "agent.host.supervisor", "--keep-fd", str(listener.fileno())]
    return [*argv, "--broker", json.dumps(broker), "--front", json.dumps(front)]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = error.strerror or str(error)
        raise LabError(f"cannot listen on {host} port {port} ({why}): choose another, or stop what listens there") from error


def _await_answer(address: tuple[str, int]) -> None:
    """Waits for the first answer. The socket listens already, so one question waits in its queue, or is cut with the lab."""
    try:
        with socket.create_connection(address[:2], timeout=_FIRST_ANSWER_SECONDS) as question:
            question.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if question.recv(len(_ANSWER)) == _ANSWER:
                return
    except OSError as error:
        raise LabError(f"the lab does not answer: {error}") from error
    raise LabError("the lab hung up before its first answer")


def _announce(incident: Incident, backend: Backend, address: tuple[str, int]) -> None:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    at = f"{host}:{address[1]}"
    print(f"{incident.name} on {backend}: {incident.story}\n")
    print(f"  curl {at}")
    print(f"  curl {at}/v1/report")
    print(f"  curl -i {at}/v1/verdict\n")
    print("Ctrl-C ends it; nothing stays behind.", flush=True)


def _unasked(status: int) -> int:
    """Complains: a server that nobody told to end has failed, whatever its exit code."""
    return _complain(LabError(f"the lab ended by itself with exit code {status}"))


def _complain(error: LabError) -> int:
    print(f"kubereach: {error}", file=sys.stderr)
    return ExitCode.USAGE if isinstance(error, UnknownIncidentError) else ExitCode.BLIND


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGINT end the lab; afterwards they mean what they meant before.

    SIGINT too, because a shell's background job starts with it ignored, and then Python leaves it so.
    """
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
