"""kubereach serving on the lab's node: asked over its loopback, told to end or killed, and started again as a runtime would."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from agent.lab.commands import _serving
from agent.lab.topology import LAB
from agent.model.settings import OnStop
from tests.lab.staged import await_that, command_line, parent_of, pids, runs

PATIENCE = 60.0
LOG = LAB / "serve.log"


class Serving:
    """A supervisor, broker and front on a socket that outlives them. `environment` is added to our own."""

    def __init__(self, on_stop: OnStop = OnStop.KEEP, **environment: str) -> None:
        self._on_stop = on_stop
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._environment = {**os.environ, **environment}
        self.start()

    def start(self) -> None:
        """Starts it; returns at once: who asks waits for the answer."""
        with LOG.open("ab") as log:
            self._supervisor = subprocess.Popen(
                _serving(self._listener, allow_fix=True, on_stop=self._on_stop),
                pass_fds=(self._listener.fileno(),),
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def end(self, number: int = signal.SIGTERM) -> float:
        """Sends the supervisor a signal; the seconds until it, its broker and its front are gone."""
        children, began = (self.broker(), self.front()), time.monotonic()
        self._supervisor.send_signal(number)
        self._supervisor.wait(PATIENCE)
        await_that(lambda: not any(map(is_alive, children)), "broker or front outlives the supervisor", PATIENCE)
        return time.monotonic() - began

    def close(self) -> None:
        """Ends it for good."""
        if self._supervisor.poll() is None:
            self.end()
        self._listener.close()

    def front(self) -> int:
        """The pid of the front, once there is one."""
        return self._child("agent.api.front")

    def broker(self) -> int:
        """The pid of the broker, once there is one."""
        return self._child("agent.host.broker")

    def kill_broker(self) -> None:
        """Kills the broker alone."""
        os.kill(self.broker(), signal.SIGKILL)

    def capabilities(self) -> int:
        """Those that the front could use, or ever get."""
        status = Path(f"/proc/{self.front()}/status").read_text()
        sets = re.findall(r"^Cap(?:Inh|Prm|Eff|Bnd|Amb):\s*([0-9a-f]+)$", status, re.MULTILINE)
        assert len(sets) == 5
        return max(int(each, 16) for each in sets)

    def family(self) -> list[int]:
        """The supervisor and all below it."""
        parents = {pid: parent_of(pid) for pid in pids()}
        found = {self._supervisor.pid}
        while grown := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= grown
        return sorted(found)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request; status and answer. A front that is not there yet is waited for, as the socket stays open."""
        connection = http.client.HTTPConnection("127.0.0.1", self._listener.getsockname()[1], timeout=PATIENCE)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text
        finally:
            connection.close()

    def must(self, method: str, path: str, body: object = None) -> Any:
        """The answer of a request that has to work."""
        status, answer = self.ask(method, path, body)
        assert status < 300, (method, path, status, answer)
        return answer

    def _child(self, module: str) -> int:
        found: list[int] = []

        def look() -> bool:
            mine = [pid for pid in pids() if parent_of(pid) == self._supervisor.pid and is_alive(pid)]
            found[:] = [pid for pid in mine if runs(command_line(pid), module)]
            return bool(found)

        await_that(look, f"there is no {module}", PATIENCE)
        return found[0]


def is_alive(pid: int) -> bool:
    """Whether it runs; one that is dead and not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
