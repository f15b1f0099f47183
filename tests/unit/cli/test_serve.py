"""`serve`: a loopback socket, and a broker in this process's place."""

import json
import os
import socket
import sys

import pytest

from agent.model.codec import from_plain
from agent.model.settings import Settings


@pytest.fixture
def executed(monkeypatch):
    """What the process would have become."""
    calls = []

    def execute(path, argv):
        fd = int(argv[argv.index("--listen-fd") + 1])
        with socket.socket(fileno=os.dup(fd)) as listener:
            calls.append((path, argv, os.get_inheritable(fd), listener.getsockname()))

    monkeypatch.setattr(os, "execv", execute)
    return calls


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_it_becomes_the_broker_with_a_listening_socket(run, executed, host):
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    result = run("serve", "--host", host, "--port", "0", "--node-name", "w1")
    assert result.exit_code == 0
    ((path, argv, inheritable, address),) = executed
    assert (path, argv[:4]) == (sys.executable, [sys.executable, "-P", "-m", "agent.host.broker"])
    assert inheritable
    assert address[0] in ("127.0.0.1", "::1")
    front = json.loads(argv[argv.index("--front") + 1])
    assert front[:4] == [sys.executable, "-P", "-m", "agent.api.front"]
    for command in (argv, front):
        assert from_plain(Settings, json.loads(command[command.index("--settings") + 1])) == Settings(node_name="w1")
    assert f":{address[1]}`" in result.stderr


def test_a_port_that_is_taken_is_a_sentence(run, executed):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 5
    assert "Address already in use. Choose another with --port." in result.stderr
    assert executed == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_others_than_this_machine_are_not_served(run, executed, host):
    result = run("serve", "--host", host, "--port", "0")
    assert result.exit_code == 2
    assert "not a loopback address" in result.stderr
    assert executed == []
