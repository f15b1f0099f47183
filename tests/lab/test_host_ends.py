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
from tests.lab.staged import parent_of

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
import os, select, socket, sys
from agent.host import link
from agent.host.client import Broker, BrokerGone
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
broker, line = Broker(), socket.socket(fileno=int(options["--link-fd"]))
listener = socket.socket(fileno=int(options["--listen-fd"]))
while True:
    ready = select.select([line, listener], [], [])[0]
    if line in ready:
        channel = link.take(line)
        if channel is None:
            break
        broker.renew(channel)
        continue
    connection, _ = listener.accept()
    try:
        broker.node()
    except BrokerGone:
        broker.renew(link.take(line))
    words = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd", "NoNewPrivs"))]
    connection.sendall(f"{os.getpid()} {len(broker.firewall().readings)} {' '.join(words)}".encode())
    connection.close()
"""


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], list[str]]]]:
    """A supervisor with a broker and the trivial front above, and a way to ask that."""
    sh("ip link set lo up")
    with socket.create_server(("127.0.0.1", 10270)) as listener:
        number = str(listener.fileno())
        front = json.dumps([sys.executable, "-c", FRONT, "--listen-fd", number])
        broker = json.dumps([sys.executable, "-m", "agent.host.broker", "--settings", "{}"])
        argv = [sys.executable, "-m", "agent.host.supervisor", "--broker", broker, "--front", front, "--keep-fd", number]
        supervisor = subprocess.Popen(argv, pass_fds=(listener.fileno(),))

    def ask() -> list[str]:
        with socket.create_connection(("127.0.0.1", 10270), timeout=5) as connection:
            return connection.recv(4096).decode().split()

    try:
        yield supervisor, ask
    finally:
        supervisor.kill()
        supervisor.wait()


def children_of(parent: int) -> set[int]:
    return {pid for pid in processes() if parent_of(pid) == parent}


def are_gone(pids: set[int]) -> bool:
    reaped()
    return not pids & processes()


@inside
def test_the_front_has_no_privilege_and_is_restarted() -> None:
    with serving() as (supervisor, ask):
        pid, readings, effective, bounding, no_new = ask()
        assert (int(readings), int(effective, 16), int(bounding, 16), no_new) == (1, 0, 0, "1")
        os.kill(int(pid), signal.SIGKILL)
        again = ask()
        assert again[0] != pid
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(5) == 0
        assert not Path(f"/proc/{again[0]}").exists()


@inside
def test_a_killed_broker_is_restarted_and_its_front_lives_on_without_privilege() -> None:
    adopt_orphans()
    with serving() as (_, ask):
        first = ask()
        for _ in range(3):
            (pid,) = processes_named("agent.host.broker")
            family = children_of(pid)
            os.kill(pid, signal.SIGKILL)
            assert until(lambda pid=pid: processes_named("agent.host.broker") not in ({pid}, set()))
            assert until(lambda family=family: are_gone(family)), "its templates outlive it"
            assert ask() == first


@inside
def test_a_killed_supervisor_takes_broker_and_front_along() -> None:
    adopt_orphans()
    before = processes()
    with serving() as (supervisor, ask):
        ask()
        supervisor.kill()
        supervisor.wait()
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
