"""Words of the command line become a plan, or a sentence and an exit code, before anything is staged."""

import socket
import sys

import pytest

from agent.lab import commands, sandbox
from agent.model.exitcode import ExitCode


def test_the_incidents_are_listed():
    assert "centos-reject" in [incident.name for incident in commands.list_incidents()]


@pytest.mark.parametrize(("argv", "tail"), [([], []), (["-o", "json"], ["-o", "json"])], ids=["nothing", "options"])
def test_options_are_the_diagnosis_s(argv, tail):
    assert commands.program(argv) == [sys.executable, "-P", "-m", "agent.cli.app", "diagnose", *tail]


@pytest.mark.parametrize("argv", [["--", "ip", "-o", "link"], ["ip", "-o", "link"]], ids=["after-dashes", "bare"])
def test_anything_else_is_a_command(argv):
    assert commands.program(argv) == ["ip", "-o", "link"]


@pytest.mark.parametrize(
    ("name", "backend", "words"), [("no-such", None, "centos-reject"), ("firewalld-nft", "legacy", "choose nft")]
)
@pytest.mark.parametrize("verb", ["run", "serve"])
def test_an_incident_that_is_not_there_is_a_usage_error(verb, name, backend, words, capsys):
    status = commands.run(name, backend, []) if verb == "run" else commands.serve(name, backend, "127.0.0.1", 0)
    assert status == ExitCode.USAGE
    assert words in capsys.readouterr().err


def test_a_taken_port_is_told_in_a_sentence(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert commands.serve("healthy", None, "127.0.0.1", taken.getsockname()[1]) == ExitCode.BLIND
    assert "choose another" in capsys.readouterr().err


def test_a_missing_unshare_is_told_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sandbox.command, "find", lambda program: None)
    assert commands.run("healthy", None, []) == ExitCode.BLIND
    assert "apt-get install util-linux" in capsys.readouterr().err
