"""Processes of the host room that are killed: who ends with whom, who comes again, and what is left."""

import array
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.host import client
from agent.host.errors import BrokerGone
from tests.lab.pod_on_a_node import (
    SETTINGS,
    adopt_orphans,
    entries,
    processes,
    processes_named,
    reaped,
    until,
)
from tests.lab.program import inside, sh

pytestmark = pytest.mark.lab


@inside
def test_a_killed_template_is_replaced_and_a_killed_broker_takes_all_along() -> None:
    sh("iptables-legacy -A INPUT -j ACCEPT")
    adopt_orphans()
    before = processes()
    with client.Broker.start(SETTINGS) as broker:
        broker.node()
        for module in ("agent.host.process_worker", "agent.host.iptc_worker"):
            (pid,) = processes_named(module)
            os.kill(pid, signal.SIGKILL)
        found = broker.processes().problem
        assert found == "", found
        chain = broker.legacy_chain()
        assert chain is not None
        assert chain.problem == ""
        assert len(processes_named("agent.host.iptc_worker")) == 1
        (pid,) = processes_named("agent.host.broker")
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: reaped() and processes() <= before | {pid}), processes() - before
    assert until(lambda: reaped() and processes() <= before), processes() - before


@inside
def test_killing_the_client_ends_the_broker_and_its_workers() -> None:
    sh("iptables-legacy -A INPUT -j ACCEPT")
    adopt_orphans()
    before = processes()
    code = (
        "import agent.host.client as c, agent.model.settings as s; b = c.Broker.start(s.Settings()); b.node(); print(); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert len(processes() - before) >= 3  # itself, the broker, at least one template
    child.kill()
    child.communicate()
    assert until(lambda: reaped() and processes() <= before), processes() - before


@inside
def test_a_killed_broker_is_an_error_and_leaves_nothing() -> None:
    adopt_orphans()
    before = processes()
    with client.Broker.start(SETTINGS) as broker:
        broker.node()
        (pid,) = processes_named("agent.host.broker")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BrokerGone):
            broker.firewall()
    assert until(lambda: reaped() and processes() <= before), processes() - before


FRONT = """
import socket, sys
from agent.host.client import Broker
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
broker = Broker(socket.socket(fileno=int(options["--broker-fd"])))
listener = socket.socket(fileno=int(options["--listen-fd"]))
import os, select
poll = select.poll(); poll.register(int(options["--broker-fd"]), select.POLLRDHUP); poll.register(listener, select.POLLIN)
while all(fd == listener.fileno() for fd, _ in poll.poll()):
    connection, _ = listener.accept()
    words = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd", "NoNewPrivs"))]
    connection.sendall(f"{os.getpid()} {len(broker.firewall().readings)} {' '.join(words)}".encode())
    connection.close()
"""


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], list[str]]]]:
    """A broker that serves the trivial front above, and a way to ask it."""
    sh("ip link set lo up")
    with socket.create_server(("127.0.0.1", 10270)) as listener:
        front = json.dumps([sys.executable, "-c", FRONT])
        argv = [sys.executable, "-m", "agent.host.broker", "--settings", "{}", "--listen-fd", str(listener.fileno())]
        broker = subprocess.Popen([*argv, "--front", front], pass_fds=(listener.fileno(),))

    def ask() -> list[str]:
        with socket.create_connection(("127.0.0.1", 10270), timeout=5) as connection:
            return connection.recv(4096).decode().split()

    try:
        yield broker, ask
    finally:
        broker.kill()
        broker.wait()


@inside
def test_the_front_has_no_privilege_and_is_restarted() -> None:
    with serving() as (broker, ask):
        pid, readings, effective, bounding, no_new = ask()
        assert (int(readings), int(effective, 16), int(bounding, 16), no_new) == (1, 0, 0, "1")
        os.kill(int(pid), signal.SIGKILL)
        again = ask()
        assert again[0] != pid
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(5) == 0
        assert not Path(f"/proc/{again[0]}").exists()


@inside
def test_a_killed_broker_takes_its_front_along() -> None:
    adopt_orphans()
    before = processes()
    with serving() as (broker, ask):
        ask()
        broker.kill()
        broker.wait()
        assert until(lambda: reaped() and processes() <= before), processes() - before


@inside
def test_descriptors_that_nobody_asked_for_are_closed() -> None:
    with client.Broker.start(SETTINGS) as broker:
        broker.processes()  # every template is there from now on
        (pid,) = processes_named("agent.host.broker")
        held = entries(f"/proc/{pid}/fd")
        channel = broker._idle[0]
        body = b'{"op": "hello", "arguments": {}}'
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))]
        channel.sendmsg([len(body).to_bytes(4, "big") + body], rights)
        assert channel.recv(4096)
        assert entries(f"/proc/{pid}/fd") == held


if __name__ == "__main__":
    globals()[sys.argv[1]].body()
